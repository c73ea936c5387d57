"""Latches: who is merged at read instead of pushed, and into whose homes. A cached part of home.

An author's posts and follows share a shard, so that of a pull and its end the later event decides.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from projections.documents.port import Collection, Documents, Fidelity, Index, Row, Shape, Spread
from projections.feeds import FOLLOWS_READ, followers_of

LATCHES = Collection("home", "latches", Shape.STATE, Fidelity.CACHE)
PULLS = Collection(
    "home", "pulls", Shape.ROWS, Fidelity.CACHE, (Index("by_owner", ("owner",), "author"),), Spread.RANGES
)


class Latch(msgspec.Struct, frozen=True):
    """``done``: every edge of the author that stood at the sweep has its row in ``pulls``."""

    author: str
    done: bool


class Edge(msgspec.Struct, frozen=True):
    """A follow that began or ended with the event ``sequence``."""

    follower: str
    followee: str
    sequence: int


async def get_latches(documents: Documents, authors: Iterable[str]) -> Mapping[str, Latch]:
    """Those of the authors who have one; one find."""
    found = await documents.get(LATCHES, list(dict.fromkeys(authors)))
    return {author: msgspec.convert(document, Latch) for author, document in found.items()}


async def latch(documents: Documents, author: str, sequence: int, step: int) -> None:
    """Turns an author from push to merge for good. The latch is written before the sweep reads edges, and a follow writes its edge before it
    reads the latch: no edge is missed. Only when all have their pull does pushing end."""
    begun = msgspec.to_builtins(Latch(author=author, done=False))
    await documents.put_if(LATCHES, author, None, begun)
    after = None
    while True:
        edges = await followers_of(documents, author, after=after, limit=step)
        await documents.put(PULLS, [_pull(Edge(edge.follower, author, sequence)) for edge in edges])
        if len(edges) < step:
            break
        after = edges[-1].cursor
    await documents.put_if(LATCHES, author, begun, msgspec.to_builtins(Latch(author=author, done=True)))


async def begin_pulls(documents: Documents, edges: Sequence[Edge]) -> None:
    """After follows: those of latched authors are merged."""
    latches = await get_latches(documents, [edge.followee for edge in edges])
    rows = [_pull(edge) for edge in edges if edge.followee in latches]
    if rows:
        await documents.put(PULLS, rows)


async def end_pulls(documents: Documents, edges: Sequence[Edge]) -> None:
    """After unfollows: a row without its owner is in no index, and no earlier event brings it back."""
    latches = await get_latches(documents, [edge.followee for edge in edges])
    rows = [Row(_pull(edge).id, edge.sequence, {"author": edge.followee}) for edge in edges if edge.followee in latches]
    if rows:
        await documents.put(PULLS, rows)


async def pulled_authors(documents: Documents, owner: str) -> Sequence[str]:
    """Those whose items are merged into the owner's home at read; one find."""
    found = await documents.page(PULLS, "by_owner", [owner], limit=FOLLOWS_READ)
    return [str(row.sort) for row in found]


def _pull(edge: Edge) -> Row:
    owner, author = edge.follower, edge.followee
    return Row(f"{owner}-{author}", edge.sequence, {"owner": owner, "author": author})

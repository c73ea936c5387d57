"""Viewer edges: what one person is to another, or has done with a post; one document per (viewer, target), so that a page needs one find.

Each field has one writer: ``following``, ``followedAt``, ``reposts`` and ``notify`` the followee's shard; ``liked`` and ``likedAt`` the shard of
the post's author; ``reposted`` and ``repostedAt`` the viewer's own shard.
"""

from collections.abc import Iterable, Mapping

import msgspec

from domain.envelope import Recorded
from domain.events import Followed, PostLiked, PostReposted, PostUnliked, RepostUndone, Unfollowed
from projections.documents.port import Change, Collection, Documents, Fidelity, Shape, Value
from projections.folding import Alter, Family, Operation, on

VIEWER_EDGES = Collection("viewer_edges", "viewer_edges", Shape.STATE, Fidelity.EXACT)


class ViewerEdge(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``reposts``: whether the followee's reposts are wanted. Times are in microseconds, None where the edge is off."""

    following: bool = False
    followed_at: int | None = None
    reposts: bool = True
    notify: bool = False
    liked: bool = False
    liked_at: int | None = None
    reposted: bool = False
    reposted_at: int | None = None


NO_EDGE = ViewerEdge()


def edge_id(viewer: str, target: str) -> str:
    return f"{viewer}-{target}"


def _alter(viewer: str, target: str, **fields: Value) -> Alter:
    # None stands for a field that is no more.
    given = {name: value for name, value in fields.items() if value is not None}
    gone = tuple(name for name, value in fields.items() if value is None)
    return Alter(VIEWER_EDGES, edge_id(viewer, target), Change(set=given, unset=gone))


def _followed(recorded: Recorded, event: Followed) -> Iterable[Operation]:
    since: dict[str, Value] = {} if event.renewed else {"followedAt": recorded.sort_at}
    yield _alter(event.follower, event.followee, following=True, reposts=event.reposts, notify=event.notify, **since)


def _unfollowed(_: Recorded, event: Unfollowed) -> Iterable[Operation]:
    yield _alter(event.follower, event.followee, following=False, followedAt=None, reposts=None, notify=None)


def _liked(recorded: Recorded, event: PostLiked) -> Iterable[Operation]:
    yield _alter(event.actor, event.post, liked=True, likedAt=recorded.sort_at)


def _unliked(_: Recorded, event: PostUnliked) -> Iterable[Operation]:
    yield _alter(event.actor, event.post, liked=False, likedAt=None)


def _reposted(recorded: Recorded, event: PostReposted) -> Iterable[Operation]:
    yield _alter(event.actor, event.post, reposted=True, repostedAt=recorded.sort_at)


def _repost_undone(_: Recorded, event: RepostUndone) -> Iterable[Operation]:
    yield _alter(event.actor, event.post, reposted=False, repostedAt=None)


FAMILY = Family(
    "viewer_edges",
    (VIEWER_EDGES,),
    dict(
        (
            on(Followed, _followed),
            on(Unfollowed, _unfollowed),
            on(PostLiked, _liked),
            on(PostUnliked, _unliked),
            on(PostReposted, _reposted),
            on(RepostUndone, _repost_undone),
        )
    ),
)


async def get_edges(documents: Documents, pairs: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], ViewerEdge]:
    """Edges by (viewer, target), one find, none for none; where there is none the pair is absent (``NO_EDGE``)."""
    ids = {edge_id(*pair): pair for pair in pairs}
    if not ids:
        return {}
    found = await documents.get(VIEWER_EDGES, list(ids))
    return {ids[id_]: msgspec.convert(document, ViewerEdge) for id_, document in found.items()}

"""What a command's own events will make of the documents, for the answer to it: whether or not the folds have been there before, each event counts once."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from domain.envelope import Recorded
from projections import accounts, posts, viewer_edges
from projections.accounts import PROFILES, as_profile
from projections.documents.port import Change, Collection, Doc, Document, Documents
from projections.folding import Alter
from projections.posts import POSTS, as_post
from projections.sight import Sight
from projections.viewer_edges import VIEWER_EDGES, ViewerEdge

_FAMILIES: Final = (accounts.FAMILY, posts.FAMILY, viewer_edges.FAMILY)
_LOOKED_AT: Final = (PROFILES, POSTS, VIEWER_EDGES)


async def foresee(documents: Documents, viewer: str | None, events: Sequence[Recorded]) -> Sight:
    """Whatever the events touch of posts, people and edges; one wave, three finds at most."""
    pending = _pending(events)
    found = await asyncio.gather(*(documents.preview(collection, docs) for collection, docs in pending.items()))
    after = {collection.name: own for collection, own in zip(pending, found, strict=True)}
    people = (as_profile(id_, document) for id_, document in _of(after, PROFILES))
    written = (as_post(id_, document) for id_, document in _of(after, POSTS))
    return Sight(
        viewer=viewer,
        posts={post.id: post for post in written if post is not None},
        people={person.id: person for person in people if person is not None},
        edges={_pair(id_): msgspec.convert(document, ViewerEdge) for id_, document in _of(after, VIEWER_EDGES)},
    )


def _of(after: Mapping[str, Mapping[str, Document]], collection: Collection) -> Sequence[tuple[str, Document]]:
    return list(after.get(collection.name, {}).items())


def _pair(id_: str) -> tuple[str, str]:
    viewer, _, target = id_.partition("-")
    return viewer, target


def _pending(events: Sequence[Recorded]) -> Mapping[Collection, Sequence[Doc]]:
    """The state changes by document. A command's events lie in one shard, in order."""
    changes: defaultdict[tuple[Collection, str], defaultdict[int, list[Change]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for recorded in events:
        for family in _FAMILIES:
            for operation in family.fold(recorded):
                if isinstance(operation, Alter) and operation.collection in _LOOKED_AT:
                    changes[operation.collection, operation.id][recorded.sequence].append(operation.change)
    pending: defaultdict[Collection, list[Doc]] = defaultdict(list)
    for (collection, id_), steps in changes.items():
        pending[collection].append(Doc(id_, events[0].shard, tuple((at, tuple(own)) for at, own in steps.items())))
    return pending

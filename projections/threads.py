"""Threads: a post with what it answers and what answers it, in few waves however it hangs together.

A thread of at most WHOLE posts is read whole, by its root, in one find; of a larger one the replies are read level by level below the post.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from projections.documents.port import After, Documents
from projections.posts import PostDoc, get_posts, replies_to_many, thread_posts
from projections.rules import PostView, Tombstone, keeps_place, show_post
from projections.sight import Sight, hydrate

WHOLE: Final = 400
"""Posts of a thread that is read whole."""
LEVEL: Final = 200
"""Replies that are read of one level of a larger thread; as many parents are looked below at most, for these are prefixes of one find."""
MOST: Final = 400
"""Replies that are shown at most."""


class ThreadSort(StrEnum):
    """``TOP``: what was answered, reposted, quoted and liked most comes first."""

    OLDEST = "OLDEST"
    NEWEST = "NEWEST"
    TOP = "TOP"


class ThreadReply(msgspec.Struct, frozen=True):
    """``depth`` counts from 1 below the anchor, ``parent`` is what it answers. ``more``: direct replies of its own that are not among these; ``end``: the
    place of the last that is, where the list of all goes on from there: forwards from the oldest, backwards from the newest."""

    post: PostView | Tombstone
    parent: str
    depth: int
    more: int
    end: After | None = None


class Thread(msgspec.Struct, frozen=True):
    """``ancestors`` from the farthest to the nearest, ``more_ancestors``: there are some above them. ``replies`` lie depth first, each before what
    answers it; ``more``: direct replies of the anchor that are not among them; ``end`` as a reply's."""

    anchor: PostView | Tombstone
    ancestors: Sequence[PostView | Tombstone] = ()
    more_ancestors: bool = False
    replies: Sequence[ThreadReply] = ()
    more: int = 0
    end: After | None = None


class Shape(msgspec.Struct, frozen=True):
    """How much of a thread is asked for: ancestors or none, levels below, replies of each post."""

    above: bool = True
    depth: int = 6
    branching: int = 10
    sort: ThreadSort = ThreadSort.OLDEST


async def read_thread(documents: Documents, viewer: str | None, post: str, shape: Shape) -> Thread:
    """The thread around a post. Four waves and eight finds at most where it has up to WHOLE posts, else one wave and one find more a level.

    Without the anchor there is no thread: where rules hide it, nothing else is shown. What hides among the rest keeps its place while something hangs on it.
    """
    found = (await get_posts(documents, [post])).get(post)
    if found is None:
        return Thread(Tombstone(post, deleted=False))
    ids = found.ancestors if shape.above else ()
    above, below = await asyncio.gather(get_posts(documents, ids), _below(documents, found, shape))
    known = {doc.id: doc for doc in (found, *above.values())}
    for docs in below.values():
        known.update((doc.id, doc) for doc in docs)
    sight = await hydrate(documents, viewer, known=known.values())
    anchor = show_post(sight, post)
    if isinstance(anchor, Tombstone) and not anchor.deleted:
        return Thread(anchor)
    tree = _Tree(sight, below, shape)
    replies, end = tree.under(found, 1)
    return Thread(
        anchor=anchor,
        ancestors=[show_post(sight, id_) for id_ in ids],
        more_ancestors=bool(ids) and ids[0] != found.root,
        replies=replies,
        more=_more(found, replies),
        end=end,
    )


async def _below(documents: Documents, anchor: PostDoc, shape: Shape) -> Mapping[str, Sequence[PostDoc]]:
    """Replies by the post that they answer, in the order asked for; of a large thread some."""
    newest = shape.sort is not ThreadSort.OLDEST
    whole = await thread_posts(documents, anchor.root, limit=WHOLE + 1)
    if len(whole) <= WHOLE:
        return _by_parent(whole, shape.sort)
    by_parent: dict[str, Sequence[PostDoc]] = {}
    parents = [anchor.id]
    for _ in range(shape.depth):
        found = await replies_to_many(documents, parents, limit=LEVEL, reverse=newest)
        level = _by_parent(found, shape.sort)
        by_parent |= level
        # Those without a reply that counts too: one that was deleted may have some below it.
        parents = [doc.id for docs in level.values() for doc in docs[: shape.branching]][:LEVEL]
        if not parents:
            break
    return by_parent


def _by_parent(posts: Sequence[PostDoc], sort: ThreadSort) -> Mapping[str, Sequence[PostDoc]]:
    by_parent: defaultdict[str, list[PostDoc]] = defaultdict(list)
    for doc in sorted(posts, key=lambda doc: doc.key, reverse=sort is ThreadSort.NEWEST):
        if doc.reply_to is not None:
            by_parent[doc.reply_to].append(doc)
    if sort is ThreadSort.TOP:
        for docs in by_parent.values():
            docs.sort(key=_weight, reverse=True)
    return by_parent


def _weight(doc: PostDoc) -> int:
    """How much others have made of a post."""
    counts = doc.counts
    return counts.replies + counts.reposts + counts.quotes + counts.likes


class _Tree:
    """Walks what was read, depth first."""

    def __init__(self, sight: Sight, below: Mapping[str, Sequence[PostDoc]], shape: Shape) -> None:
        self._sight = sight
        self._below = below
        self._shape = shape
        self._left = MOST

    def under(self, parent: PostDoc, depth: int) -> tuple[list[ThreadReply], After | None]:
        """The replies below a post, and the place of the last direct one; what is hidden is left out where nothing hangs on it that is shown."""
        found: list[ThreadReply] = []
        taken, end = 0, None
        for doc in self._below.get(parent.id, ()):
            if taken == self._shape.branching or depth > self._shape.depth or not self._left:
                break
            view = show_post(self._sight, doc.id)
            self._left -= 1
            replies, below = self.under(doc, depth + 1)
            # Of what hangs on the deepest nothing is shown.
            deepest = depth == self._shape.depth
            if not (keeps_place(doc, view) if deepest else replies or isinstance(view, PostView)):
                self._left += 1
                continue
            taken += 1
            end = doc.cursor
            found += [ThreadReply(view, parent.id, depth, _more(doc, replies), below), *replies]
        return found, end if self._shape.sort is not ThreadSort.TOP else None


def _more(doc: PostDoc, replies: Sequence[ThreadReply]) -> int:
    """Replies that count and are not shown: some of them may not be for the viewer."""
    shown = sum(reply.parent == doc.id and isinstance(reply.post, PostView) for reply in replies)
    return max(0, doc.counts.replies - shown)

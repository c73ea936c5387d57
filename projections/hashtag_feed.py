"""Hashtag feeds: one document per (tag, public post). An edit moves a post between tags; what has gone keeps its guard and leaves the index."""

from collections.abc import Iterable, Sequence

import msgspec

from domain.envelope import Recorded
from domain.events import PostCreated, PostDeleted, PostEdited, PostRestored
from projections.documents.port import After, Change, Collection, Documents, Fidelity, Index, Shape
from projections.feeds import FeedEntry
from projections.folding import Alter, Family, Operation, on
from projections.keys import sort_key

HASHTAG_POSTS = Collection(
    "hashtag_feed", "hashtag_posts", Shape.STATE, Fidelity.EXACT, (Index("by_tag", ("tag",), "key"),)
)
PUBLIC = "PUBLIC"


class TaggedPost(msgspec.Struct, frozen=True, kw_only=True):
    """A post under a tag, as a page of the tag finds it."""

    tag: str
    post: str
    author: str
    key: str

    @property
    def cursor(self) -> After:
        return After(self.key, tagged_id(self.post, self.tag))

    @property
    def entry(self) -> FeedEntry:
        return FeedEntry(author=self.author, item=self.post, key=self.key, post=self.post, post_author=self.author)


def tagged_id(post: str, tag: str) -> str:
    return f"{post}:{tag}"


def _shown(post: str, author: str, tag: str, at: int) -> Alter:
    fields = {"tag": tag, "post": post, "author": author, "key": sort_key(at, post)}
    return Alter(HASHTAG_POSTS, tagged_id(post, tag), Change(set=fields, unset=("gone",)))


def _gone(post: str, tag: str) -> Alter:
    return Alter(HASHTAG_POSTS, tagged_id(post, tag), Change(set={"gone": True}, unset=("key",)))


def _created(recorded: Recorded, event: PostCreated) -> Iterable[Operation]:
    if event.visibility == PUBLIC:
        for tag in event.tags:
            yield _shown(event.post, event.author, tag, recorded.sort_at)


def _edited(_: Recorded, event: PostEdited) -> Iterable[Operation]:
    if event.visibility == PUBLIC:
        for tag in event.tags_removed:
            yield _gone(event.post, tag)
        for tag in event.tags:
            yield _shown(event.post, event.author, tag, event.sort_at)


def _restored(_: Recorded, event: PostRestored) -> Iterable[Operation]:
    if event.visibility == PUBLIC:
        for tag in event.tags:
            yield _shown(event.post, event.author, tag, event.sort_at)


def _deleted(_: Recorded, event: PostDeleted) -> Iterable[Operation]:
    for tag in event.tags:
        yield _gone(event.post, tag)


FAMILY = Family(
    "hashtag_feed",
    (HASHTAG_POSTS,),
    dict(
        (
            on(PostCreated, _created),
            on(PostEdited, _edited),
            on(PostRestored, _restored),
            on(PostDeleted, _deleted),
        )
    ),
)


async def tagged_posts(
    documents: Documents, tag: str, *, after: After | None, limit: int, reverse: bool = True
) -> Sequence[TaggedPost]:
    """Posts under a folded tag (domain.text.fold_tag), newest first; one find."""
    found = await documents.page(HASHTAG_POSTS, "by_tag", [tag], after=after, limit=limit, reverse=reverse)
    return [msgspec.convert(row.fields, TaggedPost) for row in found]

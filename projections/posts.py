"""Posts: content, counts and tombstones. The only place of a post's text outside the log and search."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from domain.envelope import Recorded
from domain.events import (
    Facet,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostReposted,
    PostUnliked,
    RepostUndone,
)
from projections.documents.port import (
    After,
    Change,
    Collection,
    Document,
    Documents,
    Fidelity,
    Index,
    Shape,
    Value,
)
from projections.folding import Alter, Family, Operation, on
from projections.keys import sort_key

POSTS = Collection("posts", "posts", Shape.STATE, Fidelity.EXACT, (Index("replies", ("replyTo",), "key"),))

_TYPED = ("text", "contentWarning", "facets", "tags", "mentions", "language")
"""What a deletion takes away; who wrote it, where it hung and when stay, so that threads keep their shape."""


class PostCounts(msgspec.Struct, frozen=True, rename="camel"):
    replies: int = 0
    reposts: int = 0
    quotes: int = 0
    likes: int = 0
    bookmarks: int = 0


class PostDoc(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A post or its tombstone. ``text`` is None where it is deleted or its author's key destroyed; times are in microseconds."""

    id: str
    author: str
    visibility: str
    root: str
    sort_at: int
    created_at: int
    key: str
    revision: int = 1
    text: str | None = None
    content_warning: str = ""
    facets: tuple[Facet, ...] = ()
    tags: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    language: str | None = None
    reply_to: str | None = None
    reply_to_author: str | None = None
    edited_at: int | None = None
    deleted: bool = False
    counts: PostCounts = PostCounts()

    @property
    def cursor(self) -> After:
        """Where it stands among the replies of its parent."""
        return After(self.key, self.id)


def _content(event: PostCreated | PostEdited) -> dict[str, Value]:
    fields: dict[str, Value] = {
        "facets": [msgspec.to_builtins(facet) for facet in event.facets],
        "tags": list(event.tags),
        "mentions": list(event.mentions),
        "language": event.language,
    }
    if event.private is not None:
        fields["text"] = event.private.text
        fields["contentWarning"] = event.private.content_warning
    return fields


def _created(recorded: Recorded, event: PostCreated) -> Iterable[Operation]:
    fields = _content(event)
    fields |= {
        "author": event.author,
        "visibility": event.visibility,
        "root": event.root,
        "sortAt": recorded.sort_at,
        "createdAt": recorded.sort_at,
        "key": sort_key(recorded.sort_at, event.post),
        "revision": 1,
    }
    if event.reply_to is not None:
        fields |= {"replyTo": event.reply_to, "replyToAuthor": event.reply_to_author}
        yield _count(event.reply_to, "replies", 1)
    yield Alter(POSTS, event.post, Change(set=fields))


def _edited(recorded: Recorded, event: PostEdited) -> Iterable[Operation]:
    fields = _content(event) | {"revision": event.revision, "editedAt": recorded.sort_at}
    unset = ("text", "contentWarning") if event.private is None else ()
    yield Alter(POSTS, event.post, Change(set=fields, unset=unset))


def _deleted(_: Recorded, event: PostDeleted) -> Iterable[Operation]:
    yield Alter(POSTS, event.post, Change(set={"deleted": True}, unset=_TYPED))
    if event.reply_to is not None:
        yield _count(event.reply_to, "replies", -1)


def _count(post: str, field: str, step: int) -> Alter:
    return Alter(POSTS, post, Change(inc={f"counts.{field}": step}))


def _liked(_: Recorded, event: PostLiked) -> Iterable[Operation]:
    yield _count(event.post, "likes", 1)


def _unliked(_: Recorded, event: PostUnliked) -> Iterable[Operation]:
    yield _count(event.post, "likes", -1)


def _reposted(_: Recorded, event: PostReposted) -> Iterable[Operation]:
    yield _count(event.post, "reposts", 1)


def _repost_undone(_: Recorded, event: RepostUndone) -> Iterable[Operation]:
    yield _count(event.post, "reposts", -1)


FAMILY = Family(
    "posts",
    (POSTS,),
    dict(
        (
            on(PostCreated, _created),
            on(PostEdited, _edited),
            on(PostDeleted, _deleted),
            on(PostLiked, _liked),
            on(PostUnliked, _unliked),
            on(PostReposted, _reposted),
            on(RepostUndone, _repost_undone),
        )
    ),
)


def as_post(id_: str, document: Document) -> PostDoc | None:
    """None for a stub: counted by another shard before its own creation was folded."""
    return msgspec.convert({**document, "id": id_}, PostDoc) if "author" in document else None


async def get_posts(documents: Documents, ids: Sequence[str]) -> Mapping[str, PostDoc]:
    """Posts and tombstones by id, one find, none for none; unknown ids are absent."""
    if not ids:
        return {}
    found = await documents.get(POSTS, ids)
    posts = ((id_, as_post(id_, document)) for id_, document in found.items())
    return {id_: post for id_, post in posts if post is not None}


async def replies_to(
    documents: Documents, post: str, *, after: After | None, limit: int, reverse: bool = False
) -> Sequence[PostDoc]:
    """Direct replies, oldest first (``reverse``: newest first), tombstones included; one find."""
    found = await documents.page(POSTS, "replies", [post], after=after, limit=limit, reverse=reverse)
    posts = (as_post(row.id, row.fields) for row in found)
    return [post for post in posts if post is not None]

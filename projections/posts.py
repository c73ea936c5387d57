"""Posts: content, counts and tombstones. The only place of a post's text outside the log and search."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from domain.envelope import Recorded
from domain.events import (
    BookmarkRemoved,
    Facet,
    Media,
    PostBookmarked,
    PostContent,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostPinned,
    PostReposted,
    PostRestored,
    PostUnliked,
    PostUnpinned,
    RepostUndone,
)
from projections.documents.port import (
    After,
    Change,
    Collection,
    Document,
    Documents,
    Fidelity,
    Found,
    Index,
    Shape,
    Value,
)
from projections.folding import Alter, Family, Operation, on
from projections.keys import sort_key

POSTS = Collection(
    "posts",
    "posts",
    Shape.STATE,
    Fidelity.EXACT,
    (
        Index("replies", ("replyTo",), "key"),
        Index("threads", ("root",), "key"),
        Index("quotes", ("quote",), "key"),
        Index("pinned", ("pinnedBy",), "pinKey"),
        Index("public", ("public",), "key"),
    ),
)
REVISIONS = Collection("posts", "revisions", Shape.STATE, Fidelity.EXACT)
"""One document a post: what it said before each edit, by the number of the revision."""

PUBLIC = "PUBLIC"
_TYPED = ("text", "contentWarning", "media", "facets", "tags", "mentions", "language")
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
    media: tuple[Media, ...] = ()
    facets: tuple[Facet, ...] = ()
    tags: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    language: str | None = None
    reply_to: str | None = None
    reply_to_author: str | None = None
    ancestors: tuple[str, ...] = ()
    quote: str | None = None
    quote_author: str | None = None
    edited_at: int | None = None
    deleted: bool = False
    pin_key: str | None = None
    counts: PostCounts = PostCounts()

    @property
    def content(self) -> PostContent:
        """What was typed."""
        return PostContent(text=self.text or "", content_warning=self.content_warning, media=self.media)

    @property
    def cursor(self) -> After:
        """Where it stands among the replies of its parent, or among what quotes the same post."""
        return After(self.key, self.id)


class Revision(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a post said from ``at`` on (microseconds); ``number`` counts from 1."""

    number: int
    at: int
    text: str
    content_warning: str = ""
    media: tuple[Media, ...] = ()
    facets: tuple[Facet, ...] = ()


def _typed(content: PostContent) -> dict[str, Value]:
    return {
        "text": content.text,
        "contentWarning": content.content_warning,
        "media": [msgspec.to_builtins(one) for one in content.media],
    }


def _content(event: PostCreated | PostEdited | PostRestored) -> dict[str, Value]:
    fields: dict[str, Value] = {
        "facets": [msgspec.to_builtins(facet) for facet in event.facets],
        "tags": list(event.tags),
        "mentions": list(event.mentions),
        "language": event.language,
    }
    return fields if event.private is None else fields | _typed(event.private)


def _hangs(event: PostCreated | PostRestored) -> dict[str, Value]:
    """Where a post hangs: what it answers, what it quotes, or in the public feed."""
    fields: dict[str, Value] = {"root": event.root}
    if event.reply_to is None and event.visibility == PUBLIC:
        fields["public"] = True
    if event.reply_to is not None:
        fields |= {"replyTo": event.reply_to, "replyToAuthor": event.reply_to_author}
        fields["ancestors"] = list(event.ancestors)
    if event.quote is not None:
        fields |= {"quote": event.quote, "quoteAuthor": event.quote_author}
    return fields


def _counted(event: PostCreated | PostDeleted | PostRestored, step: int) -> Iterable[Operation]:
    """What it is to the posts that it hangs on."""
    if event.reply_to is not None:
        yield _count(event.reply_to, "replies", step)
    if event.quote is not None:
        yield _count(event.quote, "quotes", step)


def _created(recorded: Recorded, event: PostCreated) -> Iterable[Operation]:
    fields = _content(event) | _hangs(event)
    fields |= {
        "author": event.author,
        "visibility": event.visibility,
        "sortAt": recorded.sort_at,
        "createdAt": recorded.sort_at,
        "key": sort_key(recorded.sort_at, event.post),
        "revision": 1,
    }
    yield from _counted(event, 1)
    yield Alter(POSTS, event.post, Change(set=fields))


def _edited(recorded: Recorded, event: PostEdited) -> Iterable[Operation]:
    fields = _content(event) | {"revision": event.revision, "editedAt": recorded.sort_at}
    unset = ("text", "contentWarning", "media") if event.private is None else ()
    yield Alter(POSTS, event.post, Change(set=fields, unset=unset))
    if event.private is not None and event.private.before is not None:
        before: dict[str, Value] = {
            "at": event.before_at,
            "facets": [msgspec.to_builtins(facet) for facet in event.before_facets],
        }
        before |= _typed(event.private.before)
        yield Alter(REVISIONS, event.post, Change(set={f"was.r{event.revision - 1}": before}))


def _deleted(_: Recorded, event: PostDeleted) -> Iterable[Operation]:
    yield Alter(POSTS, event.post, Change(set={"deleted": True}, unset=(*_TYPED, "public")))
    yield Alter(REVISIONS, event.post, Change(unset=("was",)))
    yield from _counted(event, -1)


def _restored(_: Recorded, event: PostRestored) -> Iterable[Operation]:
    yield Alter(POSTS, event.post, Change(set=_content(event) | _hangs(event), unset=("deleted",)))
    yield from _counted(event, 1)


def _pinned(recorded: Recorded, event: PostPinned) -> Iterable[Operation]:
    fields: dict[str, Value] = {"pinnedBy": event.author, "pinKey": sort_key(recorded.sort_at, event.post)}
    yield Alter(POSTS, event.post, Change(set=fields))


def _unpinned(_: Recorded, event: PostUnpinned) -> Iterable[Operation]:
    yield Alter(POSTS, event.post, Change(unset=("pinnedBy", "pinKey")))


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


def _bookmarked(_: Recorded, event: PostBookmarked) -> Iterable[Operation]:
    yield _count(event.post, "bookmarks", 1)


def _bookmark_removed(_: Recorded, event: BookmarkRemoved) -> Iterable[Operation]:
    yield _count(event.post, "bookmarks", -1)


FAMILY = Family(
    "posts",
    (POSTS, REVISIONS),
    dict(
        (
            on(PostCreated, _created),
            on(PostEdited, _edited),
            on(PostDeleted, _deleted),
            on(PostRestored, _restored),
            on(PostPinned, _pinned),
            on(PostUnpinned, _unpinned),
            on(PostLiked, _liked),
            on(PostUnliked, _unliked),
            on(PostReposted, _reposted),
            on(RepostUndone, _repost_undone),
            on(PostBookmarked, _bookmarked),
            on(BookmarkRemoved, _bookmark_removed),
        )
    ),
)


def as_post(id_: str, document: Document) -> PostDoc | None:
    """None for a stub: counted by another shard before its own creation was folded."""
    return msgspec.convert({**document, "id": id_}, PostDoc) if "author" in document else None


def _posts(found: Sequence[Found]) -> Sequence[PostDoc]:
    posts = (as_post(row.id, row.fields) for row in found)
    return [post for post in posts if post is not None]


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
    return _posts(found)


async def get_revisions(documents: Documents, post: PostDoc) -> Sequence[Revision]:
    """What a post that stands has said, the newest first and with what it says now; one find. Those before a deletion are gone."""
    found = (await documents.get(REVISIONS, [post.id])).get(post.id, {}).get("was", {})
    now = Revision(
        number=post.revision,
        at=post.edited_at or post.created_at,
        text=post.text or "",
        content_warning=post.content_warning,
        media=post.media,
        facets=post.facets,
    )
    was = msgspec.convert(found, dict[str, dict[str, Any]])
    earlier = [msgspec.convert({**one, "number": int(number[1:])}, Revision) for number, one in was.items()]
    return [now, *sorted(earlier, key=lambda one: -one.number)]


async def replies_to_many(
    documents: Documents, posts: Sequence[str], *, limit: int, reverse: bool = False
) -> Sequence[PostDoc]:
    """The oldest (``reverse``: newest) direct replies to several posts in one order, tombstones included; one find up to 200 posts."""
    found = await documents.page_many(POSTS, "replies", [[post] for post in posts], limit=limit, reverse=reverse)
    return _posts(found)


async def thread_posts(documents: Documents, root: str, *, limit: int) -> Sequence[PostDoc]:
    """The oldest posts of a thread with its root, tombstones included; one find."""
    return _posts(await documents.page(POSTS, "threads", [root], limit=limit))


async def public_posts(
    documents: Documents, *, after: After | None, limit: int, reverse: bool = True
) -> Sequence[PostDoc]:
    """Public posts that answer nothing, newest first; one find."""
    return _posts(await documents.page(POSTS, "public", [True], after=after, limit=limit, reverse=reverse))


async def quotes_of(
    documents: Documents, post: str, *, after: After | None, limit: int, reverse: bool = True
) -> Sequence[PostDoc]:
    """Posts that quote a post, newest first, tombstones included; one find."""
    found = await documents.page(POSTS, "quotes", [post], after=after, limit=limit, reverse=reverse)
    return _posts(found)


async def pinned_posts(documents: Documents, author: str, limit: int) -> Sequence[PostDoc]:
    """What an author has pinned, the newest pin first; one find."""
    found = await documents.page(POSTS, "pinned", [author], limit=limit, reverse=True)
    return _posts(found)

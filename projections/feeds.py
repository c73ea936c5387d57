"""The exact part of home: who follows whom, and everything that an author has posted or reposted, never trimmed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from projections.documents.port import After, Collection, Document, Documents, Fidelity, Index, Shape, Spread, Value

EDGES = Collection(
    "home",
    "edges",
    Shape.STATE,
    Fidelity.EXACT,
    # A follow that has ended lacks its key, and so is in neither.
    (Index("followers", ("followee",), "key"), Index("following", ("follower",), "key")),
    Spread.RANGES,
)
AUTHOR_FEED = Collection(
    "home",
    "author_feed",
    Shape.STATE,
    Fidelity.EXACT,
    (
        Index("by_author", ("author",), "key"),
        Index("by_author_reply", ("author", "reply"), "key"),
        Index("by_author_media", ("author", "media"), "key"),
    ),
)

FOLLOWS_READ = 8_000
"""Edges a find: the soft limit of 7,500 follows and what slipped past it."""


class FollowEdge(msgspec.Struct, frozen=True, kw_only=True):
    """A standing follow; ``reposts``: whether the followee's reposts are wanted."""

    follower: str
    followee: str
    key: str
    reposts: bool = True

    @property
    def cursor(self) -> After:
        return After(self.key, follow_id(self.follower, self.followee))


class FeedEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What stands in a feed: ``author`` posted or reposted ``post``. ``item`` is the post's id, or {author}-{post} of a repost.

    ``key`` is sort_key(time, item): a repost that is made again is the same item under another key. ``media``: whether the post showed any when it was
    written; a timeline's rows do not follow its edits.
    """

    author: str
    item: str
    key: str
    post: str
    post_author: str
    reply: bool = False
    reply_to_author: str | None = None
    quote: str | None = None
    quote_author: str | None = None
    media: bool = False

    @property
    def repost(self) -> bool:
        return self.item != self.post

    @property
    def cursor(self) -> After:
        """Where it stands in a feed of its author's, or of all whom somebody follows."""
        return After(self.key, self.item)


def follow_id(follower: str, followee: str) -> str:
    return f"{follower}-{followee}"


def repost_item(actor: str, post: str) -> str:
    return f"{actor}-{post}"


def reposter(item: str) -> str:
    """Who made the repost that is this item."""
    return item.partition("-")[0]


def as_entry(document: Document) -> FeedEntry:
    return msgspec.convert(document, FeedEntry)


async def followers_of(
    documents: Documents, followee: str, *, after: After | None, limit: int, reverse: bool = True
) -> Sequence[FollowEdge]:
    """Standing follows of a person, newest first; one find."""
    found = await documents.page(EDGES, "followers", [followee], after=after, limit=limit, reverse=reverse)
    return [msgspec.convert(row.fields, FollowEdge) for row in found]


async def first_followers(
    documents: Documents, followees: Sequence[str], limit: int
) -> Mapping[str, Sequence[str]] | None:
    """All followers of each of these people, or None where together they are ``limit`` or more; one find up to 200 people."""
    found = await documents.page_many(EDGES, "followers", [[followee] for followee in followees], limit=limit)
    if len(found) >= limit:
        return None
    followers: defaultdict[str, list[str]] = defaultdict(list)
    for row in found:
        followers[str(row.fields["followee"])].append(str(row.fields["follower"]))
    return followers


async def follows_of(
    documents: Documents, follower: str, *, after: After | None, limit: int, reverse: bool = True
) -> Sequence[FollowEdge]:
    """Whom a person follows, newest first; one find."""
    found = await documents.page(EDGES, "following", [follower], after=after, limit=limit, reverse=reverse)
    return [msgspec.convert(row.fields, FollowEdge) for row in found]


async def standing_follows(documents: Documents, pairs: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Those (follower, followee) of ``pairs`` that stand; one find, none for none."""
    ids = {follow_id(*pair): pair for pair in pairs}
    found = await documents.get(EDGES, list(ids)) if ids else {}
    return frozenset(ids[id_] for id_, edge in found.items() if "key" in edge)


async def following_ids(documents: Documents, follower: str) -> Sequence[str]:
    """Everyone whom a person follows: the authors of a home, and its topics; one find up to FOLLOWS_READ."""
    ids: list[str] = []
    after: After | None = None
    while True:
        edges = await follows_of(documents, follower, after=after, limit=FOLLOWS_READ)
        ids += [edge.followee for edge in edges]
        if len(edges) < FOLLOWS_READ:
            return ids
        after = edges[-1].cursor


class AuthorFilter(StrEnum):
    """Which of what an author posted: ``POSTS`` without replies, ``MEDIA`` only what shows something."""

    POSTS = "POSTS"
    POSTS_AND_REPLIES = "POSTS_AND_REPLIES"
    MEDIA = "MEDIA"


_FILTERED: Final[Mapping[AuthorFilter, tuple[str, tuple[Value, ...]]]] = {
    AuthorFilter.POSTS: ("by_author_reply", (False,)),
    AuthorFilter.POSTS_AND_REPLIES: ("by_author", ()),
    AuthorFilter.MEDIA: ("by_author_media", (True,)),
}


async def author_entries(
    documents: Documents, author: str, chosen: AuthorFilter, *, after: After | None, limit: int, reverse: bool = True
) -> Sequence[FeedEntry]:
    """An author's posts and reposts, newest first; one find."""
    index, rest = _FILTERED[chosen]
    prefix: list[Value] = [author, *rest]
    found = await documents.page(AUTHOR_FEED, index, prefix, after=after, limit=limit, reverse=reverse)
    return [as_entry(row.fields) for row in found]


async def merged_entries(
    documents: Documents, authors: Iterable[str], *, after: After | None, limit: int
) -> Sequence[FeedEntry]:
    """The newest of several authors' feeds in one order, newest first; one find, none without authors."""
    prefixes = [[author] for author in authors]
    if not prefixes:
        return ()
    found = await documents.page_many(AUTHOR_FEED, "by_author", prefixes, after=after, limit=limit, reverse=True)
    return [as_entry(row.fields) for row in found]

"""Home: follow edges and author feeds, and the timelines that are pushed from them. One family with a checkpoint of its own, so that a big fan-out
delays nobody else.

A home shows the posts and reposts of those whom the viewer follows, and the viewer's own. Which of them a page shows is decided at read
(projections.rules): unfollowing, muting, deleting and the like touch no row.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from domain.envelope import Recorded
from domain.events import (
    Followed,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostReposted,
    PostRestored,
    RepostUndone,
    Unfollowed,
)
from projections.documents.port import Change, Documents, Value
from projections.feeds import AUTHOR_FEED, EDGES, FeedEntry, follow_id, repost_item
from projections.folding import Alter, Deferred, Family, Operation, on
from projections.keys import sort_key
from projections.latches import LATCHES, PULLS, Edge, end_pulls
from projections.pushing import Item, copy, push
from projections.timelines import DEFAULT_LIMITS, TIMELINE_ROWS, TIMELINES, HomeLimits

DIRECT = "DIRECT"
FOLLOW_WEIGHT: Final = 3
"""What a follow defers is two finds for many of them, and rows of one timeline where there is one: were it as heavy as a post's, batches of follows would be
a quarter as long as other families', and home would fall behind wherever many families catch up side by side."""


def _feed_fields(entry: FeedEntry) -> Change:
    fields: dict[str, Value] = {
        "author": entry.author,
        "item": entry.item,
        "key": entry.key,
        "post": entry.post,
        "postAuthor": entry.post_author,
        "reply": entry.reply,
    }
    if entry.reply_to_author is not None:
        fields["replyToAuthor"] = entry.reply_to_author
    if entry.quote is not None:
        fields |= {"quote": entry.quote, "quoteAuthor": entry.quote_author}
    if entry.media:
        fields["media"] = True
    return Change(set=fields, unset=("gone",))


_GONE = Change(set={"gone": True}, unset=("key",))


def post_entry(recorded: Recorded, event: PostCreated | PostRestored) -> FeedEntry:
    """A post in its author's feed: a restored one where it was."""
    at = event.sort_at if isinstance(event, PostRestored) else recorded.sort_at
    return FeedEntry(
        author=event.author,
        item=event.post,
        key=sort_key(at, event.post),
        post=event.post,
        post_author=event.author,
        reply=event.reply_to is not None,
        reply_to_author=event.reply_to_author,
        quote=event.quote,
        quote_author=event.quote_author,
        media=event.media > 0,
    )


def repost_entry(recorded: Recorded, event: PostReposted) -> FeedEntry:
    """A repost in the feed of who reposted."""
    item = repost_item(event.actor, event.post)
    return FeedEntry(
        author=event.actor,
        item=item,
        key=sort_key(recorded.sort_at, item),
        post=event.post,
        post_author=event.author,
        quote=event.quote,
        quote_author=event.quote_author,
    )


def _entries(events: Iterable[Recorded]) -> Iterator[Item]:
    """What came into feeds."""
    for recorded in events:
        if isinstance(recorded.event, PostCreated | PostRestored):
            yield Item(post_entry(recorded, recorded.event), recorded.sequence, recorded.recorded_at)
        elif isinstance(recorded.event, PostReposted):
            yield Item(repost_entry(recorded, recorded.event), recorded.sequence, recorded.recorded_at)


def _edges(events: Iterable[Recorded], kind: type[Followed] | type[Unfollowed]) -> Sequence[Edge]:
    return [
        Edge(recorded.event.follower, recorded.event.followee, recorded.sequence)
        for recorded in events
        if isinstance(recorded.event, kind)
    ]


class _Folds:
    """The folds of home under given limits."""

    def __init__(self, limits: HomeLimits) -> None:
        self._limits = limits

    def _entered(self, entry: FeedEntry) -> Iterable[Operation]:
        yield Alter(AUTHOR_FEED, entry.item, _feed_fields(entry))
        yield Deferred(self._settle)

    async def _settle(self, documents: Documents, events: Sequence[Recorded]) -> None:
        """Ends before beginnings: of an unfollow and a follow that comes after it, the later one stands."""
        await end_pulls(documents, _edges(events, Unfollowed))
        await push(documents, list(_entries(events)), self._limits)
        await copy(documents, _edges(events, Followed), self._limits)

    def came(self, recorded: Recorded, event: PostCreated | PostRestored) -> Iterable[Operation]:
        # A direct post is in nobody's feed. A restored one is pushed again: timelines may have been built while it was gone.
        if event.visibility != DIRECT:
            yield from self._entered(post_entry(recorded, event))

    def edited(self, _: Recorded, event: PostEdited) -> Iterable[Operation]:
        if event.visibility != DIRECT:
            change = Change(set={"media": True}) if event.media else Change(unset=("media",))
            yield Alter(AUTHOR_FEED, event.post, change)

    def reposted(self, recorded: Recorded, event: PostReposted) -> Iterable[Operation]:
        yield from self._entered(repost_entry(recorded, event))

    def deleted(self, _: Recorded, event: PostDeleted) -> Iterable[Operation]:
        yield Alter(AUTHOR_FEED, event.post, _GONE)

    def undone(self, _: Recorded, event: RepostUndone) -> Iterable[Operation]:
        yield Alter(AUTHOR_FEED, repost_item(event.actor, event.post), _GONE)

    def followed(self, recorded: Recorded, event: Followed) -> Iterable[Operation]:
        edge = follow_id(event.follower, event.followee)
        if event.renewed:
            yield Alter(EDGES, edge, Change(set={"reposts": event.reposts}))
            return
        fields: dict[str, Value] = {
            "follower": event.follower,
            "followee": event.followee,
            "active": True,
            "key": sort_key(recorded.sort_at, edge),
            "reposts": event.reposts,
        }
        yield Alter(EDGES, edge, Change(set=fields))
        yield Deferred(self._settle, weight=FOLLOW_WEIGHT)

    def unfollowed(self, _: Recorded, event: Unfollowed) -> Iterable[Operation]:
        edge = follow_id(event.follower, event.followee)
        yield Alter(EDGES, edge, Change(set={"active": False}, unset=("key",)))
        yield Deferred(self._settle, weight=FOLLOW_WEIGHT)


def home_family(limits: HomeLimits = DEFAULT_LIMITS) -> Family:
    """The family, with its bounds: how long a timeline is, who is active, where push turns into merge."""
    folds = _Folds(limits)
    return Family(
        "home",
        (EDGES, AUTHOR_FEED, TIMELINES, TIMELINE_ROWS, LATCHES, PULLS),
        dict(
            (
                on(PostCreated, folds.came),
                on(PostRestored, folds.came),
                on(PostEdited, folds.edited),
                on(PostReposted, folds.reposted),
                on(PostDeleted, folds.deleted),
                on(RepostUndone, folds.undone),
                on(Followed, folds.followed),
                on(Unfollowed, folds.unfollowed),
            )
        ),
    )


FAMILY = home_family()

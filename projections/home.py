"""Home: follow edges and author feeds, and the timelines that are pushed from them. One family with a checkpoint of its own, so that a big fan-out
delays nobody else.

A home shows the posts and reposts of those whom the viewer follows, and the viewer's own. Which of them a page shows is decided at read
(projections.rules): unfollowing, muting, deleting and the like touch no row.
"""

from collections.abc import Iterable
from functools import partial

from domain.envelope import Recorded
from domain.events import Followed, PostCreated, PostDeleted, PostReposted, RepostUndone, Unfollowed
from projections.documents.port import Change, Value
from projections.feeds import AUTHOR_FEED, EDGES, FeedEntry, follow_id, repost_item
from projections.folding import Alter, Deferred, Family, Operation, on
from projections.keys import sort_key
from projections.timelines import (
    DEFAULT_LIMITS,
    LATCHES,
    PULLS,
    TIMELINE_ROWS,
    TIMELINES,
    Cause,
    HomeLimits,
    copy,
    end_pull,
    push,
)

DIRECT = "DIRECT"


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
    return Change(set=fields, unset=("gone",))


_GONE = Change(set={"gone": True}, unset=("key",))


def _cause(recorded: Recorded) -> Cause:
    return Cause(recorded.sequence, recorded.recorded_at)


def post_entry(recorded: Recorded, event: PostCreated) -> FeedEntry:
    """A post in its author's feed."""
    return FeedEntry(
        author=event.author,
        item=event.post,
        key=sort_key(recorded.sort_at, event.post),
        post=event.post,
        post_author=event.author,
        reply=event.reply_to is not None,
        reply_to_author=event.reply_to_author,
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
    )


class _Folds:
    """The folds of home under given limits."""

    def __init__(self, limits: HomeLimits) -> None:
        self._limits = limits

    def _entered(self, recorded: Recorded, entry: FeedEntry) -> Iterable[Operation]:
        yield Alter(AUTHOR_FEED, entry.item, _feed_fields(entry))
        yield Deferred(partial(push, entry=entry, cause=_cause(recorded), limits=self._limits))

    def created(self, recorded: Recorded, event: PostCreated) -> Iterable[Operation]:
        # A direct post is in nobody's feed.
        if event.visibility != DIRECT:
            yield from self._entered(recorded, post_entry(recorded, event))

    def reposted(self, recorded: Recorded, event: PostReposted) -> Iterable[Operation]:
        yield from self._entered(recorded, repost_entry(recorded, event))

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
        yield Deferred(
            partial(
                copy,
                follower=event.follower,
                followee=event.followee,
                cause=_cause(recorded),
                limits=self._limits,
            )
        )

    def unfollowed(self, recorded: Recorded, event: Unfollowed) -> Iterable[Operation]:
        edge = follow_id(event.follower, event.followee)
        yield Alter(EDGES, edge, Change(set={"active": False}, unset=("key",)))
        yield Deferred(partial(end_pull, follower=event.follower, followee=event.followee, cause=_cause(recorded)))


def home_family(limits: HomeLimits = DEFAULT_LIMITS) -> Family:
    """The family, with its bounds: how long a timeline is, who is active, where push turns into merge."""
    folds = _Folds(limits)
    return Family(
        "home",
        (EDGES, AUTHOR_FEED, TIMELINES, TIMELINE_ROWS, LATCHES, PULLS),
        dict(
            (
                on(PostCreated, folds.created),
                on(PostReposted, folds.reposted),
                on(PostDeleted, folds.deleted),
                on(RepostUndone, folds.undone),
                on(Followed, folds.followed),
                on(Unfollowed, folds.unfollowed),
            )
        ),
    )


FAMILY = home_family()

"""Live feeds: what comes into, changes in and goes from a list of posts, by the same rules as its page."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import msgspec

from api.auth.access import Viewer
from api.live.cursors import PUBLIC, hashtag, subject
from api.live.replay import Topics
from api.live.stream import Lagged, Shown, open_stream
from api.services import Services
from projections.feeds import FeedEntry, reposter
from projections.reading import own_entry
from projections.rules import Feed, FeedItem, PostView, Tombstone, show_end, show_item
from projections.sight import Sight, Wanted
from projections.signals import PUBLIC_TOPIC, Signal, SignalKind, tag_topic

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Added:
    cursor: str
    item: FeedItem


@dataclass(frozen=True, slots=True)
class Updated:
    cursor: str
    item: FeedItem


@dataclass(frozen=True, slots=True)
class Removed:
    """``item`` is the bare id of what went at ``at`` (microseconds); ``post`` what it was about, as it is now."""

    cursor: str
    item: str
    post: PostView | Tombstone
    at: int


ItemEvent = Added | Updated | Removed


class Items:
    """A channel of feed items, as ``feed`` shows them to ``viewer``; ``names`` are its topics."""

    def __init__(self, services: Services, viewer: str | None, bound_to: str, feed: Feed, names: Iterable[str]) -> None:
        self.bound_to = bound_to
        self._services = services
        self._viewer = viewer
        self._feed = feed
        self._names = names

    async def topics(self, after: Mapping[int, int]) -> Topics:
        return Topics(self._names, after)

    async def show(self, signals: Sequence[Signal]) -> Sequence[Sequence[Shown[ItemEvent]]]:
        sight = await self._sight(signals)
        return [self._shown(sight, signal) for signal in signals]

    async def _sight(self, signals: Sequence[Signal]) -> Sight:
        """One wave; a second one where a signal names a post alone, whose author must be learned first."""
        wanted = Wanted(self._viewer, self._services.now())
        for entry in self._besides(signals):
            wanted.entry(entry)
            wanted.post(entry.post)
        named: list[str] = []
        for signal in signals:
            if signal.entry is not None:
                wanted.entry(signal.entry)
                wanted.post(signal.entry.post)
            elif signal.post is not None:
                wanted.post(signal.post)
                named.append(signal.post)
                if signal.kind is SignalKind.ITEM_REMOVED and signal.item is not None and signal.item != signal.post:
                    wanted.person(reposter(signal.item))
        looks = self._services.live.looks
        sight = await looks.read(wanted)
        authors = Wanted(self._viewer)
        for post in named:
            if post in sight.posts:
                authors.author_of(sight.posts[post])
        return sight.joined(await looks.read(authors)) if named else sight

    def _besides(self, signals: Sequence[Signal]) -> Iterable[FeedEntry]:  # noqa: ARG002 (for who needs more)
        """Entries that must be known too, so that the signals can be shown."""
        return ()

    def _shown(self, sight: Sight, signal: Signal) -> Sequence[Shown[ItemEvent]]:
        if signal.post is None or signal.item is None:
            return ()
        match signal.kind:
            case SignalKind.ITEM_ADDED if signal.entry is not None:
                item = show_item(sight, signal.entry, self._feed)
                return () if item is None else (partial(Added, item=item),)
            case SignalKind.ITEM_UPDATED:
                item = self._own_item(sight, signal.post)
                return () if item is None else (partial(Updated, item=item),)
            case SignalKind.ITEM_LEFT:
                item = self._own_item(sight, signal.post)
                return () if item is None else (_removed(signal.item, item.post, signal.at),)
            case SignalKind.ITEM_REMOVED:
                gone = self._gone(sight, signal.item, signal.post)
                return () if gone is None else (_removed(signal.item, gone, signal.at),)
        return ()

    def _own_item(self, sight: Sight, post: str) -> FeedItem | None:
        found = sight.posts.get(post)
        return None if found is None else show_item(sight, own_entry(found), self._feed)

    def _gone(self, sight: Sight, item: str, post: str) -> PostView | Tombstone | None:
        found = sight.posts.get(post)
        if found is None:
            return None
        entry = own_entry(found)
        if item != post:
            entry = msgspec.structs.replace(entry, author=reposter(item), item=item)
        return show_end(sight, entry, self._feed)


def _removed(item: str, post: PostView | Tombstone, at: int) -> Shown[ItemEvent]:
    return lambda cursor: Removed(cursor, item, post, at)


class _Public(Items):
    def _own_item(self, sight: Sight, post: str) -> FeedItem | None:
        item = super()._own_item(sight, post)
        # That an edited post answers another, its event does not say.
        return item if item is not None and item.post.post.reply_to is None else None


def public_stream(
    services: Services, viewer: Viewer | None, after: str | None, present: Callable[[ItemEvent | Lagged], P]
) -> AsyncGenerator[P, None]:
    """Public posts that answer nothing. As open_stream."""
    account = viewer.account if viewer is not None else None
    channel = _Public(services, account, subject(PUBLIC, account), Feed.OPEN, [PUBLIC_TOPIC])
    return open_stream(services, viewer, channel, after, present)


def hashtag_stream(
    services: Services, viewer: Viewer | None, tag: str, after: str | None, present: Callable[[ItemEvent | Lagged], P]
) -> AsyncGenerator[P, None]:
    """Public posts under a folded tag. As open_stream."""
    account = viewer.account if viewer is not None else None
    channel = Items(services, account, subject(hashtag(tag), account), Feed.OPEN, [tag_topic(tag)])
    return open_stream(services, viewer, channel, after, present)

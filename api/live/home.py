"""The live home: what comes into, changes in and goes from the feed of somebody who is signed in, by the same rules as the page."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from api.auth.access import Viewer
from api.live.cursors import HOME, read_live, require_kept, sign_live, subject
from api.live.inbox import Delivery, Inbox, Lag
from api.live.replay import Topics, replay
from api.services import Services
from api.vectors import merged
from domain.errors import Code, UnavailableError, refuse
from projections import home
from projections.feeds import following_ids
from projections.reading import own_entry
from projections.rules import Feed, FeedItem, PostView, Tombstone, show_item, show_post
from projections.sight import Sight, Wanted
from projections.signals import Signal, SignalKind, author_topic, following_topic

BATCH: Final = 50
"""Deliveries that are looked at together."""


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


@dataclass(frozen=True, slots=True)
class Lagged:
    cursor: str
    count: int


HomeEvent = Added | Updated | Removed | Lagged


async def home_stream(services: Services, viewer: Viewer, after: str | None) -> AsyncGenerator[HomeEvent, None]:
    """What happens after the cursor ``after``, or from now on, until the session expires (Refusal EXPIRED) or the stream lags.

    Raises Refusal CURSOR_INVALID or CURSOR_TOO_OLD, and UnavailableError where it cannot begin.
    """
    stream = _HomeStream(services, viewer)
    async with services.live.listening(), aclosing(stream.run(after)) as events:
        async for event in events:
            yield event


class _HomeStream:
    """``_vector``: up to where everything has been delivered, in each shard."""

    def __init__(self, services: Services, viewer: Viewer) -> None:
        self._services = services
        self._router = services.live
        self._viewer = viewer
        self._bound_to = subject(HOME, viewer.account)
        self._vector: dict[int, int] = {}

    async def run(self, after: str | None) -> AsyncGenerator[HomeEvent, None]:
        current = await self._router.checkpoints()
        if after is None:
            self._vector = dict(current)
        else:
            self._vector = await read_live(self._services, self._bound_to, after, current)
        # What is known of follows must be older than the edges that are read next: what happened in between is then seen twice, not never.
        known = await self._services.documents.load_checkpoints(home.FAMILY.name)
        authors = await following_ids(self._services.documents, self._viewer.account)
        own = self._viewer.account
        topics = Topics([following_topic(own), author_topic(own), *map(author_topic, authors)], known)
        # Follows are read from where the edges are known to stand, items from the cursor.
        reached = {shard: min(at, known.get(shard, 0)) for shard, at in self._vector.items()}
        while (upto := merged(reached, self._router.positions)) != reached:
            async with aclosing(self._catch_up(topics, reached, upto)) as missed:
                async for event in missed:
                    yield event
            reached = upto
        # No await since the router had handed out nothing more than this: nothing is missed, and nothing comes twice.
        inbox = Inbox(self._vector)
        self._router.attach(inbox, topics.names)
        try:
            async with aclosing(self._listen(inbox)) as events:
                async for event in events:
                    yield event
        finally:
            self._router.detach(inbox)

    async def _catch_up(
        self, topics: Topics, reached: Mapping[int, int], upto: Mapping[int, int]
    ) -> AsyncGenerator[HomeEvent, None]:
        """Replays what lies between; items before the vector have been delivered."""
        start = dict(self._vector)
        async with (
            aclosing(replay(self._services.documents, reached, upto, topics)) as missed,
            aclosing(_gathered(missed, start)) as gathered,
        ):
            async for some in gathered:
                for event in await self._look(some):
                    self._require_session()
                    yield event
        # What was swept away while it was being read is missing.
        await require_kept(self._services, start)
        self._vector = merged(start, upto)

    async def _listen(self, inbox: Inbox) -> AsyncGenerator[HomeEvent, None]:
        while True:
            taken = await self._take(inbox)
            if isinstance(taken, Lag):
                yield Lagged(self._cursor(self._vector), taken.count)
                return
            try:
                events = await self._look(taken)
            except UnavailableError:
                yield Lagged(self._cursor(self._vector), len(taken))
                return
            for event in events:
                self._require_session()
                yield event

    async def _take(self, inbox: Inbox) -> Sequence[Delivery] | Lag:
        """The next deliveries, waited for as long as the session lasts."""
        while True:
            left = self._require_session()
            try:
                async with asyncio.timeout(left):
                    return await inbox.take(BATCH)
            except TimeoutError:
                continue

    def _require_session(self) -> float:
        """The seconds that the session has left; Refusal EXPIRED where there are none."""
        left = self._viewer.expires_at - self._services.now()
        if left <= 0:
            raise refuse(Code.EXPIRED, "The access token has expired: go on with a new one, from the last cursor.")
        return left / 1_000_000

    async def _look(self, deliveries: Sequence[Delivery]) -> Sequence[HomeEvent]:
        """The deliveries as this viewer may see them, now. The vector moves past them."""
        sight = await self._sight([signal for delivery in deliveries for signal in delivery.signals])
        events: list[HomeEvent] = []
        for delivery in deliveries:
            views = [(signal, _view(sight, signal)) for signal in delivery.signals]
            shown = [(signal, view) for signal, view in views if view is not None]
            before = merged(self._vector, delivery.others)
            self._vector = merged(before, {delivery.shard: delivery.position})
            for left, (signal, view) in zip(range(len(shown) - 1, -1, -1), shown, strict=True):
                # Only behind an event's last signal has all of it been delivered.
                events.append(_event(signal, view, self._cursor(before if left else self._vector)))
        return events

    async def _sight(self, signals: Sequence[Signal]) -> Sight:
        """One wave; a second one where a signal names a post alone, whose author must be learned first."""
        wanted = Wanted(self._viewer.account, self._services.now())
        named: list[str] = []
        for signal in signals:
            if signal.entry is not None:
                wanted.entry(signal.entry)
                wanted.post(signal.entry.post)
            elif signal.post is not None and not _deletion(signal):
                wanted.post(signal.post)
                named.append(signal.post)
        sight = await self._router.looks.read(wanted)
        authors = Wanted(self._viewer.account)
        for post in named:
            if post in sight.posts:
                authors.author_of(sight.posts[post])
        return sight.joined(await self._router.looks.read(authors)) if named else sight

    def _cursor(self, vector: Mapping[int, int]) -> str:
        return sign_live(self._services, self._bound_to, vector)


async def _gathered(
    missed: AsyncIterator[Delivery], after: Mapping[int, int]
) -> AsyncGenerator[Sequence[Delivery], None]:
    """Those behind ``after``, some at a time."""
    some: list[Delivery] = []
    async for delivery in missed:
        if delivery.position > after.get(delivery.shard, 0):
            some.append(delivery)
        if len(some) == BATCH:
            yield some
            some = []
    if some:
        yield some


def _deletion(signal: Signal) -> bool:
    """Whether a post went, and not just a repost of it."""
    return signal.kind is SignalKind.ITEM_REMOVED and signal.item == signal.post


def _view(sight: Sight, signal: Signal) -> FeedItem | PostView | Tombstone | None:
    """What there is to be shown of a signal, None for nothing."""
    if signal.post is None:
        return None
    match signal.kind:
        case SignalKind.ITEM_ADDED:
            return None if signal.entry is None else show_item(sight, signal.entry, Feed.HOME)
        case SignalKind.ITEM_UPDATED:
            post = sight.posts.get(signal.post)
            return None if post is None else show_item(sight, own_entry(post), Feed.HOME)
        case SignalKind.ITEM_REMOVED:
            return Tombstone(signal.post, deleted=True) if _deletion(signal) else show_post(sight, signal.post)
    return None


def _event(signal: Signal, view: FeedItem | PostView | Tombstone, cursor: str) -> HomeEvent:
    if isinstance(view, FeedItem):
        return (Added if signal.kind is SignalKind.ITEM_ADDED else Updated)(cursor, view)
    return Removed(cursor, signal.item or view.id, view, signal.at)

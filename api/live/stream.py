"""A stream: what happens on its topics, replayed from a cursor and then listened to, shown to one viewer by the rules of the moment. What it listens to and how
a signal is shown are its channel's."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from api.auth.access import Viewer
from api.live.cursors import read_live, require_kept, sign_live
from api.live.inbox import Delivery, Inbox, Lag
from api.live.replay import Topics, replay
from api.services import Services
from api.vectors import merged
from domain.errors import Code, UnavailableError, refuse
from projections.signals import Signal

E = TypeVar("E")
P = TypeVar("P")
T = TypeVar("T")
E_co = TypeVar("E_co", covariant=True)

BATCH: Final = 50
"""Deliveries that are looked at together."""

Shown = Callable[[str], E]
"""An event that lacks its cursor alone."""


@dataclass(frozen=True, slots=True)
class Lagged:
    cursor: str
    count: int


class Channel(Protocol[E_co]):
    """``bound_to`` is what its cursors are good for."""

    @property
    def bound_to(self) -> str: ...

    async def topics(self, after: Mapping[int, int]) -> Topics:
        """What is listened to behind ``after``."""
        ...

    async def show(self, signals: Sequence[Signal]) -> Sequence[Sequence[Shown[E_co]]]:
        """What the viewer may see of each of these signals, now."""
        ...


async def open_stream(
    services: Services,
    viewer: Viewer | None,
    channel: Channel[E],
    after: str | None,
    present: Callable[[E | Lagged], P],
) -> AsyncGenerator[P, None]:
    """What happens after the cursor ``after``, or from now on, until the session expires (Refusal EXPIRED) or the stream lags; as ``present`` makes it. Guests
    whose channels are bound to the same may be given the same objects.

    Raises Refusal CURSOR_INVALID or CURSOR_TOO_OLD, and UnavailableError where it cannot begin.
    """
    stream = _Stream(services, viewer, channel, present)
    async with services.live.listening(), aclosing(stream.run(after)) as events:
        async for event in events:
            yield event


def require_session(services: Services, viewer: Viewer | None) -> float | None:
    """The seconds that the session has left, None for a guest; Refusal EXPIRED where there are none."""
    if viewer is None:
        return None
    left = viewer.expires_at - services.now()
    if left <= 0:
        raise refuse(Code.EXPIRED, "The access token has expired: go on with a new one, from the last cursor.")
    return left / 1_000_000


async def in_session(services: Services, viewer: Viewer | None, wait: Callable[[], Awaitable[T]]) -> T:
    """What is waited for, as long as the session lasts; ``wait`` may be broken off and begun again. Refusal EXPIRED at its end."""
    while True:
        left = require_session(services, viewer)
        try:
            async with asyncio.timeout(left):
                return await wait()
        except TimeoutError:
            continue


class _Stream(Generic[E, P]):
    """``_vector``: up to where everything has been delivered, in each shard."""

    def __init__(
        self, services: Services, viewer: Viewer | None, channel: Channel[E], present: Callable[[E | Lagged], P]
    ) -> None:
        self._services = services
        self._router = services.live
        self._viewer = viewer
        self._channel = channel
        self._present = present
        self._vector: Mapping[int, int] = {}

    async def run(self, after: str | None) -> AsyncGenerator[P, None]:
        current = await self._router.checkpoints()
        if after is None:
            self._vector = dict(current)
        else:
            self._vector = await read_live(self._services, self._channel.bound_to, after, current)
        topics = await self._channel.topics(self._vector)
        # Follows are read from where the topics are known to stand, items from the cursor.
        reached = {shard: min(at, topics.since.get(shard, 0)) for shard, at in self._vector.items()}
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
                async for happened in events:
                    yield happened
        finally:
            self._router.detach(inbox)

    async def _catch_up(
        self, topics: Topics, reached: Mapping[int, int], upto: Mapping[int, int]
    ) -> AsyncGenerator[P, None]:
        """Replays what lies between; items before the vector have been delivered."""
        start = dict(self._vector)
        async with (
            aclosing(replay(self._router.looks.documents, reached, upto, topics)) as missed,
            aclosing(_gathered(missed, start)) as gathered,
        ):
            async for some in gathered:
                for event in await self._look(some):
                    require_session(self._services, self._viewer)
                    yield event
        # What was swept away while it was being read is missing.
        await require_kept(self._services, start)
        self._vector = merged(start, upto)

    async def _listen(self, inbox: Inbox) -> AsyncGenerator[P, None]:
        while True:
            taken = await self._take(inbox)
            if isinstance(taken, Lag):
                yield self._lagged(taken.count)
                return
            try:
                events = await self._look(taken)
            except UnavailableError:
                yield self._lagged(len(taken))
                return
            for event in events:
                require_session(self._services, self._viewer)
                yield event

    async def _take(self, inbox: Inbox) -> Sequence[Delivery] | Lag:
        """The next deliveries, waited for as long as the session lasts."""
        return await in_session(self._services, self._viewer, lambda: inbox.take(BATCH))

    def _lagged(self, count: int) -> P:
        return self._present(Lagged(self._cursor(self._vector), count))

    async def _look(self, deliveries: Sequence[Delivery]) -> Sequence[P]:
        """The deliveries as this viewer may see them, now. The vector moves past them."""
        vector = self._vector
        if self._viewer is None:
            key = self._channel.bound_to, _frozen(vector), tuple(_key(delivery) for delivery in deliveries)
            events, self._vector = await self._router.company.look(key, lambda: self._see(deliveries, vector))
        else:
            events, self._vector = await self._see(deliveries, vector)
        return events

    async def _see(
        self, deliveries: Sequence[Delivery], vector: Mapping[int, int]
    ) -> tuple[Sequence[P], Mapping[int, int]]:
        """What is to be seen of the deliveries after ``vector``, and the vector past them."""
        shown = iter(await self._channel.show([signal for delivery in deliveries for signal in delivery.signals]))
        events: list[P] = []
        for delivery in deliveries:
            own = [event for _ in delivery.signals for event in next(shown)]
            before = merged(vector, delivery.others)
            vector = merged(before, {delivery.shard: delivery.position})
            for left, event in zip(range(len(own) - 1, -1, -1), own, strict=True):
                # Only behind the last of them has all of it been delivered.
                events.append(self._present(event(self._cursor(before if left else vector))))
        return events, vector

    def _cursor(self, vector: Mapping[int, int]) -> str:
        return sign_live(self._services, self._channel.bound_to, vector)


def _key(delivery: Delivery) -> Hashable:
    """Its signals are those of one event for one channel."""
    return delivery.shard, delivery.position, _frozen(delivery.others)


def _frozen(vector: Mapping[int, int]) -> Hashable:
    return frozenset(vector.items())


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

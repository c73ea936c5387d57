"""The appender of one shard: what has queued up is decided as one batch, appended, answered; one batch in flight (log.md R1–R4)."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from domain.errors import LogError, OutcomeUnknownError, OverloadedError, TidingsError, UnavailableError
from domain.ids import Entropy, mint_id
from domain.log.batching import Aggregates, Base, Batch, Fate, decide_batch, generation_closed, log_stream, room_after
from domain.log.cassandra import metrics
from domain.log.cassandra.attempt import Attempt
from domain.log.cassandra.clock import ClockGuard
from domain.log.cassandra.copier import Copier
from domain.log.cassandra.driver import Bridge, NotSentError, RejectedError
from domain.log.cassandra.follower import Follower
from domain.log.cassandra.shard import Shard
from domain.log.cassandra.ticket import Ticket
from domain.log.cassandra.view import Entry
from domain.log.port import MAX_COMMAND_EVENTS, LogIdentity
from domain.log.sealing import KeyRing

_WINDOW: Final = 4 * MAX_COMMAND_EVENTS
"""Commands that are looked at for one batch; those beyond would hardly fit."""

_TURNS: Final = 10
"""Of the loop, within which a caller who was answered can have asked again."""

_REST_SECONDS: Final = 0.05

_log = structlog.get_logger("tidings.log")


class Appender:
    """One shard's, in this process."""

    def __init__(
        self,
        bridge: Bridge,
        shard: Shard,
        copier: Copier,
        follower: Follower,
        ring: KeyRing,
        guard: ClockGuard,
        aggregates: Aggregates,
        identity: LogIdentity,
        entropy: Entropy,
    ) -> None:
        self.shard = shard
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._bridge = bridge
        self._copier = copier
        self._follower = follower
        self._ring = ring
        self._guard = guard
        self._aggregates = aggregates
        self._identity = identity
        self._entropy = entropy
        self._queue: deque[Ticket] = deque()
        self._work = asyncio.Event()
        self._flying: Batch[Ticket] | None = None
        self._padding: Entry | None = None
        self._answered = 0
        self._appended = metrics.APPENDED.labels(str(shard.place.shard))

    def obstacle(self) -> TidingsError | None:
        """Why nothing can be appended now, None where nothing is in the way."""
        shard = self.shard
        if shard.torn is not None:
            return shard.torn
        if self._bridge.away:
            return self._bridge.unavailable()
        if not self._guard.right:
            return self._guard.error()
        if shard.tail.closed:
            return generation_closed(shard.place.generation)
        if shard.full:
            return UnavailableError(
                f"the index of shard {shard.place.shard} has fallen {len(shard.tail)} events behind; try again later"
            )
        return None

    def enter(self, limit: int) -> None:
        """Counts a command in; OverloadedError where ``limit`` are open already."""
        if self._open >= limit:
            raise OverloadedError(
                f"{limit} commands are waiting for shard {self.shard.place.shard}: try again in a moment"
            )
        self._open += 1
        self._idle.clear()

    def leave(self) -> None:
        """Counts a command out."""
        self._open -= 1
        if self._open == 0:
            self._idle.set()

    async def idle(self) -> None:
        """Returns when no command is open."""
        await self._idle.wait()

    def submit(self, ticket: Ticket) -> None:
        self._queue.append(ticket)
        self._work.set()

    def expire(self, now: float) -> None:
        """Ends the wait of those whose deadline has passed."""
        expired = [ticket for ticket in self._queue if ticket.deadline < now and ticket.abandoned is None]
        for ticket in expired:
            self._queue.remove(ticket)
            ticket.fail(UnavailableError("the command waited too long, and was not sent"))
        for decision in self._flying.decisions if self._flying is not None else ():
            if decision.waiting.deadline >= now:
                continue
            if decision.waiting.sent:
                decision.waiting.give_up()
            else:
                decision.waiting.fail(UnavailableError("the command waited too long, and nothing of it was sent"))

    def turn_away(self, error: TidingsError) -> None:
        """Fails what has not been sent."""
        waiting = [ticket for ticket in self._queue if ticket.abandoned is None]
        self._queue = deque(ticket for ticket in self._queue if ticket.abandoned is not None)
        if self._flying is not None:
            waiting += [decision.waiting for decision in self._flying.decisions if decision.fate is not Fate.APPENDED]
        for ticket in waiting:
            ticket.fail(error)

    def abandon(self) -> list[str]:
        """Ends the wait of whoever is left at the end of the process; the ids of the commands of which nobody knows the outcome."""
        self.turn_away(UnavailableError("the log was closed before the command was sent"))
        if self._flying is None:
            return []
        left = [decision.waiting for decision in self._flying.decisions if decision.fate is Fate.APPENDED]
        ids = [ticket.execution.metadata.command_id for ticket in left]
        for ticket in left:
            ticket.give_up()
        return ids

    async def run(self) -> None:
        while True:
            await self._work.wait()
            try:
                await self._round()
            except (UnavailableError, LogError) as error:
                self.turn_away(error)
                # What callers left behind after it was sent stays queued until the obstacle is gone.
                await asyncio.sleep(_REST_SECONDS)
            except Exception as error:  # noqa: BLE001
                # A defect here must not leave callers waiting, nor the shard without an appender.
                _log.exception("appender failed", shard=self.shard.place.shard)
                for ticket in self._queue:
                    ticket.fail(error)
                self._queue.clear()
            if not self._queue:
                self._work.clear()

    async def _round(self) -> None:
        await self._gather()
        await self._copier.room()
        await self._prepare_padding()
        # Nothing is waited for between here and the first send.
        obstacle = self.obstacle()
        if obstacle is not None:
            raise obstacle
        batch = self._decide()
        if batch.rows:
            await self._append(batch)
        elif batch.decisions:
            await self._confirm(batch)

    async def _gather(self) -> None:
        """Those who were answered last may ask again within a few turns, and come along: else they always miss the next batch, and every other
        batch is small. No turn is waited where as many are here already."""
        for _ in range(_TURNS):
            if len(self._queue) >= self._answered:
                break
            await asyncio.sleep(0)
        self._answered = 0

    async def _prepare_padding(self) -> None:
        """Where a segment's end is near, the version of the log's own stream is needed to fill it up."""
        if room_after(self.shard.seen, self._identity.segment_size) >= MAX_COMMAND_EVENTS:
            return
        if self._padding is None or self._padding.dropped:
            [self._padding] = await self.shard.acquire([log_stream(self.shard.place.shard)])

    # Nothing is awaited between here and the sending of the batch, so that all of it stands on one ``seen``.

    def _decide(self) -> Batch[Ticket]:
        window = self._window()
        shard = self.shard
        base = Base(
            shard=shard.place.shard,
            shards=self._identity.shards,
            generation=shard.place.generation,
            segment_size=self._identity.segment_size,
            seen=shard.seen,
            recorded_at=shard.tail.recorded_at,
            now=self._guard.now(),
        )
        snapshots = {entry.stream: entry.snapshot for ticket in window for entry in ticket.entries}
        if self._padding is not None and not self._padding.dropped:
            snapshots[self._padding.stream] = self._padding.snapshot
        self._put_back(window)
        batch = decide_batch(base, window, snapshots, self._aggregates, attempt_id=mint_id(0, self._entropy))
        for _ in batch.decisions:
            self._queue.popleft()
        return batch

    def _window(self) -> list[Ticket]:
        window: list[Ticket] = []
        while self._queue and len(window) < _WINDOW:
            ticket = self._queue.popleft()
            if ticket.dropped:
                continue
            if not self._ready(ticket):
                ticket.settle(None)
                continue
            if ticket.execution.given:
                ticket.given = {entry.stream: entry.snapshot.state for entry in ticket.entries}
            window.append(ticket)
        return window

    def _ready(self, ticket: Ticket) -> bool:
        for entry in ticket.entries:
            if entry.dropped:
                return False
        subject = ticket.execution.subject
        if subject is not None and ticket.sealable:
            # A key may have been destroyed, or have grown too old, while the command waited.
            known = self._ring.cached((subject,))
            if subject not in known:
                return False
            ticket.key = known[subject]
        return True

    def _put_back(self, tickets: Iterable[Ticket]) -> None:
        self._queue.extendleft(reversed(list(tickets)))

    async def _append(self, batch: Batch[Ticket]) -> None:
        for decision in batch.decisions:
            decision.waiting.sent = decision.fate is Fate.APPENDED
        self._flying = batch
        base = self.shard.tail.last
        try:
            with metrics.APPEND_SECONDS.time():
                applied = await Attempt(self.shard.table, self.shard.place, base, batch.rows).settle()
        except (NotSentError, RejectedError) as error:
            for decision in batch.decisions:
                decision.waiting.fail(error)
            return
        except LogError as error:
            # What stands in its place cannot be read: whether it was appended will not be known.
            for ticket in (decision.waiting for decision in batch.decisions):
                ticket.fail(OutcomeUnknownError(ticket.execution.metadata.command_id) if ticket.sent else error)
            raise
        finally:
            self._flying = None
        if applied:
            self._applied(batch)
        else:
            await self._overtaken(batch)

    def _applied(self, batch: Batch[Ticket]) -> None:
        metrics.BATCH_EVENTS.observe(len(batch.rows))
        self._appended.inc(len(batch.rows))
        try:
            self.shard.fold_own(batch)
        finally:
            for decision in batch.decisions:
                decision.waiting.settle(decision)
        self._answered = len(batch.decisions)
        self._follower.fresh()
        self._copier.add(batch.rows)

    async def _overtaken(self, batch: Batch[Ticket]) -> None:
        """Another process has appended at this batch's place: its rows are folded, and the whole batch is decided again."""
        metrics.CONFLICTS.inc()
        tickets = [decision.waiting for decision in batch.decisions]
        for ticket in tickets:
            ticket.sent = False
        self._put_back(tickets)
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(UnavailableError), wait=wait_random_exponential(multiplier=0.02, max=1)
        ):
            with attempt:
                await self.shard.catch_up()
                if self.shard.seen <= batch.base.seen:
                    raise UnavailableError(
                        f"shard {self.shard.place.shard} has moved on, and does not show its rows yet"
                    )

    async def _confirm(self, batch: Batch[Ticket]) -> None:
        """Outcomes without events are final once a head that was read after the commands arrived is folded; one read serves the whole queue."""
        tickets = [decision.waiting for decision in batch.decisions]
        if not all(ticket.confirmed for ticket in tickets):
            served = [*tickets, *self._queue]
            try:
                await self.shard.confirm()
            except (UnavailableError, LogError) as error:
                for ticket in tickets:
                    ticket.fail(error)
                return
            for ticket in served:
                ticket.confirmed = True
        if self.shard.seen == batch.base.seen:
            for decision in batch.decisions:
                decision.waiting.settle(decision)
        else:
            self._put_back(tickets)

"""The tail of a shard: one task reads what is new and keeps the latest events for all consumers; those who are further behind share what they read."""

import asyncio
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from operator import attrgetter
from typing import Final

import structlog

from domain.envelope import Recorded, split_sequence
from domain.errors import LogError, UnavailableError
from domain.log.port import EventLog
from projections.runtime.backoff import persist
from projections.runtime.faults import describe
from projections.runtime.pulse import Pulse

WINDOW: Final = 4096
"""Events kept in memory a shard."""
READ: Final = 512
RUNS: Final = 4
"""Runs of older events kept a shard, for consumers that catch up go through the same events at about the same time."""
IDLE: Final = 1.0
"""Seconds that one look at a quiet shard lasts at most."""

_log = structlog.get_logger("tidings.runtime")

_sequence = attrgetter("sequence")


async def read_run(log: EventLog, shard: int, after: int, limit: int) -> Sequence[Recorded]:
    """At most ``limit`` events after ``after``, and what comes before one that cannot be read is still read.

    LogError where the very next event cannot be, or where the log's answer has a hole.
    """
    while True:
        try:
            events = await log.read(shard, after, limit)
        except LogError:
            if limit == 1:
                raise
            limit = max(1, limit // 8)
            continue
        _require_dense(shard, after, events)
        return events


def _require_dense(shard: int, after: int, events: Sequence[Recorded]) -> None:
    for recorded in events:
        begins = recorded.position == 1 and recorded.generation > split_sequence(after)[0]
        if recorded.sequence != after + 1 and not begins:
            raise LogError(f"shard {shard}: after {after} the log gave {recorded.sequence}")
        after = recorded.sequence


def _before(run: Sequence[Recorded]) -> int:
    """The least sequence after which ``run`` is what comes next. A generation's first event follows whatever was last in the one before."""
    return run[0].sequence - 1


class Tail:
    """``seen`` is the newest sequence known; ``looked_at`` (monotonic seconds) when the log last answered."""

    def __init__(
        self,
        log: EventLog,
        shard: int,
        *,
        window: int = WINDOW,
        idle: float = IDLE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.shard = shard
        self.seen = 0
        self.looked_at = monotonic()
        self._log = log
        self._window: deque[Recorded] = deque(maxlen=window)
        self._floor = 0
        self._runs: deque[Sequence[Recorded]] = deque(maxlen=RUNS)
        self._reading = asyncio.Lock()
        self._idle = idle
        self._monotonic = monotonic
        self._failure: LogError | None = None
        self._pulse = Pulse()

    async def run(self) -> None:
        """Until it is cancelled, or until the log cannot be read on, which its consumers then meet at that event."""
        what = f"tail {self.shard}"
        try:
            self.seen = self._floor = await persist(self._head, what)
            self._pulse.beat()
            while True:
                await persist(self._look, what)
        except LogError as error:
            self._failure = error
            self._pulse.beat()
            _log.error("tail stopped", shard=self.shard, after=self.seen, error=describe(error), reason=str(error))

    async def events(self, after: int, limit: int) -> Sequence[Recorded]:
        """At least one and at most ``limit`` events after ``after``, waited for; LogError where the next one cannot be read."""
        while after >= self.seen:
            if self._failure is not None:
                raise self._failure
            await self._pulse.wait()
        if after < self._floor:
            return await self._older(after, limit)
        start = bisect_right(self._window, after, key=_sequence)
        return tuple(islice(self._window, start, start + limit))

    async def _older(self, after: int, limit: int) -> Sequence[Recorded]:
        """Events below the window: of a run that another consumer has read, or of the log."""
        async with self._reading:
            for run in self._runs:
                if _before(run) <= after < run[-1].sequence:
                    start = bisect_right(run, after, key=_sequence)
                    return run[start : start + limit]
            events = await read_run(self._log, self.shard, after, max(limit, READ))
            if not events:
                raise UnavailableError(f"shard {self.shard} has events after {after} that cannot be read yet")
            self._runs.append(events)
            return events[:limit]

    def recorded_after(self, after: int) -> int:
        """The recordedAt of the event that follows ``after``, where the window has it, else 0."""
        if not self._floor <= after < self.seen:
            return 0
        return self._window[bisect_right(self._window, after, key=_sequence)].recorded_at

    async def _head(self) -> int:
        head = await self._log.head(self.shard)
        self.looked_at = self._monotonic()
        return head

    async def _look(self) -> None:
        events = await read_run(self._log, self.shard, self.seen, READ)
        self.looked_at = self._monotonic()
        if not events:
            await self._log.wait(self.shard, self.seen, self._idle)
            self.looked_at = self._monotonic()
            return
        for recorded in events:
            if len(self._window) == self._window.maxlen:
                self._floor = self._window[0].sequence
            self._window.append(recorded)
        self.seen = events[-1].sequence
        self._pulse.beat()

"""The tail: one reader of the log for all, a bounded window, and no way past a hole or past what cannot be read."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.envelope import Recorded
from domain.errors import LogError, UnavailableError, UnknownEventError
from domain.events import REGISTRY, Event, event
from domain.log.port import EventLog
from projections.runtime.tail import Tail, read_run
from tests.runtime_kit import Faults, FaultyLog, account, append, like, sqlite_log

POST = account(1, 1)
SHARD = 0


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EventLog]:
    async with sqlite_log(tmp_path / "log.db") as opened:
        yield opened


async def grow(log: EventLog, first: int, last: int) -> None:
    for n in range(first, last + 1):
        await like(log, POST, account(9, n))


async def collect(tail: Tail, after: int, wanted: int, limit: int = 7) -> list[Recorded]:
    events: list[Recorded] = []
    while len(events) < wanted:
        events += await tail.events(after, limit)
        after = events[-1].sequence
    return events


async def test_consumers_ahead_and_behind_the_window_get_every_event_once(log: EventLog) -> None:
    faults = Faults()
    await grow(log, 1, 20)
    tail = Tail(FaultyLog(log, faults), SHARD, window=8, idle=0.05)
    running = asyncio.create_task(tail.run())
    early = asyncio.create_task(collect(tail, 0, 60))
    head = await log.head(SHARD)
    late = asyncio.create_task(collect(tail, head, 40))
    await grow(log, 21, 60)
    assert [e.position for e in await early] == list(range(1, 61))
    assert [e.position for e in await late] == list(range(21, 61))
    behind = await collect(tail, 0, 60)
    assert [e.position for e in behind] == list(range(1, 61))
    for n, recorded in enumerate(behind[:-1]):
        assert (await tail.events(recorded.sequence, 1))[0] == behind[n + 1]
    reads = faults.seen["read"]
    assert await tail.events(behind[-4].sequence, 10) == tuple(behind[-3:])
    assert faults.seen["read"] - reads <= 1  # the tail's own look at most: the window had them
    running.cancel()


class Outage(Faults):
    """Fails the first three calls of each kind; ``over`` is set with the last of the reads."""

    def __init__(self) -> None:
        super().__init__()
        self.over = asyncio.Event()

    async def before(self, operation: str) -> None:
        await super().before(operation)
        if self.fired["outage", operation] < 3:
            self.fired["outage", operation] += 1
            raise UnavailableError("away")
        if operation == "read":
            self.over.set()


async def test_a_log_out_of_reach_is_waited_for(log: EventLog) -> None:
    outage = Outage()
    tail = Tail(FaultyLog(log, outage), SHARD, idle=0.05)
    running = asyncio.create_task(tail.run())
    consumer = asyncio.create_task(collect(tail, 0, 5))
    await outage.over.wait()
    await grow(log, 1, 5)
    assert [e.position for e in await consumer] == [1, 2, 3, 4, 5]
    assert outage.fired["outage", "head"] == outage.fired["outage", "read"] == 3
    running.cancel()


class Gate(Faults):
    """Holds the first read back until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    async def before(self, operation: str) -> None:
        await super().before(operation)
        if operation == "read":
            self.reached.set()
            await self.opened.wait()


async def test_an_unknown_event_is_met_by_whoever_comes_to_it_and_not_before(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    @event("test.tail_unknown")
    class Unknown(Event, frozen=True, kw_only=True):
        pass

    gate = Gate()
    tail = Tail(FaultyLog(log, gate), SHARD, idle=0.05)
    running = asyncio.create_task(tail.run())
    await gate.reached.wait()
    await grow(log, 1, 3)
    await append(log, "shard-0", Unknown())
    await grow(log, 4, 5)
    monkeypatch.delitem(REGISTRY, ("test.tail_unknown", 1))
    gate.opened.set()
    known = await collect(tail, 0, 3)
    assert [e.position for e in known] == [1, 2, 3]
    with pytest.raises(UnknownEventError):
        await tail.events(known[-1].sequence, 10)
    running.cancel()


async def test_a_hole_in_what_the_log_gives_is_never_skipped(log: EventLog) -> None:
    class Holed(FaultyLog):
        async def read(self, shard: int, after: int, limit: int) -> tuple[Recorded, ...]:
            return tuple(e for e in await super().read(shard, after, limit) if e.position != 3)

    await grow(log, 1, 5)
    holed = Holed(log, Faults())
    with pytest.raises(LogError):
        await read_run(holed, SHARD, 0, 10)
    # What stands in front of the hole is still read.
    assert [e.position for e in await read_run(log, SHARD, 0, 2)] == [1, 2]

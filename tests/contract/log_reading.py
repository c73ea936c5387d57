"""Part of the event log's contract: order, segments, tails, and streams as they were."""

import asyncio
import random

import pytest

from domain.envelope import Recorded
from domain.events import SegmentPadded
from domain.ids import stream_shard
from domain.log.port import EventLog
from tests.contract.log_domain import (
    Counted,
    Tally,
    counting,
    new_id,
    slot_in,
    tally,
)
from tests.contract.log_kit import (
    LogFactory,
    appended,
    gather,
    read_everything,
    read_shard,
)


async def test_positions_are_dense_and_versions_count_up(log_factory: LogFactory) -> None:
    log, other = await log_factory(), await log_factory()
    source = random.Random(7)
    streams = [tally(new_id()) for _ in range(20)]
    shards = log.identity.shards
    executions = [counting(source.choice(streams), shards, *range(source.randint(1, 4))) for _ in range(300)]
    results = await asyncio.gather(gather(log, executions[::2]), gather(other, executions[1::2]))
    outcomes = [outcome for result in results for outcome in appended(result)]
    events = await read_everything(log)
    assert events == await read_everything(other)
    assert {e.event_id: e for e in events} == {e.event_id: e for outcome in outcomes for e in outcome.events}
    for outcome in outcomes:
        last = outcome.events[-1]
        assert outcome.positions == {last.shard: last.sequence}


async def test_no_command_crosses_a_segment(log_factory: LogFactory) -> None:
    log, other = await log_factory(segment_size=64), await log_factory(segment_size=64)
    shards = log.identity.shards
    slot = slot_in(4, shards)
    source = random.Random(11)
    sizes = [source.choice([1, 2, 7, 20, 40, 63, 64]) for _ in range(40)]
    executions = [counting(tally(new_id(slot)), shards, *range(size)) for size in sizes]
    results = await asyncio.gather(gather(log, executions[::2]), gather(other, executions[1::2]))
    assert sum(len(appended(result)) for result in results) == 40
    events = await read_shard(await log_factory(segment_size=64), 4)
    padding = [recorded for recorded in events if isinstance(recorded.event, SegmentPadded)]
    assert len(events) == sum(sizes) + len(padding)
    assert padding, "the sizes are such that some segment is not filled by chance"
    assert {recorded.stream for recorded in padding} == {"shard-4"}
    assert [recorded.version for recorded in padding] == list(range(1, len(padding) + 1))
    segments: dict[str, set[int]] = {}
    for recorded in events:
        segments.setdefault(recorded.attempt_id, set()).add((recorded.position - 1) // 64)
    assert all(len(touched) == 1 for touched in segments.values())
    assert await log.load("shard-4") == tuple(padding)


async def test_a_command_that_fills_a_segment_needs_no_padding(log_factory: LogFactory) -> None:
    log = await log_factory(segment_size=64)
    stream = tally(new_id())
    shard = stream_shard(stream, log.identity.shards)
    for size in (60, 4, 64, 64, 1):
        await log.execute(counting(stream, log.identity.shards, *range(size)))
    assert [type(recorded.event) for recorded in await read_shard(log, shard)] == [Counted] * 193


async def test_a_tail_sees_every_event_once_while_others_write(log_factory: LogFactory) -> None:
    log, other, tailing = [await log_factory(segment_size=64) for _ in range(3)]
    shards = log.identity.shards
    slot = slot_in(6, shards)

    async def write(handle: EventLog) -> None:
        for _ in range(25):
            appended(await gather(handle, [counting(tally(new_id(slot)), shards, 1, 2) for _ in range(4)]))

    async def tail() -> list[Recorded]:
        found: list[Recorded] = []
        while sum(isinstance(recorded.event, Counted) for recorded in found) < 400:
            after = found[-1].sequence if found else 0
            run = await tailing.read(6, after, 50)
            found += run
            if not run:
                await tailing.wait(6, after, 0.5)
        return found

    _, _, found = await asyncio.gather(write(log), write(other), tail())
    assert [recorded.position for recorded in found] == list(range(1, len(found) + 1))
    assert found == await read_shard(log, 6)


@pytest.mark.parametrize("own", [True, False])
async def test_wait_wakes_when_the_shard_grows(log_factory: LogFactory, own: bool) -> None:
    """For this process's events, and for those of another. Without it, this test would run into its timeout."""
    log, other = await log_factory(), await log_factory()
    stream = tally(new_id())
    shard = stream_shard(stream, log.identity.shards)
    for _ in range(5):
        after = await log.head(shard)
        waiting = asyncio.create_task(log.wait(shard, after, 3_600))
        await asyncio.sleep(0.01)
        await (log if own else other).execute(counting(stream, log.identity.shards))
        await waiting
        assert len(await log.read(shard, after, 10)) == 1


async def test_wait_does_not_wait_for_what_is_there(log_factory: LogFactory) -> None:
    log, other = await log_factory(), await log_factory()
    stream = tally(new_id())
    shard = stream_shard(stream, log.identity.shards)
    await log.execute(counting(stream, log.identity.shards))
    await log.wait(shard, 0, 3_600)
    await other.wait(shard, 0, 3_600)


async def test_wait_ends_with_its_timeout(log_factory: LogFactory) -> None:
    log = await log_factory()
    await asyncio.gather(*(log.wait(shard, 0, 0.05) for shard in range(log.identity.shards)))
    assert await log.head(0) == 0


async def test_a_stream_is_loaded_up_to_a_version(log_factory: LogFactory) -> None:
    log = await log_factory()
    stream = tally(new_id())
    for amount in range(1, 6):
        await log.execute(counting(stream, log.identity.shards, amount))
    events = await log.load(stream)
    assert [recorded.version for recorded in events] == [1, 2, 3, 4, 5]
    assert await log.load(stream, version=3) == events[:3]
    assert await log.load(stream, version=0) == ()
    assert await log.load(stream, version=99) == events


async def test_a_stream_is_loaded_as_it_was_at_a_time(log_factory: LogFactory) -> None:
    log = await log_factory()
    stream = tally(new_id())
    for amount in range(1, 6):
        await log.execute(counting(stream, log.identity.shards, amount))
    events = await log.load(stream)
    for moment in {recorded.recorded_at for recorded in events}:
        assert await log.load(stream, until=moment) == tuple(e for e in events if e.recorded_at <= moment)
    assert await log.load(stream, until=events[0].recorded_at - 1) == ()
    assert await log.load(stream, version=2, until=events[-1].recorded_at) == events[:2]


async def test_states_come_from_any_shards(log_factory: LogFactory) -> None:
    log, other = await log_factory(), await log_factory()
    shards = log.identity.shards
    streams = [tally(new_id(slot_in(shard, shards))) for shard in range(shards)]
    await gather(other, [counting(stream, shards, shard) for shard, stream in enumerate(streams)])
    for shard in range(shards):
        await log.wait(shard, 0, 5)
    assert await log.states(streams) == {stream: Tally(total=shard, events=1) for shard, stream in enumerate(streams)}

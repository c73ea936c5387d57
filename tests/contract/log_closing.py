"""Part of the event log's contract: a generation ends, and nothing follows."""

import asyncio

import pytest

from domain.errors import UnavailableError
from domain.events import GenerationClosed
from domain.log.generations import close_generation, closing, is_closed
from domain.log.port import Outcome
from tests.contract.log_domain import counting, new_id, next_number, seat, slot_in, taking, tally
from tests.contract.log_kit import LogFactory, gather, read_shard


async def test_nothing_lands_behind_the_end_of_a_generation(log_factory: LogFactory) -> None:
    """Commands are queued before, with and behind the one that ends it, in two processes; segments are about to end all the time."""
    log, other = await log_factory(segment_size=64), await log_factory(segment_size=64)
    shards, generation = log.identity.shards, log.identity.generation
    streams = [tally(new_id(slot_in(2, shards))) for _ in range(10)]
    elsewhere = tally(new_id(slot_in(3, shards)))
    before = [counting(stream, shards, *range(7)) for stream in streams]
    behind = [counting(stream, shards, *range(7)) for stream in streams]
    queued = gather(
        log,
        [*before, closing(2, generation, new_id()), *behind, taking(seat(new_id(slot_in(2, shards))), shards, "ada")],
    )
    results, foreign = await asyncio.gather(queued, gather(other, behind * 2))
    events = await read_shard(log, 2)
    assert isinstance(events[-1].event, GenerationClosed)
    assert events[-1].generation == generation
    assert sum(isinstance(recorded.event, GenerationClosed) for recorded in events) == 1
    assert {type(result) for result in (*results, *foreign)} <= {Outcome, UnavailableError}
    told = [each for result in (*results, *foreign) if isinstance(result, Outcome) for each in result.events]
    assert {recorded.event_id for recorded in told} <= {recorded.event_id for recorded in events}
    for handle in (log, other, await log_factory(segment_size=64)):
        for execution in (next_number(streams[0], shards), counting(new_tally(2, shards), shards)):
            with pytest.raises(UnavailableError, match=f"generation {generation}"):
                await handle.execute(execution)
        await handle.execute(counting(elsewhere, shards))
    assert await read_shard(log, 2) == events


def new_tally(shard: int, shards: int) -> str:
    return tally(new_id(slot_in(shard, shards)))


async def test_a_generation_is_ended_by_several_at_once_and_ended_once(log_factory: LogFactory) -> None:
    logs = [await log_factory() for _ in range(3)]
    shards = logs[0].identity.shards
    await logs[0].execute(counting(tally(new_id()), shards))
    closed = await asyncio.gather(*(close_generation(log, new_id) for log in logs))
    assert sum(closed) == shards
    assert await close_generation(logs[1], new_id) == 0
    for shard in range(shards):
        assert all([await is_closed(log, shard) for log in logs])
        events = await read_shard(logs[0], shard)
        assert [recorded.position for recorded in events if isinstance(recorded.event, GenerationClosed)] == [
            len(events)
        ]

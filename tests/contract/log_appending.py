"""Part of the event log's contract: what is appended, and what is not."""

import asyncio
from collections.abc import Sequence

import pytest

from domain.envelope import Metadata, split_sequence
from domain.errors import (
    Code,
    Refusal,
)
from domain.ids import stream_shard
from domain.log.port import MAX_COMMAND_EVENTS, Draft, Execution, Outcome, View
from tests.contract.log_domain import (
    Counted,
    Seat,
    Tally,
    always,
    counting,
    leaving,
    metadata,
    new_id,
    seat,
    slot_in,
    taking,
    tally,
)
from tests.contract.log_kit import (
    LogFactory,
    appended,
    gather,
    read_everything,
    read_shard,
    tally_of,
)


async def test_an_event_comes_back_as_it_was_appended(log_factory: LogFactory) -> None:
    log = await log_factory()
    stream = tally(new_id())
    shard = stream_shard(stream, log.identity.shards)
    written = Metadata(
        command_id=new_id(), actor="a", correlation_id="b", causation_id="c", traceparent="d", input_hmac="e"
    )
    drafts = [Draft(stream, Counted(amount=7), occurred_at=1_000), Draft(stream, Counted())]
    outcome = await log.execute(Execution(shard=shard, streams=(stream,), decide=always(*drafts), metadata=written))
    first, second = outcome.events
    assert (first.stream, first.version, first.position, first.shard) == (stream, 1, 1, shard)
    assert (second.stream, second.version, second.position, second.shard) == (stream, 2, 2, shard)
    assert (first.event, second.event) == (Counted(amount=7), Counted())
    assert (first.occurred_at, second.occurred_at) == (1_000, second.recorded_at)
    assert (first.metadata, first.generation) == (written, log.identity.generation)
    assert outcome.positions == {shard: second.sequence}
    assert outcome.states == {stream: Tally(total=8, events=2)}
    assert await log.load(stream) == outcome.events
    assert await log.read(shard, 0, 10) == outcome.events
    assert await log.states([stream]) == outcome.states


async def test_an_empty_log_has_heads_of_zero_and_initial_states(log_factory: LogFactory) -> None:
    log = await log_factory()
    stream = seat(new_id())
    assert [await log.head(shard) for shard in range(log.identity.shards)] == [0] * log.identity.shards
    assert await log.read(0, 0, 10) == ()
    assert await log.load(stream) == ()
    assert await log.states([stream]) == {stream: Seat()}


async def test_the_head_is_the_newest_events_sequence(log_factory: LogFactory) -> None:
    log, other = await log_factory(), await log_factory()
    stream = tally(new_id())
    shard = stream_shard(stream, log.identity.shards)
    outcome = await log.execute(counting(stream, log.identity.shards, 1, 2, 3))
    assert await other.head(shard) == outcome.events[-1].sequence
    assert split_sequence(await other.head(shard)) == (log.identity.generation, 3)
    assert await log.read(shard, await log.head(shard), 10) == ()


async def test_a_commands_events_stand_together_in_one_batch(log_factory: LogFactory) -> None:
    log, other = await log_factory(), await log_factory()
    slot = slot_in(3, log.identity.shards)

    def execution() -> Execution:
        streams = tuple(tally(new_id(slot)) for _ in range(3))
        drafts = [Draft(stream, Counted()) for stream in streams]
        return Execution(shard=3, streams=streams, decide=always(*drafts), metadata=metadata())

    results = await asyncio.gather(*(gather(handle, [execution() for _ in range(30)]) for handle in (log, other)))
    outcomes = [outcome for result in results for outcome in appended(result)]
    assert len(outcomes) == 60
    events = await read_shard(log, 3)
    runs = [events[start : start + 3] for start in range(0, len(events), 3)]
    assert len(runs) == 60
    assert all(len({(e.metadata.command_id, e.attempt_id) for e in run}) == 1 for run in runs)
    assert [tuple(run) for run in runs] == sorted((o.events for o in outcomes), key=lambda run: run[0].position)


async def test_the_largest_command_is_appended_whole(log_factory: LogFactory) -> None:
    log = await log_factory()
    stream = tally(new_id())
    amounts = range(1, MAX_COMMAND_EVENTS + 1)
    outcome = await log.execute(counting(stream, log.identity.shards, *amounts))
    assert [recorded.version for recorded in outcome.events] == list(amounts)
    assert await tally_of(log, stream) == Tally(total=sum(amounts), events=MAX_COMMAND_EVENTS)


async def test_what_breaks_the_port_fails_that_command_alone(log_factory: LogFactory) -> None:
    log = await log_factory()
    shards = log.identity.shards
    here, elsewhere = tally(new_id(slot_in(1, shards))), tally(new_id(slot_in(2, shards)))
    unnamed = [Draft(tally(new_id(slot_in(1, shards))), Counted())]
    foreign = [Draft(here, Counted()), Draft(elsewhere, Counted())]

    def fail(view: View) -> Sequence[Draft]:
        raise ZeroDivisionError("a defect in a decider")

    executions = [
        counting(here, shards),
        counting(here, shards, *range(MAX_COMMAND_EVENTS + 1)),
        Execution(shard=1, streams=(here,), decide=always(*unnamed), metadata=metadata()),
        Execution(shard=1, streams=(here, elsewhere), decide=always(*foreign), metadata=metadata()),
        Execution(shard=1, streams=(here,), decide=fail, metadata=metadata()),
        counting(here, shards),
    ]
    results = await gather(log, executions)
    assert [type(result) for result in results] == [
        Outcome,
        ValueError,
        ValueError,
        ValueError,
        ZeroDivisionError,
        Outcome,
    ]
    assert len(await read_everything(log)) == 2


async def test_a_refusal_appends_nothing_and_carries_its_problems(log_factory: LogFactory) -> None:
    log = await log_factory()
    stream = seat(new_id())
    taken = await log.execute(taking(stream, log.identity.shards, "ada"))
    with pytest.raises(Refusal) as refused:
        await log.execute(taking(stream, log.identity.shards, "bob"))
    assert refused.value.code == Code.CONFLICT
    assert await log.load(stream) == taken.events
    assert len(await read_everything(log)) == 1


async def test_no_change_appends_nothing_and_says_where_it_holds(log_factory: LogFactory) -> None:
    log = await log_factory()
    shards = log.identity.shards
    stream = seat(new_id())
    untouched = await log.execute(leaving(stream, shards))
    assert (untouched.events, untouched.states) == ((), {stream: Seat()})
    first = await log.execute(taking(stream, shards, "ada"))
    again = await log.execute(taking(stream, shards, "ada"))
    assert (again.events, again.states) == ((), first.states)
    assert again.positions == first.positions
    assert len(await read_everything(log)) == 1


async def test_a_repeat_finds_its_own_stream(log_factory: LogFactory) -> None:
    """Of an idempotent create: the same ids, at once and later, here and elsewhere, make one stream and show the first result."""
    log, other = await log_factory(), await log_factory()
    stream = tally(new_id())

    def creating() -> Execution:
        def decide(view: View) -> Sequence[Draft]:
            return () if view.state(stream, Tally).events else [Draft(stream, Counted(amount=5))]

        shard = stream_shard(stream, log.identity.shards)
        return Execution(shard=shard, streams=(stream,), decide=decide, metadata=metadata())

    results = await asyncio.gather(*(gather(h, [creating() for _ in range(5)]) for h in (log, other)))
    assert sum(len(appended(result)) for result in results) == 1
    later = await other.execute(creating())
    assert later.events == ()
    assert later.states == {stream: Tally(total=5, events=1)}


async def test_a_fresh_stream_needs_no_loading(log_factory: LogFactory) -> None:
    log = await log_factory()
    stream = tally(new_id())
    shard = stream_shard(stream, log.identity.shards)

    def decide(view: View) -> Sequence[Draft]:
        assert view.state(stream, Tally) == Tally()
        return [Draft(stream, Counted())]

    fresh = Execution(shard=shard, streams=(stream,), fresh=frozenset({stream}), decide=decide, metadata=metadata())
    await log.execute(fresh)
    await log.execute(counting(stream, log.identity.shards))
    assert await tally_of(log, stream) == Tally(total=2, events=2)

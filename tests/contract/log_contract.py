"""What every adapter of the event log must do. An adapter's test module imports all of it and brings a fixture ``log_factory``.

The factory opens *the same* store again at every call, as another process would: own caches, own connections. It closes what it has opened,
and gives every test a store of its own. ``queue_limit`` bounds the commands that wait for an answer.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

import pytest

from domain.envelope import Metadata, Recorded, split_sequence
from domain.errors import (
    Code,
    LogError,
    OutcomeUnknownError,
    OverloadedError,
    Refusal,
    UnavailableError,
    UnknownEventError,
)
from domain.events import REGISTRY, Event, SegmentPadded, event
from domain.ids import stream_shard
from domain.log import codec
from domain.log.port import MAX_COMMAND_EVENTS, Draft, EventLog, Execution, Outcome, View
from tests.contract.log_domain import (
    Counted,
    Note,
    Noted,
    Seat,
    Tally,
    always,
    counting,
    counting_for,
    leaving,
    metadata,
    new_id,
    next_number,
    note,
    noting,
    seat,
    slot_in,
    taking,
    tally,
)

FINGERPRINT = "fingerprint of the server key"


class LogFactory(Protocol):
    async def __call__(
        self, *, segment_size: int = 8192, queue_limit: int = 4096, fingerprint: str = FINGERPRINT
    ) -> EventLog: ...


async def read_shard(log: EventLog, shard: int, *, page: int = 97) -> list[Recorded]:
    """A shard's events from the first on, and the proof that they are dense and that their times never fall."""
    found: list[Recorded] = []
    # Who has asked for the head is shown all that lies below it, also what other processes have just appended.
    await log.head(shard)
    while run := await log.read(shard, found[-1].sequence if found else 0, page):
        assert len(run) <= page
        found += run
    assert [recorded.position for recorded in found] == list(range(1, len(found) + 1))
    assert {recorded.shard for recorded in found} <= {shard}
    times = [recorded.recorded_at for recorded in found]
    assert times == sorted(times)
    return found


async def read_everything(log: EventLog) -> list[Recorded]:
    """All events, shard after shard, and the proof that versions are dense and no event is there twice."""
    found = [recorded for shard in range(log.identity.shards) for recorded in await read_shard(log, shard)]
    versions: Counter[str] = Counter()
    for recorded in found:
        versions[recorded.stream] += 1
        assert recorded.version == versions[recorded.stream]
    assert len({recorded.event_id for recorded in found}) == len(found)
    return found


async def tally_of(log: EventLog, stream: str) -> Tally:
    state = (await log.states([stream]))[stream]
    assert isinstance(state, Tally)
    return state


async def owner_of(log: EventLog, stream: str) -> str | None:
    state = (await log.states([stream]))[stream]
    assert isinstance(state, Seat)
    return state.owner


async def gather(log: EventLog, executions: Iterable[Execution]) -> list[Outcome | BaseException]:
    """All at once; what was raised stands in the list."""
    return await asyncio.gather(*(log.execute(execution) for execution in executions), return_exceptions=True)


def appended(results: Iterable[Outcome | BaseException]) -> list[Outcome]:
    """Those with events; fails where one is an error."""
    found: list[Outcome] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        if result.events:
            found.append(result)
    return found


# Appending


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


# Deciding on the newest state


async def test_of_two_that_race_for_a_seat_one_wins(log_factory: LogFactory) -> None:
    log, other = await log_factory(), await log_factory()
    shards = log.identity.shards
    for _ in range(20):
        stream = seat(new_id())
        results = await asyncio.gather(
            log.execute(taking(stream, shards, "ada")),
            other.execute(taking(stream, shards, "bob")),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == ["Outcome", "Refusal"]
        winner = "ada" if isinstance(results[0], Outcome) else "bob"
        assert await owner_of(log, stream) == winner
        assert [type(recorded.event).__name__ for recorded in await other.load(stream)] == ["Taken"]


async def test_no_increment_is_lost(log_factory: LogFactory) -> None:
    log, other = await log_factory(), await log_factory()
    stream = tally(new_id())
    executions = [next_number(stream, log.identity.shards) for _ in range(200)]
    results = await asyncio.gather(gather(log, executions[::2]), gather(other, executions[1::2]))
    assert sum(len(appended(result)) for result in results) == 200
    amounts = [recorded.event.amount for recorded in await log.load(stream) if isinstance(recorded.event, Counted)]
    assert amounts == list(range(1, 201))


async def test_what_another_process_appended_is_decided_on(log_factory: LogFactory) -> None:
    log, other = await log_factory(), await log_factory()
    shards = log.identity.shards
    stream = seat(new_id())
    for _ in range(10):
        await log.execute(taking(stream, shards, "ada"))
        await other.execute(leaving(stream, shards))
        await other.execute(taking(stream, shards, "bob"))
        with pytest.raises(Refusal):
            await log.execute(taking(stream, shards, "ada"))
        await other.execute(leaving(stream, shards))
        assert (await log.execute(leaving(stream, shards))).events == ()


@pytest.mark.parametrize("given_shard", [2, 5])
async def test_no_refusal_rests_on_a_stale_given_state(log_factory: LogFactory, given_shard: int) -> None:
    """In another shard, and in the written one."""
    log, other = await log_factory(), await log_factory()
    shards = log.identity.shards
    written = tally(new_id(slot_in(5, shards)))
    given = seat(new_id(slot_in(given_shard, shards)))
    for number in range(1, 11):
        with pytest.raises(Refusal):
            await log.execute(counting_for(written, shards, given, "ada"))
        await other.execute(taking(given, shards, "ada"))
        outcome = await log.execute(counting_for(written, shards, given, "ada"))
        assert outcome.states == {written: Tally(total=number, events=number)}
        await log.execute(leaving(given, shards))


# Order, segments, tails


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


# Loading


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


# Sealing


async def test_what_is_sealed_opens_here_and_elsewhere(log_factory: LogFactory) -> None:
    log, other = await log_factory(), await log_factory()
    shards = log.identity.shards
    subject = new_id()
    stream = note(subject)
    shard = stream_shard(stream, shards)
    await log.execute(noting(stream, shards, subject, "rain", new_subject=True))
    await other.execute(noting(stream, shards, subject, "sun"))
    expected = Note(topic="weather", texts=("rain", "sun"))
    for handle in (log, other, await log_factory()):
        assert await handle.load(stream) == await handle.read(shard, 0, 10)
        assert await handle.states([stream]) == {stream: expected}


async def test_a_destroyed_key_redacts_load_read_states_and_decisions(log_factory: LogFactory) -> None:
    log = await log_factory()
    shards = log.identity.shards
    subject, bystander = new_id(), new_id()
    stream, untouched = note(subject), note(bystander)
    await log.execute(noting(stream, shards, subject, "rain", new_subject=True))
    await log.execute(noting(untouched, shards, bystander, "sun", new_subject=True))
    await log.destroy_key(subject)
    redacted = Note(topic="weather", texts=(None,))
    seen: list[Note] = []

    def look(view: View) -> Sequence[Draft]:
        seen.append(view.state(stream, Note))
        return ()

    for handle in (log, await log_factory()):
        (loaded,) = await handle.load(stream)
        assert loaded.event == Noted(topic="weather", private=None)
        assert loaded in await handle.read(loaded.shard, 0, 10)
        assert await handle.states([stream]) == {stream: redacted}
        await handle.execute(Execution(loaded.shard, (stream,), look, metadata()))
        assert (await handle.states([untouched]))[untouched] == Note(topic="weather", texts=("sun",))
    assert set(seen) == {redacted}


async def test_a_destroyed_subject_never_gets_another_key(log_factory: LogFactory) -> None:
    log = await log_factory()
    shards = log.identity.shards
    subject, never_made = new_id(), new_id()
    stream = note(subject)
    await log.execute(noting(stream, shards, subject, "rain", new_subject=True))
    await log.destroy_key(subject)
    await log.destroy_key(never_made)
    await log.destroy_key(subject)
    for handle in (log, await log_factory()):
        for new_subject in (True, False):
            for gone in (subject, never_made):
                with pytest.raises(Refusal) as refused:
                    await handle.execute(noting(stream, shards, gone, "sun", new_subject=new_subject))
                assert refused.value.code == Code.FORBIDDEN
        # What seals nothing needs no key.
        await handle.execute(noting(stream, shards, subject, None))
    assert await log.states([stream]) == {stream: Note(topic="weather", texts=(None, None, None))}


async def test_two_that_make_one_subjects_key_make_the_same(log_factory: LogFactory) -> None:
    log, other = await log_factory(), await log_factory()
    shards = log.identity.shards
    subject = new_id()
    streams = [note(new_id()) for _ in range(10)]
    results = await asyncio.gather(
        gather(log, [noting(s, shards, subject, "rain", new_subject=True) for s in streams[::2]]),
        gather(other, [noting(s, shards, subject, "rain", new_subject=True) for s in streams[1::2]]),
    )
    assert sum(len(appended(result)) for result in results) == 10
    states = await (await log_factory()).states(streams)
    assert set(states.values()) == {Note(topic="weather", texts=("rain",))}


# What the log refuses to do


async def test_an_unknown_event_type_halts_the_reader_at_it(log_factory: LogFactory) -> None:
    log = await log_factory()
    shards = log.identity.shards
    slot = slot_in(2, shards)
    known, strange = tally(new_id(slot)), tally(new_id(slot))

    @event("test.of_tomorrow")
    class OfTomorrow(Event, frozen=True, kw_only=True):
        pass

    drafts = [Draft(strange, OfTomorrow())]
    await log.execute(counting(known, shards))
    await log.execute(Execution(shard=2, streams=(strange,), decide=always(*drafts), metadata=metadata()))
    await log.execute(counting(known, shards))
    del REGISTRY["test.of_tomorrow", 1]
    codec._reader.cache_clear()
    reader = await log_factory()
    before = await reader.read(2, 0, 10)
    assert [recorded.position for recorded in before] == [1]
    with pytest.raises(UnknownEventError):
        await reader.read(2, before[-1].sequence, 10)
    with pytest.raises(UnknownEventError):
        await reader.load(strange)
    assert len(await reader.load(known)) == 2


async def test_a_log_is_not_opened_under_another_server_key(log_factory: LogFactory) -> None:
    await log_factory()
    with pytest.raises(LogError, match="SERVER_KEY"):
        await log_factory(fingerprint="another")


async def test_a_full_queue_turns_commands_away(log_factory: LogFactory) -> None:
    log = await log_factory(queue_limit=8)
    stream = tally(new_id())
    results = await gather(log, [counting(stream, log.identity.shards) for _ in range(200)])
    refused = [result for result in results if isinstance(result, OverloadedError)]
    accepted = [result for result in results if isinstance(result, Outcome)]
    assert refused
    assert len(accepted) >= 8
    assert len(refused) + len(accepted) == 200
    assert len(await log.load(stream)) == len(accepted)
    await log.execute(counting(stream, log.identity.shards))


# Ends and beginnings


async def test_a_restart_keeps_everything(log_factory: LogFactory) -> None:
    log = await log_factory(segment_size=64)
    shards = log.identity.shards
    subject = new_id()
    streams = [tally(new_id()) for _ in range(5)]
    await log.execute(noting(note(subject), shards, subject, "rain", new_subject=True))
    await gather(log, [counting(stream, shards, *range(30)) for stream in streams * 4])
    identity, events, states = log.identity, await read_everything(log), await log.states(streams)
    await log.close()
    again = await log_factory(segment_size=64)
    assert again.identity == identity
    assert await read_everything(again) == events
    assert await again.states(streams) == states
    assert await again.states([note(subject)]) == {note(subject): Note(topic="weather", texts=("rain",))}
    outcome = await again.execute(counting(streams[0], shards))
    assert outcome.events[0].version == 121


async def test_closing_answers_every_command_in_flight(log_factory: LogFactory) -> None:
    log = await log_factory()
    streams = [tally(new_id()) for _ in range(100)]
    tasks = [asyncio.create_task(log.execute(counting(stream, log.identity.shards))) for stream in streams]
    await asyncio.sleep(0)
    await log.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} <= {Outcome, UnavailableError, OutcomeUnknownError}
    reopened = await log_factory()
    for stream, result in zip(streams, results, strict=True):
        stored = await reopened.load(stream)
        if isinstance(result, Outcome):
            assert stored == result.events
        if isinstance(result, UnavailableError):
            assert stored == ()


async def test_a_closed_log_does_nothing_more(log_factory: LogFactory) -> None:
    log = await log_factory()
    await log.close()
    await log.close()
    with pytest.raises(UnavailableError):
        await log.execute(counting(tally(new_id()), log.identity.shards))


# Everything at once


@pytest.mark.parametrize("seed", range(4))
async def test_any_interleaving_of_two_processes_agrees_with_a_model(log_factory: LogFactory, seed: int) -> None:
    source = random.Random(seed)
    handles = [await log_factory(segment_size=64) for _ in range(2)]
    shards = handles[0].identity.shards
    tallies = [tally(new_id()) for _ in range(6)]
    seats = [seat(new_id()) for _ in range(6)]
    totals: Counter[str] = Counter()
    owners: dict[str, str | None] = dict.fromkeys(seats)

    async def count() -> None:
        stream, amounts = source.choice(tallies), [source.randint(1, 9) for _ in range(source.choice([1, 2, 30]))]
        await source.choice(handles).execute(counting(stream, shards, *amounts))
        totals[stream] += sum(amounts)

    async def contend(stream: str) -> None:
        names = [f"{name}-{source.randrange(3)}" for name in ("ada", "bob", "cyd")]
        before = owners[stream]
        tries = (source.choice(handles).execute(taking(stream, shards, name)) for name in names)
        results = await asyncio.gather(*tries, return_exceptions=True)
        winners = {n for n, result in zip(names, results, strict=True) if isinstance(result, Outcome)}
        assert winners <= {before} if before is not None else len(winners) == 1
        owners[stream] = before or winners.pop()

    async def leave(stream: str) -> None:
        outcome = await source.choice(handles).execute(leaving(stream, shards))
        assert bool(outcome.events) == (owners[stream] is not None)
        owners[stream] = None

    for _ in range(25):
        # One step on a seat at a time, that the model may know its state before; tallies take anything at once.
        touched = source.sample(seats, source.randint(0, 3))
        steps = [source.choice([contend, leave])(stream) for stream in touched]
        steps += [count() for _ in range(source.randint(0, 8))]
        source.shuffle(steps)
        await asyncio.gather(*steps)

    for handle in (*handles, await log_factory(segment_size=64)):
        assert {s: (await tally_of(handle, s)).total for s in tallies} == {s: totals[s] for s in tallies}
        assert {s: await owner_of(handle, s) for s in seats} == owners
    assert await read_everything(handles[0]) == await read_everything(handles[1])

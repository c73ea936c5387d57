"""Part of the event log's contract: what it refuses, and how it begins and ends."""

import asyncio

import pytest

from domain.errors import (
    LogError,
    OutcomeUnknownError,
    OverloadedError,
    UnavailableError,
    UnknownEventError,
)
from domain.events import REGISTRY, Event, event
from domain.log import codec
from domain.log.port import Draft, Execution, Outcome
from tests.contract.log_domain import (
    Note,
    always,
    counting,
    metadata,
    new_id,
    note,
    noting,
    slot_in,
    tally,
)
from tests.contract.log_kit import (
    LogFactory,
    gather,
    read_everything,
)


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

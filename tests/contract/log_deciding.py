"""Part of the event log's contract: whatever is decided is decided on the newest state, whoever else appends."""

import asyncio
import random
from collections import Counter

import pytest

from domain.errors import (
    Refusal,
)
from domain.log.port import Outcome
from tests.contract.log_domain import (
    Counted,
    Tally,
    counting,
    counting_for,
    leaving,
    new_id,
    next_number,
    seat,
    slot_in,
    taking,
    tally,
)
from tests.contract.log_kit import (
    LogFactory,
    appended,
    gather,
    owner_of,
    read_everything,
    tally_of,
)


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

"""Appends whose outcome nobody was told: nothing is lost, nothing is there twice (log.md R3)."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence

import pytest

from domain.envelope import Recorded
from domain.errors import OutcomeUnknownError, UnavailableError
from domain.log.cassandra import CassandraLog, metrics
from domain.log.port import Execution, Outcome
from tests.contract.log_domain import Counted, counting, new_id, next_number, slot_in, tally
from tests.log_cassandra_kit import Proxy, Store, commands_of, read_shard, until

SHARD = 3


@pytest.fixture
async def proxy(own: Store) -> AsyncIterator[Proxy]:
    async with own.proxy() as made:
        yield made
        made.heal()
        await own.close()


def stream_of(shards: int) -> str:
    return tally(new_id(slot_in(SHARD, shards)))


def unknown_outcomes() -> float:
    return float(metrics.UNKNOWN._value.get())


async def counted(own: Store, execution: Execution) -> int:
    """How many events the command has in the log."""
    events = await read_shard(await own.open(), SHARD)
    return commands_of(events)[execution.metadata.command_id]


async def warm(log: CassandraLog) -> str:
    """A stream of which all is loaded that its next command needs, so that nothing but its append passes the proxy."""
    shards = log.identity.shards
    stream = stream_of(shards)
    for _ in range(2):
        await log.execute(counting(stream, shards))
    return stream


async def sent(proxy: Proxy, execution: "asyncio.Task[Outcome]") -> None:
    """Gives the command time to be sent and the store to be missed."""
    await asyncio.sleep(1.6)
    assert not execution.done()


async def test_an_append_whose_answer_was_lost_is_there_once(own: Store, proxy: Proxy) -> None:
    log = await own.open(through=proxy)
    stream, before = await warm(log), unknown_outcomes()
    execution = counting(stream, log.identity.shards, 5)
    proxy.replies.clear()
    running = asyncio.create_task(log.execute(execution))
    await sent(proxy, running)
    assert await counted(own, execution) == 1
    proxy.cut()
    proxy.heal()
    outcome = await running
    assert unknown_outcomes() > before
    assert [recorded.event for recorded in outcome.events] == [Counted(amount=5)]
    assert await log.load(stream) == await (await own.open()).load(stream)
    assert await counted(own, execution) == 1


async def test_an_append_that_was_lost_on_its_way_is_made_once(own: Store, proxy: Proxy) -> None:
    log = await own.open(through=proxy)
    stream, before = await warm(log), unknown_outcomes()
    execution = counting(stream, log.identity.shards, 5)
    proxy.requests.clear()
    running = asyncio.create_task(log.execute(execution))
    await sent(proxy, running)
    assert await counted(own, execution) == 0
    proxy.cut()
    proxy.heal()
    assert len((await running).events) == 1
    assert unknown_outcomes() > before
    assert await counted(own, execution) == 1


async def test_an_append_that_arrives_late_and_is_sent_again_is_there_once(own: Store, proxy: Proxy) -> None:
    """What a paused server does: the request that the client gave up on still waits in it."""
    log = await own.open(through=proxy)
    stream, before = await warm(log), unknown_outcomes()
    execution = counting(stream, log.identity.shards, 5)
    proxy.requests.clear()
    running = asyncio.create_task(log.execute(execution))
    await sent(proxy, running)
    proxy.heal()
    assert len((await running).events) == 1
    assert unknown_outcomes() > before
    assert await counted(own, execution) == 1


async def test_an_append_that_another_process_was_faster_than_is_decided_again(own: Store, proxy: Proxy) -> None:
    log, other = await own.open(through=proxy), await own.open()
    shards = log.identity.shards
    stream = await warm(log)
    proxy.requests.clear()
    running = asyncio.create_task(log.execute(next_number(stream, shards)))
    await sent(proxy, running)
    await other.execute(next_number(stream, shards))
    proxy.heal()
    [recorded] = (await running).events
    assert recorded.event == Counted(amount=4)
    assert [recorded.event for recorded in (await other.load(stream))[2:]] == [Counted(amount=3), Counted(amount=4)]


async def test_a_caller_that_gives_up_is_told_so_and_the_attempt_goes_on(own: Store, proxy: Proxy) -> None:
    log = await own.open(through=proxy, patience=1.5)
    stream = await warm(log)
    execution = counting(stream, log.identity.shards, 5)
    proxy.requests.clear()
    with pytest.raises(OutcomeUnknownError) as unknown:
        await log.execute(execution)
    assert unknown.value.command_id == execution.metadata.command_id
    assert await counted(own, execution) == 0
    proxy.cut()
    proxy.heal()
    reader = await own.open()

    async def appended() -> bool:
        return len(await reader.load(stream)) > 2

    await until(appended)
    assert await counted(own, execution) == 1
    # And the shard goes on, on what it has appended.
    assert (await log.execute(counting(stream, log.identity.shards))).events[0].version == 4


async def test_a_command_behind_which_nothing_can_be_read_is_answered_all_the_same(own: Store) -> None:
    log = await own.open()
    stream = await warm(log)
    place = log.shards[SHARD].seen + 1
    columns = "generation, shard, segment, position, head, head_attempt, body"
    # In its place stands what is no event, so that nobody can tell whose it is.
    row = f"1, {SHARD}, 0, {place}, {place}, 'another', 0xc1"
    await own.tables.define(f"INSERT INTO {{0}}.event_log ({columns}) VALUES ({row}) IF NOT EXISTS")
    execution = counting(stream, log.identity.shards)
    with pytest.raises(OutcomeUnknownError) as unknown:
        await asyncio.wait_for(log.execute(execution), 20)
    assert unknown.value.command_id == execution.metadata.command_id


async def test_what_was_never_sent_is_turned_away_soon_and_never_appended(own: Store, proxy: Proxy) -> None:
    log = await own.open(through=proxy)
    shards = log.identity.shards
    stream = await warm(log)
    proxy.requests.clear()
    first = counting(stream, shards, 5)
    flying = asyncio.create_task(log.execute(first))
    await asyncio.sleep(0.05)
    behind = [counting(stream, shards) for _ in range(10)]
    results = await asyncio.gather(*(log.execute(e) for e in behind), return_exceptions=True)
    assert {type(result) for result in results} == {UnavailableError}
    with pytest.raises(UnavailableError):
        await log.execute(counting(stream_of(shards), shards))
    assert not flying.done()
    proxy.cut()
    proxy.heal()
    await flying

    async def healed() -> bool:
        try:
            return bool((await log.execute(counting(stream, shards))).events)
        except UnavailableError:
            return False

    await until(healed)
    commands = commands_of(await read_shard(await own.open(), SHARD))
    assert commands[first.metadata.command_id] == 1
    assert not any(execution.metadata.command_id in commands for execution in behind)


async def test_a_log_closed_over_an_unknown_outcome_says_so(own: Store, proxy: Proxy) -> None:
    log = await own.open(through=proxy)
    shards = log.identity.shards
    stream = await warm(log)
    proxy.replies.clear()
    execution = counting(stream, shards)
    running = asyncio.create_task(log.execute(execution))
    await sent(proxy, running)
    await log.close()
    with pytest.raises(OutcomeUnknownError):
        await running
    assert await counted(own, execution) == 1


@pytest.mark.parametrize("seed", range(2))
async def test_two_that_race_through_faults_lose_and_double_nothing(own: Store, seed: int) -> None:
    """Two processes on one shard over several segments, each behind a proxy that stalls, loses and delays."""
    source = random.Random(seed)
    before = unknown_outcomes()
    async with own.proxy() as first, own.proxy() as second:
        logs = [await own.open(through=proxy, patience=60) for proxy in (first, second)]
        shards = logs[0].identity.shards
        streams = [stream_of(shards) for _ in range(5)]
        done = asyncio.Event()

        async def write(number: int) -> list[tuple[Execution, Outcome | BaseException]]:
            made: list[tuple[Execution, Outcome | BaseException]] = []
            while len(made) < 250 or not done.is_set():
                executions = [next_number(source.choice(streams), shards) for _ in range(source.randint(1, 12))]
                results = await asyncio.gather(*(logs[number].execute(e) for e in executions), return_exceptions=True)
                made += zip(executions, results, strict=True)
                await asyncio.sleep(0.01 if not any(isinstance(r, UnavailableError) for r in results) else 0.1)
            return made

        async def disturb() -> None:
            for proxy in source.sample([first, second] * 2, 4):
                await asyncio.sleep(source.uniform(0.1, 0.4))
                getattr(proxy, source.choice(["requests", "replies"])).clear()
                await asyncio.sleep(source.uniform(1.3, 1.8))
                if source.random() < 0.5:
                    proxy.cut()
                proxy.heal()
            done.set()

        *written, _ = await asyncio.gather(write(0), write(1), disturb())
        await own.close()
    assert unknown_outcomes() > before
    _check([pair for made in written for pair in made or []], await read_shard(await own.open(), SHARD))


def _check(made: Sequence[tuple[Execution, Outcome | BaseException]], events: Sequence[Recorded]) -> None:
    commands = commands_of(events)
    for execution, result in made:
        found = commands[execution.metadata.command_id]
        if isinstance(result, Outcome):
            assert found == 1
        else:
            assert isinstance(result, UnavailableError), result
            assert found == 0

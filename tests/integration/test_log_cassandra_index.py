"""The index by stream, its watermark, and the tail above it (log.md R5, R6): whatever of a stream lies where, it is loaded whole."""

import asyncio
import random
from collections import Counter

import msgspec
import pytest

from domain.envelope import split_sequence
from domain.errors import CorruptStreamError, LogError, UnavailableError
from domain.events import GenerationClosed
from domain.log.cassandra import CassandraLog, keeper, metrics, shard
from domain.log.cassandra.index import Since
from domain.log.codec import StoredEvent
from domain.log.port import Draft, Execution
from tests.contract.log_domain import Counted, Tally, always, counting, metadata, new_id, next_number, slot_in, tally
from tests.log_cassandra_kit import Store, read_shard, until

SHARD = 3


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tail of a few rows and a watermark that is raised at once, so that little stays in memory."""
    monkeypatch.setattr(shard, "RETAINED_ROWS", 3)
    monkeypatch.setattr(keeper, "STEP_SECONDS", 0.02)


def stream_of(log: CassandraLog) -> str:
    return tally(new_id(slot_in(SHARD, log.identity.shards)))


async def watermark_reached(log: CassandraLog, position: int, number: int = SHARD) -> None:
    """Waits until the index is known to be complete up to a position."""
    watched = log.shards[number]

    async def reached() -> bool:
        return (await watched.progress.read(watched.place)).watermark >= position

    await until(reached)


def die(log: CassandraLog) -> None:
    """Ends what a handle does in the background, as a kill would."""
    for task in log._tasks:
        task.cancel()


async def test_streams_are_whole_while_the_floor_rises_under_them(own: Store, hurried: None) -> None:
    """Few states are kept, so that most commands load; many of the loads meet a floor that moves."""
    source = random.Random(5)
    logs = [await own.open(cached_states=3) for _ in range(2)]
    shards = logs[0].identity.shards
    streams = [stream_of(logs[0]) for _ in range(30)]
    made: Counter[str] = Counter()

    async def write(log: CassandraLog) -> None:
        for _ in range(12):
            chosen = [source.choice(streams) for _ in range(20)]
            await asyncio.gather(*(log.execute(next_number(stream, shards)) for stream in chosen))
            made.update(chosen)

    await asyncio.gather(*(write(log) for log in logs))
    floors = [log.shards[SHARD].tail.floor for log in logs]
    assert min(floors) > 100
    for log in (*logs, await own.open()):
        for stream in streams:
            amounts = [
                recorded.event.amount for recorded in await log.load(stream) if isinstance(recorded.event, Counted)
            ]
            assert amounts == list(range(1, made[stream] + 1))
    assert len(await read_shard(logs[0], SHARD)) == logs[1].shards[SHARD].seen


async def test_a_load_begins_again_when_the_floor_has_moved_under_it(
    own: Store, hurried: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index is read before the rows are in it, and the tail looked at when they are there no more."""
    log = await own.open()
    shards = log.identity.shards
    stream = stream_of(log)
    index, copier = log.shards[SHARD].index, log._copiers[SHARD]
    read, gate, waiting = index.stream, asyncio.Event(), asyncio.Event()
    held: list[StoredEvent] = []
    add = copier.add
    monkeypatch.setattr(copier, "add", held.extend)
    for _ in range(20):
        await log.execute(counting(stream, shards))

    async def read_slowly(name: str, since: Since | None = None) -> list[StoredEvent]:
        rows = await read(name, since)
        waiting.set()
        await gate.wait()
        return rows

    monkeypatch.setattr(index, "stream", read_slowly)
    loading = asyncio.create_task(log.load(stream))
    await waiting.wait()
    add(held)
    await watermark_reached(log, 20)

    async def dropped() -> bool:
        return log.shards[SHARD].tail.floor > 10

    await until(dropped)
    gate.set()
    assert [recorded.version for recorded in await loading] == list(range(1, 21))


async def test_a_hole_ends_the_run_and_is_not_skipped(own: Store) -> None:
    """There never is one, unless the log was tampered with: readers stop before it."""
    log = await own.open()
    stream = stream_of(log)
    events = (await log.execute(counting(stream, log.identity.shards, 1, 2, 3))).events
    await watermark_reached(log, 3)
    where = f"generation = {log.identity.generation} AND shard = {SHARD} AND segment = 0 AND position = 2"
    await own.tables.define(f"DELETE FROM {{0}}.event_log WHERE {where}")
    before = metrics.HOLES._value.get()
    again = await own.open()
    assert await again.read(SHARD, 0, 10) == events[:1]
    assert await again.read(SHARD, events[0].sequence, 10) == ()
    assert metrics.HOLES._value.get() > before


async def test_a_store_that_was_set_back_stops_whoever_has_seen_more(own: Store) -> None:
    """What a node loses that is killed before its commit log is synced. Whoever has seen it decides on events that are no more."""
    ahead, behind = await own.open(), await own.open()
    shards = ahead.identity.shards
    stream = stream_of(ahead)
    await ahead.execute(counting(stream, shards, 1, 2))
    await behind.load(stream)
    die(behind)
    seen = (await ahead.execute(counting(stream, shards, 3))).events[0]
    where = f"generation = {seen.generation} AND shard = {SHARD} AND segment = 0"
    await own.tables.define(
        f"DELETE FROM {{0}}.event_log WHERE {where} AND position = 3",
        f"UPDATE {{0}}.event_log SET head = 2, head_attempt = '{(await behind.load(stream))[1].attempt_id}' WHERE {where}",
    )
    other = await own.open()
    [again] = (await other.execute(counting(stream, shards, 4))).events
    assert again.position == 3
    with pytest.raises(LogError, match="set back"):
        await ahead.execute(counting(stream, shards))
    with pytest.raises(LogError, match="set back"):
        await ahead.execute(counting(stream, shards))
    assert len(await read_shard(other, SHARD)) == 3


async def test_what_a_dead_process_did_not_copy_is_mended(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "MEND_AFTER", 300_000)
    monkeypatch.setattr(keeper, "STEP_SECONDS", 0.1)
    before = metrics.INDEX_MENDED._value.get()
    dead, alive = await own.open(), await own.open()
    streams = [stream_of(dead) for _ in range(20)]
    for copier in dead._copiers:
        monkeypatch.setattr(copier, "add", list)
    for _ in range(3):
        await asyncio.gather(*(dead.execute(counting(stream, dead.identity.shards)) for stream in streams))
    die(dead)
    await alive.execute(counting(streams[0], alive.identity.shards))
    await watermark_reached(alive, alive.shards[SHARD].seen)
    assert metrics.INDEX_MENDED._value.get() - before >= 60
    index = alive.shards[SHARD].index
    assert [len(await index.stream(stream)) for stream in streams] == [4] + [3] * 19


async def test_the_watermark_stands_before_what_is_not_in_the_index(
    own: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "STEP_SECONDS", 0.05)
    slow, owner = await own.open(), await own.open()
    copier = slow._copiers[SHARD]
    held: list[StoredEvent] = []
    add = copier.add
    monkeypatch.setattr(copier, "add", held.extend)
    stream = stream_of(slow)
    await slow.execute(counting(stream, slow.identity.shards, 1, 2, 3))
    for _ in range(5):
        await owner.execute(counting(stream, slow.identity.shards))
    await asyncio.sleep(0.5)
    progress = owner.shards[SHARD].progress
    assert (await progress.read(owner.shards[SHARD].place)).watermark == 0
    add(held)
    await watermark_reached(owner, 8)


async def test_after_a_long_pause_the_view_is_dropped_and_right_again(
    own: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard, "PAGE", 20)
    monkeypatch.setattr(keeper, "STEP_SECONDS", 0.05)
    paused, busy = await own.open(), await own.open()
    shards = paused.identity.shards
    streams = [stream_of(paused) for _ in range(5)]
    await asyncio.gather(*(paused.execute(next_number(stream, shards)) for stream in streams))
    behind = paused.shards[SHARD]
    monkeypatch.setattr(behind, "catch_up", asyncio.Event().wait)
    for _ in range(60):
        await asyncio.gather(*(busy.execute(next_number(stream, shards)) for stream in streams))
    await watermark_reached(busy, 300)
    before = metrics.REBASES.labels(str(SHARD))._value.get()
    monkeypatch.undo()
    monkeypatch.setattr(shard, "PAGE", 20)
    outcomes = await asyncio.gather(*(paused.execute(next_number(stream, shards)) for stream in streams))
    assert metrics.REBASES.labels(str(SHARD))._value.get() == before + 1
    assert [outcome.events[0].event for outcome in outcomes] == [Counted(amount=62)] * 5
    assert len(await read_shard(paused, SHARD)) == paused.shards[SHARD].seen


async def test_two_events_of_one_version_stop_whoever_loads_them(own: Store) -> None:
    log = await own.open()
    stream, bystander = stream_of(log), stream_of(log)
    shards = log.identity.shards
    await log.execute(counting(stream, shards, 1, 2))
    await log.execute(counting(bystander, shards))
    await watermark_reached(log, 3)
    index = log.shards[SHARD].index
    first, _ = await index.stream(stream)
    await index.write([msgspec.structs.replace(first, position=first.position + 2)])
    again = await own.open()
    for use in (again.load(stream), again.states([stream]), again.execute(counting(stream, shards))):
        with pytest.raises(CorruptStreamError):
            await use
    assert len((await again.execute(counting(bystander, shards))).events) == 1


async def test_a_full_tail_turns_commands_away_until_the_index_follows(
    own: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard, "TAIL_ROWS", 50)
    monkeypatch.setattr(keeper, "MEND_AFTER", 3_600_000_000)
    writer = await own.open()
    stream = stream_of(writer)
    shards = writer.identity.shards
    copier = writer._copiers[SHARD]
    held: list[StoredEvent] = []
    add = copier.add
    monkeypatch.setattr(copier, "add", held.extend)
    for _ in range(5):
        await writer.execute(counting(stream, shards, *range(10)))
    with pytest.raises(UnavailableError, match="behind"):
        await writer.execute(counting(stream, shards))
    assert len(await read_shard(writer, SHARD)) == 50
    monkeypatch.setattr(shard, "RETAINED_ROWS", 3)
    monkeypatch.setattr(copier, "add", add)
    add(held)
    await watermark_reached(writer, 50)

    async def accepted() -> bool:
        try:
            return bool((await writer.execute(counting(stream, shards))).events)
        except UnavailableError:
            return False

    await until(accepted)
    assert (await writer.states([stream]))[stream] == Tally(total=226, events=51)


async def test_a_generation_ends_and_the_next_goes_on(own: Store) -> None:
    log = await own.open()
    shards, old = log.identity.shards, log.identity.generation
    stream, quiet = stream_of(log), tally(new_id(slot_in(5, shards)))
    await log.execute(counting(stream, shards, 1, 2, 3))
    await log.execute(counting(quiet, shards))
    for number in range(shards):
        name = f"shard-{number}"
        drafts = [Draft(name, GenerationClosed(generation=old))]
        await log.execute(Execution(shard=number, streams=(name,), decide=always(*drafts), metadata=metadata()))
    with pytest.raises(UnavailableError, match="closed"):
        await log.execute(counting(stream, shards))
    for number in range(shards):
        await watermark_reached(log, split_sequence(await log.head(number))[1], number)
    columns, values = "name, generation, shards, segment_size", f"'log', {old + 1}, {shards}, 128"
    await own.tables.define(f"INSERT INTO {{0}}.log_meta ({columns}) VALUES ({values}) IF NOT EXISTS")
    following = await own.open()
    assert (following.identity.generation, following.identity.segment_size) == (old + 1, 128)
    last = await log.head(SHARD)
    assert await following.head(SHARD) == last
    assert await following.read(SHARD, last, 10) == ()
    await following.wait(SHARD, last, 0.01)
    [appended] = (await following.execute(next_number(stream, shards))).events
    assert (appended.version, appended.position, appended.generation) == (4, 1, old + 1)
    assert appended.event == Counted(amount=4)
    events = await following.read(SHARD, 0, 10)
    assert [recorded.generation for recorded in events] == [old] * 4
    assert await following.read(SHARD, events[-1].sequence, 10) == (appended,)
    assert await following.load(stream) == (*events[:3], appended)
    assert await following.head(5) == await log.head(5)
    with pytest.raises(UnavailableError, match="closed"):
        await log.execute(counting(stream, shards))

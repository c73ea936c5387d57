"""The event log's contract on SQLite, and what only SQLite can promise."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest
from structlog.testing import capture_logs

from domain.errors import CorruptStreamError, LogError, OutcomeUnknownError, Refusal, UnavailableError
from domain.log.batching import Snapshot
from domain.log.port import Draft, EventLog, Execution, Outcome, View
from domain.log.sealing import new_key
from domain.log.snapshots import Kept
from domain.log.sqlite import SqliteLog, open_sqlite_log, queries, tables, transaction
from domain.log.sqlite.archive import open_sqlite_archive
from domain.log.sqlite.log import _now
from domain.log.sqlite.states import StateCache
from domain.log.sqlite.watch import Watch
from tests.contract.log_contract import *  # noqa: F403 -- the contract's tests run where they are imported
from tests.contract.log_domain import (
    Aggregates,
    Note,
    Tally,
    counting,
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
from tests.contract.log_kit import FINGERPRINT, appended, gather, read_everything, read_shard, tally_of

MASTER_KEY = bytes(range(32))


class SqliteFactory(Protocol):
    async def __call__(
        self,
        *,
        shards: int = 8,
        segment_size: int = 8192,
        queue_limit: int = 4096,
        fingerprint: str = FINGERPRINT,
        master_key: bytes = MASTER_KEY,
        clock: Callable[[], int] = _now,
    ) -> SqliteLog: ...


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def log_factory(path: Path) -> AsyncIterator[SqliteFactory]:
    opened: list[SqliteLog] = []

    async def open_log(
        *,
        shards: int = 8,
        segment_size: int = 8192,
        queue_limit: int = 4096,
        fingerprint: str = FINGERPRINT,
        master_key: bytes = MASTER_KEY,
        clock: Callable[[], int] = _now,
    ) -> SqliteLog:
        log = await open_sqlite_log(
            path,
            master_key=master_key,
            server_key_fingerprint=fingerprint,
            aggregates=Aggregates(),
            shards=shards,
            segment_size=segment_size,
            queue_limit=queue_limit,
            clock=clock,
        )
        opened.append(log)
        return log

    yield open_log
    for log in opened:
        await log.close()


def connection_of(log: SqliteLog) -> sqlite3.Connection:
    return log._appender._connection


class Snapshots:
    """See tests.contract.log_kit.SnapshotStore."""

    async def read(self, log: EventLog, stream: str) -> Kept | None:
        assert isinstance(log, SqliteLog)
        return queries.kept(connection_of(log), stream)

    async def write(self, log: EventLog, stream: str, kept: Kept) -> None:
        assert isinstance(log, SqliteLog)
        queries.keep(connection_of(log), stream, kept)

    async def settled(self, log: EventLog) -> None:
        """They are written in the transaction of the command that needed them."""


@pytest.fixture
def snapshot_store() -> Snapshots:
    return Snapshots()


# Opening


async def test_processes_that_make_the_log_at_once_make_one(log_factory: SqliteFactory) -> None:
    logs = await asyncio.gather(*(log_factory() for _ in range(8)))
    assert len({log.identity.log_id for log in logs}) == 1


async def test_a_log_is_not_opened_with_another_shape(log_factory: SqliteFactory) -> None:
    await log_factory()
    with pytest.raises(LogError, match="8 shards"):
        await log_factory(shards=16)
    with pytest.raises(LogError, match="segments of 8192"):
        await log_factory(segment_size=64)


async def test_a_log_is_not_opened_under_another_master_key(log_factory: SqliteFactory) -> None:
    log = await log_factory()
    subject = new_id()
    await log.execute(noting(note(subject), 8, subject, "rain", new_subject=True))
    with pytest.raises(LogError, match="MASTER_KEY"):
        await log_factory(master_key=new_key())


async def test_another_layout_is_not_opened(log_factory: SqliteFactory, path: Path) -> None:
    await (await log_factory()).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(LogError, match="layout 2"):
        await log_factory()


@pytest.fixture
def other_file(path: Path) -> None:
    path.write_bytes(b"something else entirely" * 1_000)


async def test_what_is_no_log_is_not_opened(log_factory: SqliteFactory, other_file: None) -> None:
    with pytest.raises(LogError, match=r"log\.db"):
        await log_factory()


@pytest.fixture
def folder(path: Path) -> None:
    path.mkdir()


async def test_what_cannot_be_opened_is_unavailable(log_factory: SqliteFactory, folder: None) -> None:
    with pytest.raises(UnavailableError, match=r"log\.db"):
        await log_factory()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_OPEN_SECONDS", 0.02)
    monkeypatch.setattr(tables, "_BUSY_MILLISECONDS", 20)


@pytest.mark.usefixtures("impatient")
async def test_who_needs_the_file_alone_gets_it_alone_or_not_at_all(log_factory: SqliteFactory, path: Path) -> None:
    log = await log_factory()
    with pytest.raises(LogError, match="in use by another process"):
        await open_sqlite_archive(path, server_key_fingerprint=FINGERPRINT, alone=True)
    await log.execute(counting(tally(new_id()), 8))
    await log.close()
    archive = await open_sqlite_archive(path, server_key_fingerprint=FINGERPRINT, alone=True)
    with pytest.raises(UnavailableError, match="locked"):
        await log_factory()
    await archive.close()
    assert len(await read_everything(await log_factory())) == 1


async def test_the_file_is_durable_and_bounded_in_its_promises(log_factory: SqliteFactory) -> None:
    log = await log_factory()
    settings = {
        name: connection_of(log).execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "secure_delete")
    }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1}


@pytest.mark.parametrize("change", ["UPDATE event_log SET payload = x'7b7d'", "DELETE FROM event_log"])
async def test_events_are_never_changed_or_deleted(log_factory: SqliteFactory, change: str) -> None:
    log = await log_factory()
    await log.execute(counting(tally(new_id()), 8))
    with pytest.raises(sqlite3.IntegrityError, match="never"):
        connection_of(log).execute(change)


# When the file fails


async def test_a_full_disk_appends_nothing_and_passes(log_factory: SqliteFactory) -> None:
    log = await log_factory()
    stream = tally(new_id())
    await log.execute(counting(stream, 8))
    (pages,) = connection_of(log).execute("PRAGMA page_count").fetchone()
    connection_of(log).execute(f"PRAGMA max_page_count = {pages}")
    with capture_logs() as lines:
        results = await gather(log, [counting(stream, 8, *range(64)) for _ in range(20)])
        assert {type(result) for result in results} == {UnavailableError}
        # What appends nothing says nothing of the disk.
        assert (await log.execute(leaving(seat(new_id()), 8))).events == ()
        assert len(lines) == 1
        connection_of(log).execute("PRAGMA max_page_count = 1000000")
        outcome = await log.execute(counting(stream, 8))
    assert [line["event"] for line in lines] == ["log.cannot_be_written", "log.is_written_again"]
    assert "full" in lines[0]["reason"]
    assert outcome.events[0].version == 2
    assert len(await read_everything(log)) == 2


async def test_a_commit_that_fails_is_an_unknown_outcome(log_factory: SqliteFactory) -> None:
    """A deferred constraint, broken by any insert, makes COMMIT fail and nothing before it."""
    log = await log_factory()
    stream, taken = tally(new_id()), seat(new_id())
    await log.execute(taking(taken, 8, "ada"))
    connection = connection_of(log)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("CREATE TABLE broken (x INTEGER REFERENCES log_meta (only) DEFERRABLE INITIALLY DEFERRED)")
    connection.execute("CREATE TRIGGER breaks AFTER INSERT ON event_log BEGIN INSERT INTO broken VALUES (7); END")
    executions = [counting(stream, 8), taking(taken, 8, "bob"), leaving(seat(new_id()), 8)]
    with capture_logs() as lines:
        results = await gather(log, executions)
    assert [(line["event"], line["log_level"]) for line in lines] == [("log.cannot_be_written", "error")]
    assert [type(result) for result in results] == [OutcomeUnknownError, UnavailableError, UnavailableError]
    assert isinstance(results[0], OutcomeUnknownError)
    assert results[0].command_id == executions[0].metadata.command_id
    connection.execute("DROP TRIGGER breaks")
    outcome = await log.execute(next_number(stream, 8))
    assert outcome.states == {stream: Tally(total=1, events=1)}


async def test_a_damaged_stream_stops_its_own_commands_alone(log_factory: SqliteFactory) -> None:
    log = await log_factory()
    damaged, whole = tally(new_id(slot_in(2, 8))), tally(new_id(slot_in(2, 8)))
    await log.execute(counting(damaged, 8))
    connection_of(log).execute(
        "INSERT INTO event_log SELECT generation, shard, position + 1, stream, version + 2, event_id, type, schema_version, "
        "payload, sealed, subject, metadata, occurred_at, recorded_at, attempt_id FROM event_log"
    )
    other = await log_factory()
    for handle in (log, other):
        results = await gather(handle, [counting(damaged, 8), counting(whole, 8)])
        assert [type(result) for result in results] == [CorruptStreamError, Outcome]
        with pytest.raises(CorruptStreamError):
            await handle.load(damaged)
        with pytest.raises(CorruptStreamError):
            await handle.states([damaged])
    assert await tally_of(other, whole) == Tally(total=2, events=2)


async def test_what_is_no_text_is_damage_and_not_an_outage(log_factory: SqliteFactory) -> None:
    log = await log_factory()
    stream = tally(new_id())
    [recorded] = (await log.execute(counting(stream, 8))).events
    connection = connection_of(log)
    connection.execute("DROP TRIGGER events_never_change")
    connection.execute("UPDATE event_log SET type = CAST(x'74ff' AS TEXT)")
    with pytest.raises(LogError, match="damaged"):
        await log.read(recorded.shard, 0, 10)


async def test_a_hole_in_a_shard_is_never_skipped(log_factory: SqliteFactory) -> None:
    log = await log_factory()
    stream = tally(new_id(slot_in(2, 8)))
    await log.execute(counting(stream, 8, 1, 2))
    connection_of(log).execute(
        "INSERT INTO event_log SELECT generation, shard, position + 2, stream, version + 1, event_id, type, schema_version, "
        "payload, sealed, subject, metadata, occurred_at, recorded_at, attempt_id FROM event_log WHERE version = 2"
    )
    run = await log.read(2, 0, 10)
    assert [recorded.position for recorded in run] == [1, 2]
    with pytest.raises(LogError, match="position 4 where 3"):
        await log.read(2, run[-1].sequence, 10)


async def test_a_command_that_cannot_even_be_prepared_fails_alone(log_factory: SqliteFactory) -> None:
    """Its subject's wrapped key is damaged, which the whole group meets."""
    log = await log_factory()
    subject, stream = new_id(), tally(new_id())
    await log.execute(noting(note(subject), 8, subject, "rain", new_subject=True))
    connection_of(log).execute("UPDATE subject_keys SET wrapped = randomblob(61)")
    log._keys.cache.clear()
    results = await gather(log, [counting(stream, 8), noting(note(subject), 8, subject, "sun"), counting(stream, 8)])
    assert [type(result) for result in results] == [Outcome, LogError, Outcome]


# Several processes


async def test_a_process_that_fell_far_behind_decides_on_the_newest_state(
    log_factory: SqliteFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "_CATCH_UP_ROWS", 50)
    log, other = await log_factory(), await log_factory()
    stream = tally(new_id())
    for rows in (10, 50, 51, 200):
        await log.execute(next_number(stream, 8))
        appended(await gather(other, [counting(stream, 8) for _ in range(rows)]))
        outcome = await log.execute(next_number(stream, 8))
        assert outcome.states[stream] == await tally_of(other, stream)
    await read_everything(log)


async def test_heads_that_could_not_be_read_are_looked_for_again(log_factory: SqliteFactory) -> None:
    log, other = await log_factory(), await log_factory()
    connection, empty = connection_of(log), sqlite3.connect(":memory:")
    log._changes(connection)
    assert log._changes(connection) == ()
    [recorded] = (await other.execute(counting(tally(new_id()), 8))).events
    with pytest.raises(sqlite3.OperationalError):
        log._changes(empty)
    empty.close()
    assert log._changes(connection)[recorded.shard] == recorded.sequence
    assert log._changes(connection) == ()


async def test_a_key_that_another_process_destroyed_opens_no_decision(log_factory: SqliteFactory) -> None:
    """Elsewhere a key may be used for 60 seconds more, but no decision rests on what it had opened."""
    log, reading, other = [await log_factory() for _ in range(3)]
    subject = new_id()
    stream = note(subject)
    seen: list[Note] = []

    def decide(view: View) -> Sequence[Draft]:
        seen.append(view.state(stream, Note))
        return ()

    outcome = await log.execute(noting(stream, 8, subject, "rain", new_subject=True))
    look = Execution(outcome.events[0].shard, (stream,), decide, metadata())
    await reading.execute(look)
    await other.destroy_key(subject)
    await log.execute(look)
    await reading.execute(look)
    assert seen == [Note(topic="weather", texts=("rain",)), *[Note(topic="weather", texts=(None,))] * 2]
    with pytest.raises(Refusal):
        await log.execute(noting(stream, 8, subject, "sun"))


async def test_nothing_of_a_destroyed_key_stays_in_the_files(log_factory: SqliteFactory, path: Path) -> None:
    log = await log_factory()
    subject = new_id()
    await log.execute(noting(note(subject), 8, subject, "rain", new_subject=True))
    (wrapped,) = connection_of(log).execute("SELECT wrapped FROM subject_keys").fetchone()
    files = [path, path.with_name("log.db-wal")]
    assert any(wrapped in file.read_bytes() for file in files)
    await log.destroy_key(subject)
    assert not any(wrapped in file.read_bytes() for file in files)
    assert connection_of(log).execute("SELECT wrapped, destroyed FROM subject_keys").fetchall() == [(None, 1)]


async def test_a_rolled_back_key_seals_nothing(log_factory: SqliteFactory) -> None:
    log = await log_factory()
    subject = new_id()
    stream = note(subject)
    connection_of(log).execute(
        "CREATE TRIGGER breaks BEFORE INSERT ON event_log BEGIN SELECT RAISE(ROLLBACK, 'now'); END"
    )
    with pytest.raises(LogError):
        await log.execute(noting(stream, 8, subject, "rain", new_subject=True))
    connection_of(log).execute("DROP TRIGGER breaks")
    await log.execute(noting(stream, 8, subject, "sun", new_subject=True))
    assert (await (await log_factory()).states([stream]))[stream] == Note(topic="weather", texts=("sun",))


async def test_segments_are_filled_up_by_whoever_meets_their_end(log_factory: SqliteFactory) -> None:
    """The version of the log's own stream is right though each process pads in its turn."""
    logs = [await log_factory(segment_size=64) for _ in range(2)]
    slot = slot_in(1, 8)
    for turn in range(12):
        await logs[turn % 2].execute(counting(tally(new_id(slot)), 8, *range(40)))
    events = await read_shard(logs[0], 1)
    assert len(events) == 11 * 64 + 40


# What is kept


def test_the_states_used_last_are_kept() -> None:
    cache = StateCache(3)
    cache.update({name: Snapshot(1, name) for name in "abc"})
    assert cache.get("a") == Snapshot(1, "a")
    cache.update({"d": Snapshot(1, "d")})
    assert [name for name in "abcd" if name in cache] == ["a", "c", "d"]


async def test_more_streams_than_are_kept_are_decided_right(
    log_factory: SqliteFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.log.sqlite.log._HOT_STATES", 5)
    log = await log_factory()
    streams = [tally(new_id()) for _ in range(30)]
    for _ in range(3):
        appended(await gather(log, [next_number(stream, 8) for stream in streams]))
    assert set((await log.states(streams)).values()) == {Tally(total=6, events=3)}
    assert len(log._appender._cache._snapshots) == 5


async def test_a_command_for_no_shard_is_a_mistake(log_factory: SqliteFactory) -> None:
    log = await log_factory()
    with pytest.raises(ValueError, match="no shard 8"):
        await log.execute(counting("shard-8", 8))


async def test_time_never_runs_backwards_in_a_shard(log_factory: SqliteFactory) -> None:
    ticks = iter(range(10_000, 0, -1))
    log = await log_factory(segment_size=64, clock=lambda: next(ticks))
    slot = slot_in(1, 8)
    for _ in range(2):
        appended(await gather(log, [counting(tally(new_id(slot)), 8, *range(40)) for _ in range(5)]))
    assert {recorded.recorded_at for recorded in await read_shard(log, 1)} == {10_000}


# Waiting for others, and no longer


@pytest.fixture
def lock(path: Path) -> Iterator[Callable[[], sqlite3.Connection]]:
    """Takes the file's write lock, as another process's transaction would; to be called once the log is there."""
    connections: list[sqlite3.Connection] = []

    def take() -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None)
        connections.append(connection)
        connection.execute("BEGIN IMMEDIATE")
        return connection

    yield take
    for connection in connections:
        connection.close()


Lock = Callable[[], sqlite3.Connection]


async def waiting_for_the_lock(log: SqliteLog, stream: str) -> asyncio.Task[Outcome]:
    """A command that the writer has taken, and cannot begin."""
    task = asyncio.create_task(log.execute(counting(stream, 8)))
    while not log._unanswered or not log._writer._orders.empty():  # noqa: ASYNC110 -- the thread tells nobody
        await asyncio.sleep(0.001)
    return task


async def test_a_command_waits_for_another_process(log_factory: SqliteFactory, lock: Lock) -> None:
    log = await log_factory()
    held = lock()
    task = await waiting_for_the_lock(log, tally(new_id()))
    held.execute("COMMIT")
    assert len((await task).events) == 1


async def test_a_lock_that_is_never_let_go_is_not_waited_for_without_end(
    log_factory: SqliteFactory, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "_LOCK_SECONDS", 0.05)
    log = await log_factory()
    held = lock()
    with pytest.raises(UnavailableError, match="locked"):
        await log.execute(counting(tally(new_id()), 8))
    held.execute("COMMIT")
    await log.execute(counting(tally(new_id()), 8))
    assert len(await read_everything(log)) == 1


async def test_a_command_whose_caller_gave_up_before_its_turn_is_not_tried(
    log_factory: SqliteFactory, lock: Lock
) -> None:
    log = await log_factory()
    held = lock()
    first, second = tally(new_id()), tally(new_id())
    task = await waiting_for_the_lock(log, first)
    abandoned = asyncio.create_task(log.execute(counting(second, 8)))
    await asyncio.sleep(0)
    abandoned.cancel()
    held.execute("COMMIT")
    await task
    await log.execute(counting(first, 8))
    assert await log.load(second) == ()
    assert not log._unanswered


async def test_closing_appends_what_is_queued(log_factory: SqliteFactory) -> None:
    log = await log_factory()
    tasks = [asyncio.create_task(log.execute(counting(tally(new_id()), 8))) for _ in range(100)]
    await asyncio.sleep(0)
    await log.close()
    assert len(appended(await asyncio.gather(*tasks))) == 100


async def test_closing_does_not_wait_for_ever_and_answers_for_certain(
    log_factory: SqliteFactory, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.log.sqlite.log._CLOSE_SECONDS", 0.05)
    log = await log_factory()
    held = lock()
    taken = await waiting_for_the_lock(log, tally(new_id()))
    queued = [asyncio.create_task(log.execute(counting(tally(new_id()), 8))) for _ in range(3)]
    forgetting = asyncio.create_task(log.destroy_key("ada"))
    await asyncio.sleep(0)
    await log.close()
    results = await asyncio.gather(taken, *queued, forgetting, return_exceptions=True)
    assert {type(result) for result in results} == {UnavailableError}
    held.execute("COMMIT")
    assert await read_everything(await log_factory()) == []


async def test_own_events_wake_without_a_look_at_the_store(log_factory: SqliteFactory) -> None:
    log = await log_factory()

    async def never() -> Sequence[int]:
        await asyncio.Event().wait()
        return ()

    log._watch._poll = never
    stream = tally(new_id(slot_in(2, 8)))
    waiting = asyncio.create_task(log.wait(2, 0, 3_600))
    await asyncio.sleep(0)
    await log.execute(counting(stream, 8))
    await waiting


async def test_only_those_are_woken_whose_shard_has_grown_past_them() -> None:
    polled: list[list[int]] = [[5, 0], [5, 0], [7, 0]]

    async def poll() -> Sequence[int]:
        return polled.pop(0) if polled else [7, 1]

    watch = Watch([3, 0], poll)
    waits = [asyncio.create_task(watch.wait(*where, 3_600)) for where in ((0, 3), (0, 4), (0, 6), (1, 0))]
    await asyncio.gather(*waits[:2])
    assert not waits[2].done()
    assert not waits[3].done()
    await asyncio.gather(*waits)
    assert polled == []
    await watch.close()


@pytest.mark.slow
async def test_looks_grow_rare_while_nothing_happens() -> None:
    pauses: list[float] = []
    heads = [[0]] * 8 + [[1]] + [[1]] * 3 + [[2]]

    async def poll() -> Sequence[int]:
        pauses.append(watch._pause)
        return heads.pop(0)

    watch = Watch([0], poll)
    await watch.wait(0, 1, 3_600)
    assert pauses == [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.25, 0.25, 0.25, 0.005, 0.01, 0.02, 0.04]
    await watch.close()


async def test_who_waits_learns_that_the_store_is_away() -> None:
    async def poll() -> Sequence[int]:
        raise UnavailableError("away")

    watch = Watch([0, 0], poll)
    results = await asyncio.gather(watch.wait(0, 0, 9), watch.wait(1, 0, 9), return_exceptions=True)
    assert [type(result) for result in results] == [UnavailableError, UnavailableError]
    await watch.close()

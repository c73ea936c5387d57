"""A verification of a log in a file: it finds nothing beside running writers, names each damage where it is, and mends only what is derived."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from domain.envelope import sequence
from domain.errors import LogError, UnavailableError
from domain.log.findings import Kind, Report
from domain.log.generations import close_generation
from domain.log.sqlite import SqliteLog, open_sqlite_log
from domain.log.sqlite.generation import open_sqlite_generation
from domain.log.sqlite.tables import objects
from domain.log.sqlite.verifying import open_sqlite_verifier
from tests.contract.log_domain import (
    Aggregates,
    Counted,
    counting,
    new_id,
    next_number,
    note,
    noting,
    slot_in,
    tally,
)
from tests.contract.log_kit import FINGERPRINT, read_everything

MASTER_KEY = bytes(range(32))
SHARDS, SIZE = 8, 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteLog]:
    log = await open_sqlite_log(
        path, master_key=MASTER_KEY, server_key_fingerprint=FINGERPRINT, aggregates=Aggregates(), segment_size=SIZE
    )
    try:
        yield log
    finally:
        await log.close()


async def verified(
    path: Path,
    shards: Collection[int] | None = None,
    *,
    repair: bool = False,
    master_key: bytes = MASTER_KEY,
    fingerprint: str = FINGERPRINT,
) -> Report:
    report = Report()
    verifier = await open_sqlite_verifier(path, master_key=master_key, server_key_fingerprint=fingerprint)
    try:
        await verifier.verify(report, shards, repair=repair)
    finally:
        await verifier.close()
    return report


async def filled(path: Path) -> int:
    """A log with 150 events and more in every shard; how many there are."""
    async with opened(path) as log:
        shards = range(SHARDS)
        subjects = [new_id(slot_in(number, SHARDS)) for number in shards]
        streams = [tally(new_id(slot_in(number, SHARDS))) for number in shards for _ in range(5)]
        sealed = [noting(note(subject), SHARDS, subject, "rain", new_subject=True) for subject in subjects]
        await asyncio.gather(*(log.execute(execution) for execution in sealed))
        await asyncio.gather(*(log.execute(counting(stream, SHARDS, *range(10))) for stream in streams * 3))
        return len(await read_everything(log))


@contextmanager
def past_all_rules(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for which events may change."""
    triggers = [statement for name, statement in objects().items() if name.startswith("events_never")]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER events_never_change")
        connection.execute("DROP TRIGGER events_never_go")
        yield connection
        for statement in triggers:
            connection.execute(statement)


async def test_nothing_is_found_while_others_write(path: Path) -> None:
    streams = [tally(new_id()) for _ in range(30)]
    over = asyncio.Event()

    async def write(log: SqliteLog) -> None:
        while not over.is_set():
            await asyncio.gather(*(log.execute(next_number(stream, SHARDS)) for stream in streams))

    async with opened(path) as log, opened(path) as other:
        writing = [asyncio.create_task(write(each)) for each in (log, other)]
        try:
            for _ in range(3):
                assert (await verified(path)).findings == []
        finally:
            over.set()
            await asyncio.gather(*writing)
        events = len(await read_everything(log))
        report = await verified(path)
        assert (report.findings, report.done["log"], report.done["index"]) == ([], events, events)


@pytest.mark.parametrize(
    ("statement", "kind", "shard", "position"),
    [
        ("DELETE FROM event_log WHERE shard = 0 AND position = 20", Kind.POSITION, 0, 21),
        ("UPDATE event_log SET recorded_at = 1 WHERE shard = 1 AND position = 20", Kind.TIME, 1, 20),
        ("UPDATE event_log SET payload = x'ff' WHERE shard = 2 AND position = 20", Kind.UNREADABLE, 2, 20),
        ("UPDATE event_log SET type = 'test.of_tomorrow' WHERE shard = 3 AND position = 20", Kind.UNREADABLE, 3, 20),
        ("UPDATE event_log SET sealed = randomblob(40) WHERE shard = 4 AND position = 1", Kind.UNREADABLE, 4, 1),
        ("UPDATE event_log SET version = 77 WHERE shard = 5 AND position = 20", Kind.VERSION, 5, 20),
        ("UPDATE event_log SET attempt_id = '' WHERE shard = 6 AND position = 20", Kind.ATTEMPT, 6, 20),
        ("UPDATE event_log SET shard = 9 WHERE shard = 7 AND position = 20", Kind.PLACE, 9, None),
        ("DELETE FROM subject_keys WHERE subject = (SELECT MAX(subject) FROM subject_keys)", Kind.KEY, None, 1),
    ],
)
async def test_each_damage_is_named_and_none_to_the_log_is_mended(
    path: Path, statement: str, kind: Kind, shard: int | None, position: int | None
) -> None:
    await filled(path)
    with past_all_rules(path) as connection:
        connection.execute(statement)
    for repair in (False, True):
        report = await verified(path, repair=repair)
        found = [each for each in report.findings if each.kind is kind and each.position == position]
        assert found
        assert shard is None or {each.shard for each in found} == {shard}
        assert not report.repairs


async def test_the_index_and_the_triggers_are_made_anew(path: Path) -> None:
    events = await filled(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP INDEX events_by_stream")
        connection.execute("DROP TRIGGER events_never_go")
    report = await verified(path)
    assert {finding.found for finding in report.findings} == {"no events_by_stream", "no events_never_go"}
    assert sum((await verified(path, repair=True)).repairs.values()) == 1
    report = await verified(path)
    assert (report.findings, report.done["index"]) == ([], events)


async def test_an_index_that_does_not_fit_its_table_is_mended(path: Path) -> None:
    events = await filled(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        # What a lost page would do: the index keeps what the table no longer has.
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'events_by_stream'").fetchone()
        connection.execute("CREATE TABLE other (stream TEXT, version INTEGER)")
        connection.execute("CREATE UNIQUE INDEX others ON other (stream, version)")
        (empty,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'others'").fetchone()
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET rootpage = ? WHERE name = 'others'", (page,))
        connection.execute("UPDATE sqlite_schema SET rootpage = ? WHERE name = 'events_by_stream'", (empty,))
    report = await verified(path)
    assert Kind.INDEX_DIFFERS in report.counts
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'others'")
    await verified(path, repair=True)
    assert (await verified(path)).done["index"] == events


async def test_one_shard_alone_is_verified(path: Path) -> None:
    await filled(path)
    with past_all_rules(path) as connection:
        connection.execute("UPDATE event_log SET recorded_at = 1 WHERE shard = 1 AND position = 20")
    assert (await verified(path, [2])).clean
    assert (await verified(path, [1])).counts == {Kind.TIME: 1}


async def test_another_server_key_or_master_key_is_a_finding(path: Path) -> None:
    await filled(path)
    report = await verified(path, master_key=bytes(32), fingerprint="another")
    assert [finding.kind for finding in report.findings] == [Kind.IDENTITY] * 2


async def test_a_log_that_is_not_there_is_not_made(path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"log\.db"):
        await verified(path)
    with pytest.raises(UnavailableError, match=r"log\.db"):
        await open_sqlite_generation(path, server_key_fingerprint=FINGERPRINT)
    assert list(path.parent.iterdir()) == []


async def test_a_generation_ends_and_the_next_goes_on(path: Path) -> None:
    stream, quiet = (tally(new_id(slot_in(number, SHARDS))) for number in (3, 5))
    async with opened(path) as log:
        [first] = (await log.execute(counting(stream, SHARDS))).events
        [alone] = (await log.execute(counting(quiet, SHARDS))).events
        with pytest.raises(LogError, match="log close"):
            await open_sqlite_generation(path, server_key_fingerprint=FINGERPRINT)
        assert await close_generation(log, new_id) == SHARDS
        identity = await open_sqlite_generation(path, server_key_fingerprint=FINGERPRINT)
        assert (identity.log_id, identity.generation) == (log.identity.log_id, log.identity.generation + 1)
        async with opened(path) as following:
            assert following.identity == identity
            ends = [await log.head(shard) for shard in range(SHARDS)]
            assert [await following.head(shard) for shard in range(SHARDS)] == ends
            assert await following.read(3, ends[3], 10) == ()
            await following.wait(3, ends[3], 0.01)
            [appended] = (await following.execute(next_number(stream, SHARDS))).events
            assert (appended.version, appended.position, appended.sequence) == (2, 1, sequence(identity.generation, 1))
            assert appended.event == Counted(amount=2)
            assert await following.load(stream) == (first, appended)
            assert await following.read(3, ends[3], 10) == (appended,)
            assert (await following.head(3), await following.head(5)) == (appended.sequence, ends[5])
            assert await following.load(quiet) == (alone,)
        with pytest.raises(UnavailableError, match="generation 1"):
            await log.execute(counting(stream, SHARDS))
    assert (await verified(path)).findings == []
    async with opened(path) as log:
        await close_generation(log, new_id)
    restored = await open_sqlite_generation(path, server_key_fingerprint=FINGERPRINT, restored=True)
    assert (restored.generation, restored.log_id != identity.log_id) == (identity.generation + 1, True)

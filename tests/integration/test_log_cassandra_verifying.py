"""A verification on Cassandra: it finds nothing beside running writers, names each damage where it is, and mends only what is derived."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from domain.envelope import sequence, split_sequence
from domain.errors import LogError
from domain.log.cassandra import CassandraLog, keeper
from domain.log.cassandra.generation import open_cassandra_generation
from domain.log.cassandra.packing import pack
from domain.log.cassandra.table import Place
from domain.log.cassandra.verifying import open_cassandra_verifier
from domain.log.codec import StoredEvent
from domain.log.findings import DERIVED, Kind, Report
from domain.log.generations import close_generation
from tests.contract.log_domain import Counted, counting, new_id, next_number, note, noting, slot_in, tally
from tests.log_cassandra_kit import FINGERPRINT, Keyspace, Store, keyspace, read_shard, until

SIZE = 64


@pytest.fixture(scope="module")
async def tables(cassandra_address: str) -> AsyncIterator[Keyspace]:
    async with keyspace(cassandra_address, segment_size=SIZE) as made:
        yield made


@pytest.fixture
async def own(tables: Keyspace) -> AsyncIterator[Store]:
    async with tables.store() as made:
        yield made


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watermarks that are raised at once."""
    monkeypatch.setattr(keeper, "STEP_SECONDS", 0.02)


async def verified(own: Store, *, repair: bool = False, shards: Sequence[int] | None = None) -> Report:
    report = Report()
    async with own.verifier() as verifier:
        await verifier.verify(report, shards, repair=repair)
    return report


async def indexed(log: CassandraLog) -> None:
    """Waits until the watermarks are at the heads."""

    async def done() -> bool:
        marks = [(await shard.progress.read(shard.place)).watermark for shard in log.shards]
        return marks == [split_sequence(await log.head(number))[1] for number in range(len(log.shards))]

    await until(done)


async def filled(own: Store) -> list[list[StoredEvent]]:
    """A log of 150 events in every shard, which nobody has open any more; its rows by shard."""
    log = await own.open()
    shards = log.identity.shards
    subjects = [new_id() for _ in range(shards)]
    for subject in subjects:
        await log.execute(noting(note(subject), shards, subject, "rain", new_subject=True))
    for number in range(shards):
        streams = [tally(new_id(slot_in(number, shards))) for _ in range(5)]
        await asyncio.gather(*(log.execute(counting(stream, shards, *range(10))) for stream in streams * 3))
    await indexed(log)
    rows = [await log.shards[n].table.after(Place(1, n), 0, 1_000) for n in range(shards)]
    await log.close()
    return rows


async def test_nothing_is_found_while_others_write(own: Store) -> None:
    logs = [await own.open() for _ in range(2)]
    shards = logs[0].identity.shards
    streams = [tally(new_id()) for _ in range(40)]
    over = asyncio.Event()

    async def write(log: CassandraLog) -> None:
        while not over.is_set():
            await asyncio.gather(*(log.execute(next_number(stream, shards)) for stream in streams))
            # All in one event loop: without a rest it would be the writers' alone.
            await asyncio.sleep(0.05)

    writing = [asyncio.create_task(write(log)) for log in logs]
    try:
        for _ in range(3):
            report = await verified(own)
            assert report.findings == []
    finally:
        over.set()
        await asyncio.gather(*writing)
    await indexed(logs[0])
    report = await verified(own)
    events = sum([len(await read_shard(logs[0], number)) for number in range(shards)])
    assert (report.findings, report.done["log"], report.done["index"]) == ([], events, events)
    one = await verified(own, shards=[3])
    assert (one.findings, one.done["log"]) == ([], len(await read_shard(logs[0], 3)))
    assert one.done["index"] == one.done["log"]


def put(row: StoredEvent, *, position: int | None = None) -> str:
    """Writes a row of the log past all rules."""
    at = row.position if position is None else position
    key = f"{row.generation}, {row.shard}, {(at - 1) // SIZE}, {at}"
    return (
        f"INSERT INTO {{0}}.event_log (generation, shard, segment, position, body) VALUES ({key}, 0x{pack(row).hex()})"
    )


def in_index(row: StoredEvent) -> str:
    key = f"'{row.stream}', {row.version}, {row.generation}, {row.position}"
    columns = "stream, version, generation, position, body"
    return f"INSERT INTO {{0}}.events_by_stream ({columns}) VALUES ({key}, 0x{pack(row).hex()})"


def out_of_index(row: StoredEvent) -> str:
    return (
        f"DELETE FROM {{0}}.events_by_stream WHERE stream = '{row.stream}' AND version = {row.version}"
        f" AND generation = {row.generation} AND position = {row.position}"
    )


def watermark(shard: int, value: int) -> str:
    # Conditional, as all that writes it is: a plain write may be older than the last of those.
    return f"UPDATE {{0}}.log_meta SET watermark = {value} WHERE name = 'shard-{shard}' AND generation = 1 IF watermark > 0"


replaced = msgspec.structs.replace


async def test_each_damage_to_the_log_is_named_and_none_is_mended(own: Store) -> None:
    rows = await filled(own)
    strange = replaced(rows[3][19], type="test.of_tomorrow")
    await own.tables.define(
        "DELETE FROM {0}.event_log WHERE generation = 1 AND shard = 0 AND segment = 0 AND position = 20",
        "UPDATE {0}.event_log SET head = 9999 WHERE generation = 1 AND shard = 1 AND segment = 1",
        "UPDATE {0}.event_log SET head_attempt = 'other' WHERE generation = 1 AND shard = 2 AND segment = 0",
        put(strange),
        put(rows[4][19], position=21),
        put(replaced(rows[5][19], recorded_at=1)),
        put(replaced(rows[6][29], version=77)),
        put(replaced(rows[7][-1], position=rows[7][-1].position + 1)),
        put(replaced(rows[7][-1], position=SIZE * 50 + 1)),
    )
    for repair in (False, True):
        before = await verified(own, repair=repair)
        found = {(each.kind, each.shard, each.position) for each in before.findings if each.kind not in DERIVED}
        assert found >= {
            (Kind.POSITION, 0, 21),
            (Kind.HEAD, 1, 2 * SIZE),
            (Kind.HEAD, 2, SIZE),
            (Kind.UNREADABLE, 3, 20),
            (Kind.UNREADABLE, 4, 21),
            (Kind.TIME, 5, 20),
            (Kind.HEAD, 7, rows[7][-1].position + 1),
            (Kind.PLACE, 7, None),
        }
    report = await verified(own)
    # With the index made equal to the log, the version that the log itself lacks shows.
    assert report.counts.keys() & DERIVED == set()
    assert {(each.stream, each.version) for each in report.findings if each.kind is Kind.VERSION} >= {
        (rows[6][29].stream, 77)
    }


async def test_each_damage_to_the_index_is_named_and_mended(own: Store) -> None:
    rows = await filled(own)
    plain = [row for row in rows[1] if row.subject is None and row.type == Counted.name]
    lost, differing, doubled = rows[0][19], plain[30], rows[2][-1]
    beyond = replaced(doubled, position=doubled.position + 500, version=doubled.version + 1)
    foreign = replaced(rows[3][4], stream=tally(new_id(slot_in(3, 8))), version=1)
    nowhere = replaced(rows[4][4], generation=9)
    await own.tables.define(
        out_of_index(lost),
        in_index(replaced(differing, subject="somebody", sealed=b"other")),
        in_index(beyond),
        in_index(foreign),
        in_index(nowhere),
        watermark(5, 100_000),
    )
    expected = {
        (Kind.INDEX_MISSING, lost.stream, lost.version, lost.position),
        (Kind.INDEX_DIFFERS, differing.stream, differing.version, differing.position),
        (Kind.INDEX_ORPHAN, beyond.stream, beyond.version, beyond.position),
        (Kind.INDEX_ORPHAN, foreign.stream, foreign.version, foreign.position),
        (Kind.INDEX_ORPHAN, nowhere.stream, nowhere.version, nowhere.position),
        (Kind.WATERMARK, None, None, 100_000),
    }
    unmended, mended = await verified(own), await verified(own, repair=True)
    for report in (unmended, mended):
        assert {(each.kind, each.stream, each.version, each.position) for each in report.findings} == expected
        assert report.counts.total() == len(expected)
    assert not unmended.repairs
    assert sum(mended.repairs.values()) == 1 + 1 + 3 + 1
    after = await verified(own)
    assert (after.findings, after.done["index"]) == ([], sum(len(shard) for shard in rows))
    # A process opens again, on states that are right.
    log = await own.open()
    assert (await log.load(lost.stream))[lost.version - 1].position == lost.position
    outcome = await log.execute(next_number(doubled.stream, 8))
    assert outcome.events[0].version == doubled.version + 1


async def test_another_server_key_or_master_key_is_a_finding(own: Store) -> None:
    await filled(own)
    verifier = await open_cassandra_verifier(
        own.tables.hosts, own.port, own.keyspace, master_key=bytes(32), server_key_fingerprint="another"
    )
    report = Report()
    await verifier.verify(report)
    await verifier.close()
    assert [finding.kind for finding in report.findings] == [Kind.IDENTITY] * 2


async def test_the_next_generation_begins_when_the_last_has_ended_and_is_indexed(
    own: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "STEP_SECONDS", 3_600)
    log = await own.open()
    shards = log.identity.shards
    stream = tally(new_id(slot_in(3, shards)))
    await log.execute(counting(stream, shards, *range(60)))
    await log.execute(counting(stream, shards, *range(60)))
    address = (own.tables.hosts, own.port, own.keyspace)
    with pytest.raises(LogError, match="log close"):
        await open_cassandra_generation(*address, server_key_fingerprint=FINGERPRINT)
    assert await close_generation(log, new_id) == shards
    await log.indexed()
    # What a dead process left behind, above the watermark: nobody would ever copy it in the next generation.
    rows = await log.shards[3].table.after(Place(1, 3), 0, 1_000)
    await log.close()
    await own.tables.define(*(out_of_index(row) for row in rows[5:30]))
    identity = await open_cassandra_generation(*address, server_key_fingerprint=FINGERPRINT)
    assert (identity.log_id, identity.generation) == (log.identity.log_id, log.identity.generation + 1)
    following = await own.open()
    assert await following.head(3) == sequence(1, rows[-1].position)
    [appended] = (await following.execute(next_number(stream, shards))).events
    assert (appended.version, appended.event) == (121, Counted(amount=121))
    await following.indexed()
    report = await verified(own)
    assert (report.findings, report.done["log"]) == ([], len(rows) + shards)
    assert await close_generation(following, new_id) == shards
    restored = await open_cassandra_generation(*address, server_key_fingerprint=FINGERPRINT, restored=True)
    assert (restored.generation, restored.log_id != identity.log_id) == (identity.generation + 1, True)
    assert (await own.open()).identity == restored

"""A log leaves whole and arrives whole, in either store, in whatever pieces it travels; what is damaged is refused."""

import io
import random
from pathlib import Path

import msgspec
import pytest

from api.transfer import exporting
from api.transfer.exporting import begun_in, export_log, truncate
from api.transfer.importing import import_log
from domain.envelope import sequence
from domain.errors import TransferError
from domain.ids import category_of, stream_shard
from domain.log import cloudevents
from domain.log.archive import Archive
from domain.log.cloudevents import TruncatedError
from domain.log.codec import StoredEvent
from domain.log.findings import Kind, Report
from domain.log.port import EventLog
from tests.contract.log_domain import Note, counting, new_id, note, tally
from tests.contract.log_kit import read_everything
from tests.log_cassandra_kit import FINGERPRINT
from tests.transfer_kit import (
    CLUSTER,
    PROOF,
    Home,
    NewHome,
    Told,
    events_in,
    exported,
    imported,
    tell,
)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "CHUNK_EVENTS", 40)
    monkeypatch.setattr(cloudevents, "MAX_CHUNK_EVENTS", 160)


async def told(home: Home) -> Told:
    """A home with a history in it, that nobody serves any more."""
    log = await home.log()
    found = await tell(log)
    await log.close()
    return found


async def rows_of(archive: Archive) -> list[StoredEvent]:
    found: list[StoredEvent] = []
    for shard in range(archive.identity.shards):
        after = 0
        while rows := await archive.rows(shard, after, 37):
            found += rows
            after = sequence(rows[-1].generation, rows[-1].position)
    return found


@pytest.mark.parametrize("shards", [8, 4])
@pytest.mark.parametrize(
    ("first", "second"), [("sqlite", "sqlite"), pytest.param("sqlite", "cassandra", marks=pytest.mark.cluster)]
)
async def test_a_log_that_goes_there_and_back_is_the_same(
    new_home: NewHome, first: str, second: str, shards: int
) -> None:
    here, there, back = await new_home(first), await new_home(second, shards), await new_home(first)
    history = await told(here)
    original = await exported(await here.archive())
    await imported(await there.archive(), original)
    again = await exported(await there.archive())
    await imported(await back.archive(), again)
    assert events_in(original) == events_in(again) == events_in(await exported(await back.archive()))
    logs = [await home.log() for home in (here, there, back)]
    seen = [await read_everything(log) for log in logs]
    assert await _states(logs[0], history, sealed=False) == await _states(logs[1], history, sealed=False)
    kept = ("event_id", "stream", "version", "metadata", "occurred_at", "recorded_at")
    by_id = [
        {one.event_id: [getattr(one, name) for name in kept] for one in events if category_of(one.stream) != "shard"}
        for events in seen
    ]
    assert by_id[0] == by_id[1] == by_id[2]


async def _states(log: EventLog, history: Told, *, sealed: bool) -> dict[str, object]:
    states = await log.states(history.streams)
    return {stream: state for stream, state in states.items() if sealed or not isinstance(state, Note)}


@pytest.mark.parametrize("adapter", ["sqlite", CLUSTER])
async def test_an_imported_log_goes_on_as_any_other(new_home: NewHome, adapter: str) -> None:
    here, there = await new_home("sqlite"), await new_home(adapter, 4)
    history = await told(here)
    await imported(await there.archive(), await exported(await here.archive()))
    log = await there.log()
    before = {stream: len(await log.load(stream)) for stream in history.streams}
    for stream in history.streams[:12]:
        outcome = await log.execute(counting(stream, 4, *range(20)))
        assert [event.version for event in outcome.events] == list(range(before[stream] + 1, before[stream] + 21))
    assert len(await read_everything(log)) >= sum(before.values()) + 240
    other = await there.log()
    assert await other.states(history.streams) == await log.states(history.streams)


@pytest.mark.parametrize("adapter", ["sqlite", CLUSTER])
async def test_commands_stay_whole_and_in_segments(new_home: NewHome, adapter: str) -> None:
    here, there = await new_home("sqlite"), await new_home(adapter, 4)
    await told(here)
    archive = await there.archive()
    await imported(archive, await exported(await here.archive()))
    report = Report()
    await (await there.verifier()).verify(report)
    assert [finding for finding in report.findings if finding.kind is not Kind.KEY] == []
    attempts: dict[object, set[str]] = {}
    segments: dict[str, set[int]] = {}
    for row in await rows_of(archive):
        attempts.setdefault(row.metadata, set()).add(row.attempt_id)
        segments.setdefault(row.attempt_id, set()).add((row.position - 1) // 64)
        assert stream_shard(row.stream, 4) == row.shard
    assert {len(own) for own in attempts.values()} == {len(own) for own in segments.values()} == {1}


@pytest.mark.parametrize("adapter", ["sqlite", CLUSTER])
async def test_an_import_goes_on_where_it_was_interrupted(new_home: NewHome, adapter: str) -> None:
    here, there = await new_home("sqlite"), await new_home(adapter, 4)
    await told(here)
    export = await exported(await here.archive())
    total = len(events_in(export))
    came = 0
    for share in (0.2, 0.5, 0.5, 0.8):
        # As where the process was killed: what was complete is in the log.
        archive = await there.archive()
        with pytest.raises(TruncatedError):
            await imported(archive, export[: int(len(export) * share)])
        held = [row for row in await rows_of(archive) if category_of(row.stream) != "shard"]
        assert came <= len(held) < total
        came = len(held)
        await archive.close()
    assert came > 0
    done = await imported(await there.archive(), export)
    assert (done.events, done.appended) == (total, total - came)
    assert (await imported(await there.archive(), export)).appended == 0
    assert events_in(await exported(await there.archive())) == events_in(export)


async def test_an_export_goes_on_where_it_was_interrupted(new_home: NewHome, tmp_path: Path) -> None:
    home = await new_home("sqlite")
    await told(home)
    archive = await home.archive()
    whole = await exported(archive)
    source = random.Random(7)
    path = tmp_path / "cut.ndjson"
    for size in [0, 50, *(source.randrange(len(whole)) for _ in range(25))]:
        path.write_bytes(whole[:size])
        begun = begun_in(path, FINGERPRINT, PROOF)
        assert (begun is None) == (size < len(whole.splitlines(keepends=True)[0]))
        if begun is not None:
            with truncate(path, begun.size) as file:
                await export_log(archive, file, begun, await archive.extent(), lambda _: None)
            assert path.read_bytes() == whole
    path.write_bytes(whole)
    with pytest.raises(TransferError, match="whole export"):
        begun_in(path, FINGERPRINT, PROOF)


async def test_what_came_meanwhile_is_in_an_export_that_goes_on(new_home: NewHome, tmp_path: Path) -> None:
    home, there = await new_home("sqlite"), await new_home("sqlite", 4)
    await told(home)
    path = tmp_path / "cut.ndjson"
    path.write_bytes((await exported(await home.archive()))[:60_000])
    log = await home.log()
    late = tally(new_id())
    await log.execute(counting(late, 8, 1, 2, 3))
    archive = await home.archive()
    begun = begun_in(path, FINGERPRINT, PROOF)
    assert begun is not None
    assert begun.events > 0
    with truncate(path, begun.size) as file:
        await export_log(archive, file, begun, await archive.extent(), lambda _: None)
    await imported(await there.archive(), path.read_bytes())
    assert len(await (await there.log()).load(late)) == 3
    assert sorted(events_in(path.read_bytes())) == sorted(events_in(await exported(archive)))


@pytest.mark.slow
async def test_nothing_of_a_chunk_that_was_tampered_with_comes_in(new_home: NewHome) -> None:
    here, there = await new_home("sqlite"), await new_home("sqlite", 4)
    await told(here)
    export = await exported(await here.archive())
    lines = export.splitlines(keepends=True)
    whole = [line for line in lines if b'"type":"tidings.export.' not in line]
    source = random.Random(11)
    furthest = 0
    for _ in range(40):
        at = source.randrange(len(export))
        changed = bytearray(export)
        changed[at] ^= 1 << source.randrange(8)
        with pytest.raises(TransferError):
            await imported(await there.archive(), bytes(changed))
        held = events_in(await exported(await there.archive()))
        assert held == whole[: len(held)]
        furthest = max(furthest, at)
        assert sum(map(len, held)) <= furthest
    second = next(at for at, line in enumerate(lines) if b"tidings.export.checkpoint" in line) + 1
    for moved in (
        [*lines[:5], *lines[6:]],
        [*lines[:4], lines[5], lines[4], *lines[6:]],
        [*lines[:6], *lines[5:]],
        [*lines[:second], lines[second - 1], *lines[second:]],
        [*lines, lines[5]],
        [lines[0], *lines[second:]],
    ):
        with pytest.raises(TransferError):
            await imported(await there.archive(), b"".join(moved))
    await imported(await there.archive(), export)


async def test_a_mark_cannot_be_made_without_the_server_key(new_home: NewHome) -> None:
    here, there = await new_home("sqlite"), await new_home("sqlite")
    await told(here)
    export = await exported(await here.archive())
    archive = await there.archive()
    with pytest.raises(TransferError, match="tampered"):
        await import_log(archive, io.BytesIO(export), b"another key", lambda _events, _size: None)
    with pytest.raises(TransferError, match="SERVER_KEY"):
        await imported(archive, export.replace(FINGERPRINT.encode(), b"another"))
    assert (await archive.extent()).rows == 0


@pytest.mark.parametrize("text", [b"", b"\n", b"{}\n", b"not json\n", b'{"type":"x"}\n'])
async def test_what_is_no_export_is_refused(new_home: NewHome, text: bytes) -> None:
    with pytest.raises(TransferError):
        await imported(await (await new_home("sqlite")).archive(), text)


@pytest.mark.parametrize("adapter", ["sqlite", CLUSTER])
async def test_an_import_goes_into_an_empty_log_alone(new_home: NewHome, adapter: str) -> None:
    here, there = await new_home("sqlite"), await new_home(adapter)
    await told(here)
    export = await exported(await here.archive())
    log = await there.log()
    await log.execute(counting(tally(new_id()), 8))
    await log.close()
    archive = await there.archive()
    with pytest.raises(TransferError, match="empty log"):
        await imported(archive, export)


async def test_what_was_appended_after_an_import_is_in_the_way_of_its_repeat(new_home: NewHome) -> None:
    here, there = await new_home("sqlite"), await new_home("sqlite")
    await told(here)
    export = await exported(await here.archive())
    await imported(await there.archive(), export)
    log = await there.log()
    await log.execute(counting(tally(new_id()), 8))
    with pytest.raises(TransferError, match="empty log"):
        await imported(await there.archive(), export)


async def test_an_event_of_tomorrow_is_refused_before_anything_of_its_chunk(new_home: NewHome) -> None:
    here, there = await new_home("sqlite"), await new_home("sqlite")
    await told(here)
    archive = await here.archive()
    rows = await rows_of(archive)
    tomorrow = msgspec.structs.replace(rows[0], type="test.of_tomorrow")
    line = cloudevents.line_of(tomorrow, cloudevents.source_of(FINGERPRINT))
    chain = cloudevents.Chain(PROOF)
    header = cloudevents.header_line("x", FINGERPRINT)
    chain.begin(header)
    chain.add(line)
    end = cloudevents.mark_line(chain, "x", FINGERPRINT, 1, {0: 1}, last=True)
    with pytest.raises(Exception, match="newer one"):
        await imported(await there.archive(), header + line + end)
    assert (await (await there.archive()).extent()).rows == 0


async def test_a_line_is_a_cloud_event(new_home: NewHome) -> None:
    home = await new_home("sqlite")
    history = await told(home)
    lines = [msgspec.json.decode(line) for line in (await exported(await home.archive())).splitlines()]
    for line in lines:
        assert line["specversion"] == "1.0"
        assert all(line[name] for name in ("id", "source", "type"))
        assert all(name.isalnum() and name == name.lower() for name in line)
    sealed = [line for line in lines if line.get("sealedfor") == history.living]
    assert {line["subject"] for line in sealed} == {note(history.living)}
    assert all(
        "private" not in line["data"] and line["dataschema"] == "urn:tidings:event:test.noted:v1" for line in sealed
    )
    assert [line["streamversion"] for line in sealed] == [1, 2]

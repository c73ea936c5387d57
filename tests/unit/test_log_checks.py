"""The checks of a verification: they find nothing in what appenders make, and name each kind of damage where it is."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec
import pytest

from domain.events import GenerationClosed, SegmentPadded
from domain.log.batching import Snapshot, Waiting, blank, decide_batch, log_stream, needed
from domain.log.checks import Above, ShardCheck, StreamCheck, Sums, bucket_of, unreadable
from domain.log.codec import StoredEvent
from domain.log.findings import KEPT, Finding, Kind, Report
from domain.log.generations import closing
from domain.log.port import Draft
from tests.contract.log_domain import Aggregates, Noted, NotePrivate, always, new_id, note, slot_in, tally
from tests.unit.test_batching import SHARD, SHARDS, at, command, counting

SIZE = 64
AGGREGATES = Aggregates()


def rows_of_a_shard(seed: int, batches: int = 30) -> list[StoredEvent]:
    """What an appender makes of commands of random sizes, in segments that they do not fill evenly, and the generation's end."""
    source = random.Random(seed)
    streams = [tally(new_id(slot_in(SHARD, SHARDS))) for _ in range(5)]
    states: dict[str, Snapshot] = {}
    rows: list[StoredEvent] = []
    for number in range(batches):
        queue = [counting(source.choice(streams), *range(source.randint(1, 40))) for _ in range(3)]
        if number == batches - 1:
            queue = [Waiting(closing(SHARD, 1, new_id()))]
        base = at(len(rows), segment_size=SIZE, recorded_at=rows[-1].recorded_at if rows else 0, now=1_000 + number)
        known = {stream: states.get(stream) or blank(AGGREGATES, stream) for stream in needed(base, queue)}
        batch = decide_batch(base, queue, known, AGGREGATES, attempt_id=new_id())
        states.update(batch.changed)
        rows += batch.rows
    return rows


def found_in(rows: Sequence[StoredEvent], head: int | None = None, *, closed: bool = True) -> list[Finding]:
    check = ShardCheck(1, SHARD, shards=SHARDS, segment_size=SIZE)
    found = [finding for row in rows for finding in check.feed(row)]
    return [*found, *check.end(rows[-1].position if head is None else head, closed=closed)]


def changed(rows: Sequence[StoredEvent], index: int, **fields: object) -> list[StoredEvent]:
    return [msgspec.structs.replace(row, **fields) if at == index else row for at, row in enumerate(rows)]


@pytest.mark.parametrize("seed", range(20))
def test_what_appenders_make_is_found_whole(seed: int) -> None:
    rows = rows_of_a_shard(seed)
    assert any(row.type == SegmentPadded.name for row in rows)
    assert rows[-1].type == GenerationClosed.name
    assert found_in(rows) == []


def padding(rows: Sequence[StoredEvent]) -> int:
    """The index of a padding row that ends a segment, and has one before it."""
    return next(
        index
        for index, row in enumerate(rows)
        if row.position % SIZE == 0 and rows[index - 1].type == row.type == SegmentPadded.name
    )


def counted(rows: Sequence[StoredEvent]) -> int:
    """The index of an event in the middle of a batch."""
    return next(
        index
        for index, row in enumerate(rows[10:], start=10)
        if row.attempt_id == rows[index - 1].attempt_id == rows[index + 1].attempt_id
        and SegmentPadded.name not in (row.type, rows[index + 1].type)
    )


Damage = Callable[[list[StoredEvent]], tuple[list[StoredEvent], int]]
"""Damaged rows, and the position at which that is to be found."""


def lost(rows: list[StoredEvent]) -> tuple[list[StoredEvent], int]:
    index = counted(rows)
    return [*rows[:index], *rows[index + 1 :]], rows[index + 1].position


def set_back(rows: list[StoredEvent]) -> tuple[list[StoredEvent], int]:
    index = counted(rows)
    return changed(rows, index, recorded_at=1), rows[index].position


def come_again(rows: list[StoredEvent]) -> tuple[list[StoredEvent], int]:
    index = next(i for i, row in enumerate(rows[1:-1], 1) if row.event_id.endswith("-0"))
    return changed(rows, index, attempt_id=rows[0].attempt_id, event_id=rows[0].event_id), rows[index].position


def misnumbered(rows: list[StoredEvent]) -> tuple[list[StoredEvent], int]:
    index = counted(rows)
    return changed(rows, index, event_id=f"{rows[index].attempt_id}-77"), rows[index].position


def nameless(rows: list[StoredEvent]) -> tuple[list[StoredEvent], int]:
    index = counted(rows)
    return changed(rows, index, attempt_id=""), rows[index].position


def padding_cut_short(rows: list[StoredEvent]) -> tuple[list[StoredEvent], int]:
    index = padding(rows)
    return changed(rows, index, type="test.counted", stream=rows[0].stream), rows[index].position


def padding_in_between(rows: list[StoredEvent]) -> tuple[list[StoredEvent], int]:
    index = counted(rows)
    return changed(rows, index, type=SegmentPadded.name, stream=log_stream(SHARD)), rows[index + 1].position


def padding_of_another(rows: list[StoredEvent]) -> tuple[list[StoredEvent], int]:
    index = padding(rows)
    return changed(rows, index, stream=rows[0].stream), rows[index].position


def after_the_end(rows: list[StoredEvent]) -> tuple[list[StoredEvent], int]:
    index = counted(rows)
    return changed(rows, index, type=GenerationClosed.name, stream=log_stream(SHARD)), rows[index + 1].position


def of_another_shard(rows: list[StoredEvent]) -> tuple[list[StoredEvent], int]:
    index = counted(rows)
    return changed(rows, index, stream=tally(new_id(slot_in(SHARD + 1, SHARDS)))), rows[index].position


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lost, Kind.POSITION),
        (set_back, Kind.TIME),
        (come_again, Kind.ATTEMPT),
        (misnumbered, Kind.ATTEMPT),
        (nameless, Kind.ATTEMPT),
        (padding_cut_short, Kind.PADDING),
        (padding_in_between, Kind.PADDING),
        (padding_of_another, Kind.PLACE),
        (after_the_end, Kind.CLOSED),
        (of_another_shard, Kind.PLACE),
    ],
)
def test_each_damage_is_found_where_it_is(damage: Damage, kind: Kind) -> None:
    rows, position = damage(rows_of_a_shard(1))
    found = found_in(rows)
    assert (kind, SHARD, position) in {(each.kind, each.shard, each.position) for each in found}


def test_rows_that_end_before_the_head_are_found() -> None:
    rows = rows_of_a_shard(1)
    [finding] = found_in(rows[:-1], len(rows), closed=False)
    assert (finding.kind, finding.expected) == (Kind.HEAD, f"rows up to the head {len(rows)}")
    [finding] = found_in(rows[:-1])
    assert (finding.kind, finding.position) == (Kind.CLOSED, len(rows) - 1)
    cut = rows[: padding(rows)]
    [finding] = found_in(cut, closed=False)
    assert (finding.kind, finding.position) == (Kind.PADDING, len(cut))


def versions(*fed: tuple[str, int, int], above: dict[str, tuple[int, StoredEvent]] | None = None) -> list[str]:
    """Of (stream, version, position) each."""
    check = StreamCheck(above)
    found = [finding for stream, version, at in fed for finding in check.feed(stream, version, 1, SHARD, at)]
    found += [*check.end(), *check.rest()]
    assert {finding.kind for finding in found} <= {Kind.VERSION}
    return [f"{finding.stream} {finding.version}: {finding.expected}" for finding in found]


def test_versions_are_dense_and_in_the_order_of_positions() -> None:
    assert versions(("a", 1, 1), ("a", 2, 9), ("b", 1, 5)) == []
    assert versions(("a", 2, 1), ("b", 1, 5)) == ["a 2: version 1"]
    assert versions(("a", 1, 1), ("a", 3, 9)) == ["a 3: version 2"]
    assert versions(("a", 1, 1), ("a", 1, 9)) == ["a 1: version 2"]
    assert versions(("a", 1, 9), ("a", 2, 1)) == ["a 2: a place after position 9 of generation 1"]


def test_versions_go_on_above_what_is_indexed() -> None:
    above = Above()
    template = rows_of_a_shard(1)[0]
    rows = [
        msgspec.structs.replace(template, stream=stream, version=version, position=100 + at)
        for at, (stream, version) in enumerate([("a", 3), ("b", 1), ("a", 4), ("c", 2), ("a", 6)])
    ]
    [gap] = [finding for row in rows for finding in above.feed(row)]
    assert (gap.stream, gap.version, gap.expected) == ("a", 6, "version 5")
    assert versions(("a", 1, 1), ("a", 2, 2), ("c", 1, 3), above=dict(above.first)) == []
    assert versions(("a", 1, 1), above=dict(above.first)) == ["a 3: version 2", "c 2: version 1"]


def test_sums_tell_sets_of_rows_apart_in_any_order() -> None:
    rows = [(f"tally-{number}", f"row {number}".encode()) for number in range(500)]
    one, other = Sums(), Sums()
    for stream, row in rows:
        one.add(stream, row)
    for stream, row in reversed(rows):
        other.add(stream, row)
    assert one.differing(other) == frozenset()
    other.add(*rows[7])
    assert one.differing(other) == {bucket_of("tally-7")}


def sealed_row(key: bytes) -> StoredEvent:
    stream = note(new_id(slot_in(SHARD, SHARDS)))
    waiting = command(always(Draft(stream, Noted(topic="weather", private=NotePrivate(text="rain")))), stream)
    waiting.execution = replace(waiting.execution, subject="somebody")
    waiting.key = key
    [row] = decide_batch(at(), [waiting], {stream: blank(AGGREGATES, stream)}, AGGREGATES, attempt_id=new_id()).rows
    return row


def test_what_cannot_be_read_is_found() -> None:
    key = bytes(range(32))
    row = sealed_row(key)
    keys = {"somebody": key}

    def kinds(keys: Mapping[str, bytes | None], **fields: object) -> list[Kind]:
        return [finding.kind for finding in unreadable([msgspec.structs.replace(row, **fields)], keys)]

    assert kinds(keys) == kinds({"somebody": None}) == []
    assert kinds({}) == kinds(keys, subject=None) == kinds(keys, sealed=None) == [Kind.KEY]
    assert kinds({"somebody": bytes(32)}) == [Kind.UNREADABLE]
    assert kinds(keys, type="test.of_tomorrow") == kinds(keys, schema_version=2) == [Kind.UNREADABLE]
    assert kinds(keys, payload=b"{") == kinds(keys, metadata=b"[]") == [Kind.UNREADABLE]


def test_findings_beyond_those_that_are_kept_are_counted() -> None:
    report = Report()
    report.add(Finding(kind=Kind.TIME, expected=str(number), found="") for number in range(KEPT + 5))
    assert (len(report.findings), report.counts[Kind.TIME], report.clean) == (KEPT, KEPT + 5, False)

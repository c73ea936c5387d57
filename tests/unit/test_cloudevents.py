"""CloudEvents: any row survives its line, byte for byte where it matters."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.envelope import Metadata
from domain.errors import TransferError
from domain.log.archive import Place, batches
from domain.log.batching import Base
from domain.log.cloudevents import line_of, microseconds, row_of, source_of, timestamp
from domain.log.codec import StoredEvent
from tests.golden.samples import FOLDER, stored_in

SOURCE = source_of("fingerprint of the key")
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NAME = st.from_regex(r"[a-z]{1,8}\.[a-z_]{1,12}", fullmatch=True)
MOMENT = st.integers(0, 250_000_000_000_000_000)


def parsed(line: bytes) -> StoredEvent:
    return row_of(msgspec.json.decode(line, type=dict[str, msgspec.Raw]))


def without_place(row: StoredEvent) -> StoredEvent:
    return msgspec.structs.replace(row, generation=0, shard=0, position=0, attempt_id="")


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.builds(
        StoredEvent,
        generation=st.integers(1, 9),
        shard=st.integers(0, 9),
        position=st.integers(1, 2**40),
        stream=TEXT,
        version=st.integers(1, 2**31 - 1),
        event_id=TEXT,
        type=NAME,
        schema_version=st.integers(1, 99),
        payload=st.dictionaries(TEXT, TEXT | st.integers() | st.none()).map(msgspec.json.encode),
        sealed=st.none(),
        subject=st.none(),
        metadata=st.builds(
            Metadata,
            command_id=TEXT,
            actor=st.none() | TEXT,
            causation_id=st.none() | TEXT,
            traceparent=st.none() | TEXT,
        ).map(msgspec.json.encode),
        occurred_at=MOMENT,
        recorded_at=MOMENT,
        attempt_id=TEXT,
    ),
    st.none() | st.binary(max_size=50),
    TEXT,
)
def test_any_row_survives_its_line(row: StoredEvent, sealed: bytes | None, subject: str) -> None:
    row = msgspec.structs.replace(row, sealed=sealed, subject=subject if sealed is not None else None)
    line = line_of(row, SOURCE)
    assert line.count(b"\n") == 1
    assert parsed(line) == without_place(row)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_event_ever_stored_survives_its_line(path: str) -> None:
    row = stored_in(FOLDER / path)
    again = parsed(line_of(row, SOURCE))
    assert again == without_place(row)


@settings(deadline=None)  # a busy machine is no failure
@given(MOMENT)
def test_times_are_exact(moment: int) -> None:
    assert microseconds(timestamp(moment)) == moment


def test_metadata_that_has_no_attribute_is_not_lost_unseen() -> None:
    row = stored_in(next(iter(FOLDER.glob("*.json"))))
    stranger = msgspec.structs.replace(row, metadata=b'{"command_id":"c","of_tomorrow":1}')
    with pytest.raises(TransferError, match="newer Tidings"):
        line_of(stranger, SOURCE)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.integers(1, 64), max_size=40), st.sampled_from([64, 100, 8192]), st.integers(0, 200))
def test_commands_stay_whole_in_batches_of_one_segment(sizes: list[int], segment: int, seen: int) -> None:
    template = without_place(stored_in(next(iter(FOLDER.glob("post.liked*")), next(iter(FOLDER.glob("*.json"))))))
    commands = [
        [msgspec.structs.replace(template, event_id=f"{n}-{i}", recorded_at=1_000 - n) for i in range(size)]
        for n, size in enumerate(sizes)
    ]
    base = Base(shard=3, shards=8, generation=2, segment_size=segment, seen=seen, recorded_at=5, now=0)
    made = list(batches(commands, Place(base, 7), bytes))
    rows = [row for batch in made for row in batch]
    assert [row.position for row in rows] == list(range(seen + 1, seen + 1 + len(rows)))
    assert [row.event_id for row in rows if row.type == template.type] == [
        one.event_id for own in commands for one in own
    ]
    padding = [row for row in rows if row.type != template.type]
    assert [row.version for row in padding] == list(range(8, 8 + len(padding)))
    times = [row.recorded_at for row in rows]
    assert times == sorted(times)
    home: dict[str, int] = {}
    for at, batch in enumerate(made):
        assert len({(row.position - 1) // segment for row in batch}) == 1
        assert len(batch) <= 128
        for row in batch:
            if row.type == template.type:
                assert home.setdefault(row.event_id.partition("-")[0], at) == at

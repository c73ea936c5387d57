"""Whatever was ever stored can be read today, as what it was."""

from pathlib import Path

import msgspec
import pytest

from domain.events import REGISTRY
from domain.log.codec import StoredEvent, decode, encode
from domain.log.sealing import unseal
from tests.golden import samples
from tests.golden.samples import FOLDER, KEY, SUBJECT, missing, stored_in, write_missing

FILES = sorted(FOLDER.glob("*.json"))
OF_TODAY = [path for path in FILES for row in [stored_in(path)] if (row.type, row.schema_version) in REGISTRY]


def opened(stored: StoredEvent) -> dict[str, object]:
    """The sealed part as it stands in the row, before any class reads it."""
    if stored.sealed is None:
        return {}
    place = {"event_id": stored.event_id, "stream": stored.stream, "type": stored.type}
    return msgspec.json.decode(unseal(KEY, stored.sealed, **place), type=dict[str, object])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_event_decodes_into_a_class_of_today(path: Path) -> None:
    stored = stored_in(path)
    assert path.name == f"{stored.type}.v{stored.schema_version}.json"
    today = max(version for name, version in REGISTRY if name == stored.type)
    recorded = decode(stored, {SUBJECT: KEY})
    assert type(recorded.event) is REGISTRY[stored.type, today]
    assert recorded.metadata.actor == SUBJECT
    assert (getattr(recorded.event, "private", None) is None) == (stored.sealed is None)
    assert getattr(decode(stored, {}).event, "private", None) is None


@pytest.mark.parametrize("path", OF_TODAY, ids=lambda path: path.stem)
def test_what_was_stored_in_todays_version_would_be_stored_so_again(path: Path) -> None:
    """Fields may be added, with defaults; a field that is renamed, dropped or changes its meaning needs a new schema version."""
    stored = stored_in(path)
    again = encode(decode(stored, {SUBJECT: KEY}), subject=SUBJECT, key=KEY)
    for before, after in (
        (msgspec.json.decode(stored.payload), msgspec.json.decode(again.payload)),
        (msgspec.json.decode(stored.metadata), msgspec.json.decode(again.metadata)),
        (opened(stored), opened(again)),
    ):
        assert {key: after.get(key) for key in before} == before


def test_every_registered_event_has_its_golden_file() -> None:
    assert missing() == [], "python -m tests.golden.samples writes them"


def test_golden_files_are_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "FOLDER", tmp_path)
    written = write_missing()
    assert {path.name for path in written} >= {path.name for path in OF_TODAY}
    written[0].write_text("the past")
    written[1].unlink()
    assert write_missing() == [written[1]]
    assert written[0].read_text() == "the past"

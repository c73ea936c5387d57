"""Subject keys: they travel in a file of their own and change their master key, and none is lost on the way or comes back."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from api.transfer import keys as keys_module
from api.transfer import rotation as rotation_module
from api.transfer.keys import export_keys, import_keys, stored_keys
from api.transfer.rotation import Rotation, rotate, summary
from domain.errors import LogError, Refusal, TransferError
from domain.log.archive import Archive, StoredKey
from domain.log.sealing import MasterKeys
from tests.contract.log_domain import Note, new_id, note, noting
from tests.transfer_kit import CLUSTER, MASTER, MASTER_KEY, NewHome, exported, imported, tell

SECRET = b"a passphrase"
NEW_KEY = os.urandom(32)
ROTATING = MasterKeys(NEW_KEY, [MASTER_KEY])
FORGOTTEN = Note(topic="weather", texts=(None, None, None))
KNOWN = Note(topic="weather", texts=("rain", "sun", None))


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "COST", 2)
    monkeypatch.setattr(keys_module, "_PAGE", 7)
    monkeypatch.setattr(rotation_module, "_PAGE", 7)


def unheard(_count: int) -> None:
    pass


async def export_to(archive: Archive, path: Path) -> int:
    return await export_keys(archive, MASTER, path, SECRET, unheard)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("sqlite", "sqlite"),
        pytest.param("sqlite", "cassandra", marks=pytest.mark.cluster),
        pytest.param("cassandra", "sqlite", marks=pytest.mark.cluster),
    ],
)
async def test_what_was_sealed_opens_where_its_key_went_and_what_was_forgotten_stays_so(
    new_home: NewHome, tmp_path: Path, source: str, target: str
) -> None:
    here, there = await new_home(source), await new_home(target, 4)
    log = await here.log()
    history = await tell(log)
    for _ in range(20):
        subject = new_id()
        await log.execute(noting(note(subject), 8, subject, "hail", new_subject=True))
    await log.close()
    path = tmp_path / "keys"
    assert await export_to(await here.archive(), path) == 22
    archive = await there.archive()
    other = MasterKeys(NEW_KEY)
    for _ in range(2):
        assert await import_keys(archive, other, path, SECRET, unheard) == 22
    await imported(archive, await exported(await here.archive()))
    arrived = await there.log(master_key=NEW_KEY)
    living, forgotten = note(history.living), note(history.forgotten)
    assert await arrived.states([living, forgotten]) == {living: KNOWN, forgotten: FORGOTTEN}
    with pytest.raises(Refusal):
        await arrived.execute(noting(forgotten, 4, history.forgotten, "sun", new_subject=True))
    await arrived.execute(noting(living, 4, history.living, "hail"))


async def test_without_its_keys_a_log_is_redacted_and_they_may_come_later(new_home: NewHome, tmp_path: Path) -> None:
    here, there = await new_home("sqlite"), await new_home("sqlite")
    log = await here.log()
    history = await tell(log)
    path = tmp_path / "keys"
    await export_to(await here.archive(), path)
    archive = await there.archive()
    await imported(archive, await exported(await here.archive()))
    stream = note(history.living)
    redacted = await there.log()
    assert (await redacted.states([stream]))[stream] == FORGOTTEN
    with pytest.raises(Refusal):
        await redacted.execute(noting(stream, 8, history.living, "sun"))
    await redacted.close()
    await import_keys(archive, MASTER, path, SECRET, unheard)
    assert (await (await there.log()).states([stream]))[stream] == KNOWN


async def test_a_key_that_was_destroyed_here_does_not_come_back_with_a_file(new_home: NewHome, tmp_path: Path) -> None:
    home = await new_home("sqlite")
    log = await home.log()
    history = await tell(log)
    path = tmp_path / "keys"
    archive = await home.archive()
    await export_to(archive, path)
    await log.destroy_key(history.living)
    await import_keys(archive, MASTER, path, SECRET, unheard)
    assert {key.subject: key.wrapped for page in [p async for p in stored_keys(archive)] for key in page} == {
        history.living: None,
        history.forgotten: None,
    }


async def test_a_file_of_keys_that_is_damaged_or_not_ours_changes_nothing(new_home: NewHome, tmp_path: Path) -> None:
    here, there = await new_home("sqlite"), await new_home("sqlite")
    log = await here.log()
    for _ in range(20):
        subject = new_id()
        await log.execute(noting(note(subject), 8, subject, "hail", new_subject=True))
    path = tmp_path / "keys"
    await export_to(await here.archive(), path)
    assert path.stat().st_mode & 0o777 == 0o600
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 4
    archive = await there.archive()
    damaged = [
        b"",
        b"{}\n",
        b"".join(lines[:-1]),
        whole[:-9],
        lines[0] + b"".join(reversed(lines[1:])),
        whole + lines[-1],
        *(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 61)),
    ]
    for text in damaged:
        path.write_bytes(text)
        with pytest.raises(TransferError):
            await import_keys(archive, MASTER, path, SECRET, unheard)
    path.write_bytes(whole)
    with pytest.raises(TransferError, match="another passphrase"):
        await import_keys(archive, MASTER, path, b"another", unheard)
    assert await archive.keys(None, 10) == []


# The master key


async def rotated(archive: Archive, master: MasterKeys = ROTATING, *, check: bool = False) -> Rotation:
    found = Rotation()
    await rotate(archive, master, unheard, found, check=check)
    return found


@pytest.mark.parametrize("adapter", ["sqlite", CLUSTER])
async def test_a_log_goes_on_under_its_new_master_key_alone(new_home: NewHome, adapter: str) -> None:
    home = await new_home(adapter)
    log = await home.log()
    history = await tell(log)
    subjects = [new_id() for _ in range(20)]
    for subject in subjects:
        await log.execute(noting(note(subject), 8, subject, "hail", new_subject=True))
    await log.close()
    # As in the middle of a rolling change: one process wraps under the old key still, both can open both.
    old = await home.log(master_key=MASTER_KEY, retired=[NEW_KEY])
    new = await home.log(master_key=NEW_KEY, retired=[MASTER_KEY])
    archive = await home.archive()
    before = await rotated(archive, check=True)
    assert (before.rewrapped, sum(before.left.values()), before.destroyed, before.done) == (0, 21, 1, False)
    found = await rotated(archive)
    assert (found.rewrapped, found.destroyed, found.done) == (21, 1, True)
    assert any("may be dropped" in line for line in summary(found))
    late = new_id()
    await old.execute(noting(note(late), 8, late, "snow", new_subject=True))
    assert (await new.states([note(late)]))[note(late)] == Note(topic="weather", texts=("snow",))
    # A repeat finds what was wrapped under the old key meanwhile.
    assert (await rotated(archive)).rewrapped == 1
    again = await rotated(archive)
    assert (again.rewrapped, again.current, again.done) == (0, 22, True)
    for handle in (old, new):
        await handle.close()
    alone = await home.log(master_key=NEW_KEY)
    streams = [note(subject) for subject in (history.living, late, *subjects)]
    assert all(None not in state.texts[:1] for state in _notes(await alone.states(streams)))
    assert (await alone.states([note(history.forgotten)]))[note(history.forgotten)] == FORGOTTEN
    with pytest.raises(LogError, match="MASTER_KEY"):
        await home.log(master_key=MASTER_KEY)


def _notes(states: Mapping[str, object]) -> list[Note]:
    return [state for state in states.values() if isinstance(state, Note)]


class Killed:
    """An archive whose process is killed after so many pages, or in which something happens between reading a page and writing it."""

    def __init__(self, archive: Archive, pages: int) -> None:
        self._archive = archive
        self._pages = pages

    def __getattr__(self, name: str) -> object:
        return getattr(self._archive, name)

    async def rewrap(self, changes: Sequence[tuple[StoredKey, bytes]]) -> int:
        if self._pages == 0:
            raise KeyboardInterrupt
        self._pages -= 1
        return await self._archive.rewrap(changes)


@pytest.mark.parametrize("adapter", ["sqlite", CLUSTER])
async def test_a_rotation_that_was_killed_is_finished_by_its_repeat(new_home: NewHome, adapter: str) -> None:
    home = await new_home(adapter)
    log = await home.log(master_key=NEW_KEY, retired=[MASTER_KEY])
    old = await home.log(master_key=MASTER_KEY, retired=[NEW_KEY])
    subjects = [new_id() for _ in range(30)]
    for subject in subjects:
        await old.execute(noting(note(subject), 8, subject, "hail", new_subject=True))
    archive = await home.archive()
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            await rotated(Killed(archive, 1))  # type: ignore[arg-type]
        assert _notes(
            await (await home.log(master_key=NEW_KEY, retired=[MASTER_KEY])).states([note(s) for s in subjects])
        )
    await log.destroy_key(subjects[0])
    found = await rotated(archive)
    assert found.done
    assert (found.rewrapped + found.current, found.destroyed) == (29, 1)
    assert not (await rotated(archive, MasterKeys(NEW_KEY), check=True)).foreign


@pytest.mark.parametrize("adapter", ["sqlite", CLUSTER])
async def test_a_key_that_is_destroyed_while_it_is_wrapped_stays_destroyed(new_home: NewHome, adapter: str) -> None:
    home = await new_home(adapter)
    log = await home.log()
    subject = new_id()
    await log.execute(noting(note(subject), 8, subject, "hail", new_subject=True))
    archive = await home.archive()
    [key] = await archive.keys(None, 10)
    await log.destroy_key(subject)
    assert key.wrapped is not None
    assert await archive.rewrap([(key, ROTATING.wrap(subject, MASTER.unwrap(subject, key.wrapped)))]) == 0
    assert await archive.keys(None, 10) == [StoredKey(subject, None)]
    assert await archive.keys(subject, 10) == []


async def test_keys_of_a_master_key_that_is_not_set_are_reported(new_home: NewHome) -> None:
    home = await new_home("sqlite")
    await tell(await home.log())
    found = await rotated(await home.archive(), MasterKeys(NEW_KEY))
    assert (sum(found.foreign.values()), found.rewrapped, found.done) == (1, 0, False)
    assert any("not set" in line for line in summary(found))

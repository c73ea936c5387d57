"""``tidings events`` and ``tidings secrets rotate-master`` as an operator types them, over a small world in files."""

import asyncio
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from api.cli.seed import DEMO_PASSWORD
from api.secrets import load_secrets, new_key
from api.settings import Settings, load_settings
from api.stores import StoreError, open_log
from api.transfer import keys as keys_module
from domain.commands import UnlikePost
from domain.context import Context
from domain.errors import LogError, Refusal
from domain.handlers import handle
from domain.ids import Namer, mint_id
from domain.log.sqlite import tables

PASSPHRASE = "a passphrase of some length"
CHEAP = {"PASSWORD_TIME_COST": "1", "PASSWORD_MEMORY_KIB": "8", "LOG_LEVEL": "error", "COLUMNS": "250", "TERM": "dumb"}
HANDLE = "ada"


@dataclass(frozen=True)
class Place:
    """A data directory and what runs in it."""

    folder: Path

    def run(self, *arguments: str, **variables: str) -> Result:
        return self.fed(b"", *arguments, **variables)

    def fed(self, input: bytes, *arguments: str, **variables: str) -> Result:
        runner = CliRunner(env={**CHEAP, "DATA_DIR": str(self.folder), "NO_COLOR": "1", **variables})
        return runner.invoke(app, list(arguments), input=input)

    def done(self, *arguments: str, **variables: str) -> str:
        """What a command said that must not fail."""
        result = self.run(*arguments, **variables)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    def json(self, *arguments: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.done(*arguments, "--json"))
        return found

    def lines(self, *arguments: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.done(*arguments, "--json").splitlines()]

    async def unlike(self, liked: object) -> None:
        assert isinstance(liked, dict)
        settings = load_settings(data_dir=self.folder)
        secrets = load_secrets(settings)
        log = await open_log(settings, secrets)
        context = Context(Namer(secrets.server_key), os.urandom, 1, "the command", actor=liked["actor"])
        await handle(log, UnlikePost(post=liked["post"]), context)
        await log.close()

    def forget(self, account: str) -> None:
        async def destroy() -> None:
            settings = load_settings(data_dir=self.folder)
            log = await open_log(settings, load_secrets(settings))
            await log.destroy_key(account)
            await log.close()

        asyncio.run(destroy())


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "COST", 2)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        for name in Settings.model_fields:
            patch.delenv(name.upper(), raising=False)
        place = Place(tmp_path_factory.mktemp("world"))
        place.done("seed", "--accounts", "5", "--posts", "8", "--likes", "12", "--reposts", "2")
        [liked, *_] = place.lines("events", "tail", "--no-follow", "--from", "start", "--type", "reaction.liked")
        asyncio.run(place.unlike(liked["data"]))
        yield place


@pytest.fixture
def place(seeded: Place, tmp_path: Path) -> Place:
    """A copy of it, to be changed."""
    shutil.copytree(seeded.folder, tmp_path / "copy")
    return Place(tmp_path / "copy")


def account_of(place: Place) -> str:
    state = place.json("events", "show", HANDLE)["state"]
    assert isinstance(state, dict)
    return str(state["id"])


def test_a_history_is_found_by_any_of_its_names(seeded: Place) -> None:
    account = account_of(seeded)
    expected = seeded.json("events", "show", f"account-{account}")
    for name in (HANDLE, f"@{HANDLE.upper()}", f"{HANDLE}@tidings.example", f"u_{account}", account):
        assert seeded.json("events", "show", name) == expected
    post = seeded.lines("events", "tail", "--no-follow", "--from", "start", "--type", "post.created")[0]["data"]
    assert isinstance(post, dict)
    for name in (post["post"], f"p_{post['post']}"):
        assert seeded.json("events", "show", name)["stream"] == f"post-{post['post']}"


NOBODY = mint_id(3, lambda n: bytes(range(n)))
"""An id that nothing has."""


@pytest.mark.parametrize("name", ["nobody", "post-", "unknown-stream", "u_x", "x@example.org", NOBODY])
def test_what_has_no_history_is_said_to_have_none(seeded: Place, name: str) -> None:
    result = seeded.run("events", "show", name)
    assert isinstance(result.exception, Refusal | SystemExit)
    assert result.exit_code == 1


def test_a_history_says_who_when_and_under_which_command(seeded: Place) -> None:
    shown = seeded.json("events", "show", HANDLE)["events"]
    assert isinstance(shown, list)
    [registered] = shown
    assert registered["type"] == "account.registered"
    assert registered["version"] == 1
    assert registered["commandId"]
    assert registered["recordedAt"].endswith("Z")
    said = seeded.done("events", "show", HANDLE, "--diff")
    for text in ("account.registered", registered["commandId"], registered["eventId"], "+ private.handle: ada"):
        assert text in said


def test_secrets_are_never_shown(seeded: Place) -> None:
    for arguments in (("show", HANDLE, "--diff"), ("tail", "--no-follow", "--from", "start")):
        for form in ((), ("--json",)):
            said = seeded.done("events", *arguments, *form)
            assert "argon2" not in said
            assert DEMO_PASSWORD not in said
    assert "<secret>" in seeded.done("events", "show", HANDLE)


def test_what_was_forgotten_is_redacted(place: Place) -> None:
    account = account_of(place)
    assert "Ada" in place.done("events", "show", HANDLE)
    place.forget(account)
    for form in ((), ("--json",), ("--diff",)):
        said = place.done("events", "show", HANDLE, *form)
        assert "<redacted>" in said
        assert "Ada" not in said


def test_a_state_of_the_past_is_shown_by_version_or_time(seeded: Place) -> None:
    [unliked] = seeded.lines("events", "tail", "--no-follow", "--from", "start", "--type", "reaction.unliked")
    stream = str(unliked["stream"])
    now = seeded.json("events", "show", stream, "--diff")
    assert isinstance(now["events"], list)
    liked, undone = now["events"]
    assert (liked["version"], undone["version"]) == (1, 2)
    assert undone["changes"]
    for then in ("1", liked["recordedAt"]):
        first = seeded.json("events", "show", stream, "--at", then)
        assert first["events"] == [liked | {"changes": None}]
        assert first["state"] != now["state"]
    assert seeded.run("events", "show", stream, "--at", "2001-01-01").exit_code == 1
    assert seeded.run("events", "show", stream, "--at", "yesterday").exit_code == 2


def test_the_tail_gives_what_is_asked_for(seeded: Place) -> None:
    everything = seeded.lines("events", "tail", "--no-follow", "--from", "start")
    assert len({one["eventId"] for one in everything}) == len(everything)
    posts = seeded.lines(
        "events", "tail", "--no-follow", "--from", "start", "--type", "post.*", "--type", "reaction.liked"
    )
    wanted = [one for one in everything if str(one["type"]).startswith("post.") or one["type"] == "reaction.liked"]
    assert {one["eventId"] for one in posts} == {one["eventId"] for one in wanted}
    by_shard = [seeded.lines("events", "tail", "--no-follow", "--from", "start", "--shard", str(n)) for n in range(8)]
    assert sum(map(len, by_shard)) == len(everything)
    for own in by_shard:
        positions = [int(str(one["position"]).rpartition("/")[2]) for one in own]
        assert positions == sorted(positions)
    account = account_of(seeded)
    concerning = seeded.lines("events", "tail", "--no-follow", "--from", "start", "--account", HANDLE)
    assert 0 < len(concerning) < len(everything)
    assert all(account in json.dumps(one) for one in concerning)
    times = sorted(str(one["recordedAt"]) for one in everything)
    middle = times[len(times) // 2]
    late = seeded.lines("events", "tail", "--no-follow", "--from", middle)
    assert sorted(str(one["recordedAt"]) for one in late) == [time for time in times if time >= middle]
    assert seeded.lines("events", "tail", "--no-follow") == []
    assert seeded.lines("events", "tail", "--no-follow", "--from", "2100-01-01") == []
    assert len(seeded.done("events", "tail", "--no-follow", "--from", "start").splitlines()) == len(everything)
    assert seeded.run("events", "tail", "--shard", "8").exit_code == 2
    assert seeded.run("events", "tail", "--from", "then").exit_code == 2


def lines_of(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if '"type":"tidings.export.' not in line]


def twin(place: Place, folder: Path, **variables: str) -> Place:
    """An empty place under the same SERVER_KEY."""
    (folder / "secrets").mkdir(parents=True, mode=0o700)
    shutil.copy(place.folder / "secrets" / "server_key", folder / "secrets" / "server_key")
    return Place(folder)


def test_an_export_arrives_with_its_keys(place: Place, tmp_path: Path) -> None:
    file, keys = tmp_path / "export.ndjson", tmp_path / "keys"
    registered = place.lines("events", "tail", "--no-follow", "--from", "start", "--type", "account.registered")
    gone = next(str(one["stream"]).removeprefix("account-") for one in registered if account_of(place) not in str(one))
    place.forget(gone)
    place.done("events", "export", str(file), "--keys", str(keys), KEYS_PASSPHRASE=PASSPHRASE)
    assert file.stat().st_mode & 0o077 == 0
    there = twin(place, tmp_path / "there")
    there.done("events", "import", str(file), "--keys", str(keys), KEYS_PASSPHRASE=PASSPHRASE, SHARDS="4")
    again = tmp_path / "again.ndjson"
    again.write_text(there.done("events", "export", "-", SHARDS="4"))
    assert lines_of(again) == lines_of(file)
    shown = there.done("events", "show", HANDLE, SHARDS="4")
    assert "Ada" in shown
    assert "<redacted>" in there.done("events", "show", f"u_{gone}", SHARDS="4")
    piped = twin(place, tmp_path / "piped").fed(file.read_bytes(), "events", "import", "-")
    assert piped.exit_code == 0, piped.output


def test_exports_and_imports_say_what_is_wrong(place: Place, tmp_path: Path) -> None:
    file, keys = tmp_path / "export.ndjson", tmp_path / "keys"
    key_file = tmp_path / "key"
    key_file.write_bytes(os.urandom(32))
    place.done("events", "export", str(file), "--keys", str(keys), "--key-file", str(key_file))
    whole = place.run("events", "export", str(file))
    assert isinstance(whole.exception, LogError)
    assert "name another file" in str(whole.exception)
    stranger = Place(tmp_path / "stranger").run("events", "import", str(file))
    assert "SERVER_KEY" in str(stranger.exception)
    there = twin(place, tmp_path / "there")
    wrong = there.run("events", "import", str(file), "--keys", str(keys), KEYS_PASSPHRASE=PASSPHRASE)
    assert "another passphrase" in str(wrong.exception)
    assert isinstance(there.run("events", "import", str(tmp_path / "absent")).exception, FileNotFoundError)
    assert there.done("events", "tail", "--no-follow", "--from", "start") == ""
    key_file.write_bytes(b"short")
    short = there.run("events", "import", str(file), "--keys", str(keys), "--key-file", str(key_file))
    assert "16 bytes" in str(short.exception)


def test_nothing_is_imported_into_a_file_that_another_process_has_open(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_BUSY_MILLISECONDS", 20)
    file, there = tmp_path / "export.ndjson", twin(place, tmp_path / "there")
    place.done("events", "export", str(file))
    there.done("migrate")
    with closing(sqlite3.connect(there.folder / "log.db")) as reader:
        assert reader.execute("SELECT COUNT(*) FROM event_log").fetchone() == (0,)
        refused = there.run("events", "import", str(file))
        assert isinstance(refused.exception, StoreError)
        assert "in use by another process" in str(refused.exception)
        assert reader.execute("SELECT COUNT(*) FROM event_log").fetchone() == (0,)
    there.done("events", "import", str(file))


def test_an_interrupted_export_goes_on(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "export.ndjson"
    place.done("events", "export", str(file))
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    place.done("events", "export", str(file))
    assert lines_of(file) == [line for line in whole.decode().splitlines() if '"type":"tidings.export.' not in line]


def test_the_master_key_changes(place: Place) -> None:
    old = (place.folder / "secrets" / "master_key").read_text().strip()
    new = new_key()
    both = f"{new},{old}"
    waiting = place.run("secrets", "rotate-master", "--check", "--json", MASTER_KEY=both)
    assert waiting.exit_code == 1
    assert list(json.loads(waiting.stdout)["left"].values()) == [5]
    assert "may be dropped" in place.done("secrets", "rotate-master", MASTER_KEY=both)
    found = json.loads(place.done("secrets", "rotate-master", "--json", MASTER_KEY=both))
    assert (found["rewrapped"], found["current"], found["done"]) == (0, 5, True)
    assert "Ada" in place.done("events", "show", HANDLE, MASTER_KEY=new)
    without = place.run("secrets", "rotate-master", MASTER_KEY=old)
    assert without.exit_code == 1
    assert "is not set" in without.stdout
    assert place.run("events", "show", HANDLE).exit_code == 1


def test_fresh_secrets_are_printed(seeded: Place) -> None:
    names = [line.partition("=")[0] for line in seeded.done("secrets").splitlines()]
    assert names == ["MASTER_KEY", "SERVER_KEY", "TOKEN_KEYS"]

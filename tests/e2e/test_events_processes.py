"""The log's commands as processes: followed live and ended by a signal, killed half-way and repeated."""

import asyncio
import json
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from api.demo.seeder import Seeder
from api.demo.world import build_world
from api.secrets import decode_key, load_secrets
from api.settings import load_settings
from api.stores import open_archive, open_log
from api.transfer.keys import stored_keys
from domain.context import Context
from domain.ids import Namer
from domain.log.cassandra import migrate_cassandra
from domain.log.cassandra.archive import open_cassandra_archive
from domain.log.port import EventLog
from tests.e2e.test_http_command_line import PROGRAM, environment, tidings
from tests.log_cassandra_kit import keyspace
from tests.transfer_kit import events_in

# Each starts processes, a second or more apiece.
pytestmark = pytest.mark.slow


async def opened(folder: Path) -> tuple[EventLog, Namer]:
    settings = load_settings(data_dir=folder / "data")
    secrets = load_secrets(settings)
    return await open_log(settings, secrets), Namer(secrets.server_key)


async def seed(folder: Path, *, accounts: int, posts: int) -> int:
    """Fills the log in ``folder``; the number of events is that of its rows."""
    log, namer = await opened(folder)
    world = build_world(accounts=accounts, posts=posts, likes=posts * 2, reposts=5, seed=1)
    context = Context(namer=namer, entropy=os.urandom, now=1_700_000_000_000_000, command_id="")
    await Seeder(log, context, world, seed=1, password_hash="", progress=lambda _phase, _done: None).run()
    rows = sum([(await log.head(shard)) & ((1 << 44) - 1) for shard in range(8)])
    await log.close()
    return rows


async def start(folder: Path, *arguments: str, **variables: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        env=environment(folder, **variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_tail_follows_the_log_until_it_is_told_to_stop(tmp_path: Path, number: int) -> None:
    await seed(tmp_path, accounts=2, posts=1)
    process = await start(tmp_path, "events", "tail", "--json", "--from", "start")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            before = json.loads(await process.stdout.readline())
            assert before["type"]
            await seed(tmp_path, accounts=6, posts=6)
            while json.loads(await process.stdout.readline())["type"] != "post.created":
                pass
            process.send_signal(number)
            rest = await process.stdout.read()
            assert await process.wait() == 0
        assert b"Traceback" not in rest
    finally:
        with suppress(ProcessLookupError):
            process.kill()


def twin(folder: Path, other: Path) -> Path:
    """An empty place under the same SERVER_KEY."""
    (other / "data" / "secrets").mkdir(parents=True)
    shutil.copy(folder / "data" / "secrets" / "server_key", other / "data" / "secrets" / "server_key")
    return other


async def killed_after(process: asyncio.subprocess.Process, seconds: float) -> None:
    await asyncio.sleep(seconds)
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def test_exports_and_imports_that_are_killed_are_finished_by_their_repeat(tmp_path: Path) -> None:
    rows = await seed(tmp_path, accounts=60, posts=2_000)
    whole, file = tmp_path / "whole.ndjson", tmp_path / "export.ndjson"
    assert (await tidings(tmp_path, "events", "export", str(whole)))[0] == 0
    for seconds in (0.5, 0.6, 0.7):
        await killed_after(await start(tmp_path, "events", "export", str(file)), seconds)
    code, said = await tidings(tmp_path, "events", "export", str(file))
    assert code == 0 or "whole export" in said, said
    assert events_in(file.read_bytes()) == events_in(whole.read_bytes())
    there = twin(tmp_path, tmp_path / "there")
    for seconds in (0.6, 0.8, 1.0):
        await killed_after(await start(there, "events", "import", str(file)), seconds)
    assert (await tidings(there, "events", "import", str(file)))[0] == 0
    again = tmp_path / "again.ndjson"
    assert (await tidings(there, "events", "export", str(again)))[0] == 0
    assert events_in(again.read_bytes()) == events_in(whole.read_bytes())
    assert len(events_in(whole.read_bytes())) == rows


async def test_a_rotation_that_is_killed_is_finished_by_its_repeat(tmp_path: Path) -> None:
    await seed(tmp_path, accounts=400, posts=1)
    old = (tmp_path / "data" / "secrets" / "master_key").read_text().strip()
    new = os.urandom(32).hex()
    for seconds in (0.5, 0.6, 0.7, 0.8):
        await killed_after(await start(tmp_path, "secrets", "rotate-master", MASTER_KEY=f"{new},{old}"), seconds)
        code, said = await tidings(tmp_path, "secrets", "rotate-master", "--check", "--json", MASTER_KEY=f"{new},{old}")
        counted = json.loads(said)
        assert counted["current"] + sum(counted["left"].values()) == 400
        assert code == (1 if counted["left"] else 0)
    assert (await tidings(tmp_path, "secrets", "rotate-master", MASTER_KEY=f"{new},{old}"))[0] == 0
    settings = load_settings(data_dir=tmp_path / "data", master_key=new)
    archive = await open_archive(settings, load_secrets(settings))
    assert sum([len(page) async for page in stored_keys(archive)]) == 400
    await archive.close()
    code, said = await tidings(tmp_path, "events", "show", "ada", MASTER_KEY=new)
    assert code == 0, said
    assert "<redacted>" not in said


async def test_an_import_into_a_cluster_that_is_killed_is_finished_by_its_repeat(
    tmp_path: Path, cassandra_address: str
) -> None:
    await seed(tmp_path, accounts=60, posts=1_500)
    file, again = tmp_path / "export.ndjson", tmp_path / "again.ndjson"
    assert (await tidings(tmp_path, "events", "export", str(file)))[0] == 0
    server_key = (tmp_path / "data" / "secrets" / "server_key").read_text().strip()
    fingerprint = Namer(decode_key("SERVER_KEY", server_key)).fingerprint()
    host, _, port = cassandra_address.partition(":")
    async with keyspace(cassandra_address) as tables:
        await migrate_cassandra([host], tables.name, port=int(port), server_key_fingerprint=fingerprint)
        there = {
            "LOG_URL": f"cassandra://{cassandra_address}/{tables.name}",
            "SERVER_KEY": server_key,
            "MASTER_KEY": os.urandom(32).hex(),
            "TOKEN_KEYS": os.urandom(32).hex(),
        }
        archive = await open_cassandra_archive([host], int(port), tables.name, server_key_fingerprint=fingerprint)
        for _ in range(2):
            before = (await archive.extent()).rows
            process = await start(tmp_path, "events", "import", str(file), **there)
            while (await archive.extent()).rows <= before and process.returncode is None:  # noqa: ASYNC110 -- in the store
                await asyncio.sleep(0.05)
            await killed_after(process, 0.2)
            assert (await archive.extent()).rows > before
        code, said = await tidings(tmp_path, "events", "import", str(file), **there)
        assert code == 0, said
        assert (await tidings(tmp_path, "events", "export", str(again), **there))[0] == 0
        assert events_in(again.read_bytes()) == events_in(file.read_bytes())
        await archive.close()

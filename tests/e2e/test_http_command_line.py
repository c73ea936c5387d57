"""The command line as a person or an orchestrator meets it: real processes, their exit codes and what they say."""

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from api.secrets import new_key
from api.settings import Settings
from tests.servers import free_port

# Each starts processes, a second or more apiece.
pytestmark = pytest.mark.slow

CHEAP = {"PASSWORD_TIME_COST": "1", "PASSWORD_MEMORY_KIB": "8", "LOG_LEVEL": "warning", "SHUTDOWN_TIMEOUT": "5"}
PROGRAM = [sys.executable, "-c", "from api.cli import main; main()"]


def environment(folder: Path, **variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return {**inherited, **CHEAP, "DATA_DIR": str(folder / "data"), "COLUMNS": "200", **variables}


async def tidings(folder: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    """(exit code, what it said) of a command that ends by itself."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        env=environment(folder, **variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode()


@asynccontextmanager
async def serving(
    folder: Path, *arguments: str, **variables: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str, list[str]]]:
    """A running `tidings serve` on a free port, its address and the lines it said; ended at the latest at the end."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        "serve",
        "--port",
        "0",
        *arguments,
        env=environment(folder, **variables),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(60):
            while not lines or "Ctrl-C" not in lines[-1]:
                line = (await process.stdout.readline()).decode()
                assert line, f"ended: {lines}"
                lines.append(line.rstrip())
        found = re.search(r"http://[\d.:]+", "".join(lines))
        assert found
        yield process, found[0], lines
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_serve_ends_what_it_does_and_then_itself(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        async with serving(tmp_path) as (process, url, lines):
            assert any("playground" in line for line in lines)
            async with httpx2.AsyncClient(base_url=url) as client:
                assert (await client.get("/readyz")).json()["status"] == "ready"
            async with connect(
                url.replace("http", "ws") + "/graphql", subprotocols=[Subprotocol("graphql-transport-ws")]
            ) as ws:
                await ws.send(json.dumps({"type": "connection_init"}))
                await ws.recv()
                process.send_signal(number)
                assert await asyncio.wait_for(process.wait(), 15) == 0
                await ws.wait_closed()
                assert ws.close_code == 1012


async def test_a_server_whose_greeting_nobody_reads_serves(tmp_path: Path) -> None:
    port = free_port()
    reader, writer = os.pipe()
    os.close(reader)
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "serve", "--port", str(port), env=environment(tmp_path), stdout=writer
    )
    os.close(writer)
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client, asyncio.timeout(60):
            while process.returncode is None:
                with suppress(httpx2.ConnectError):
                    assert (await client.get("/livez")).status_code == 200
                    break
                await asyncio.sleep(0.05)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 15) == 0
    finally:
        if process.returncode is None:
            process.kill()


async def test_what_was_accepted_is_there_after_a_restart(tmp_path: Path) -> None:
    register = """mutation { registerAccount(input: {handle: "grace", email: "grace@example.org", password: "correct horse"}) {
        account { handle } session { accessToken } userErrors { message } } }"""
    async with serving(tmp_path) as (process, url, _), httpx2.AsyncClient(base_url=url) as client:
        answer = (await client.post("/graphql", json={"query": register})).json()["data"]["registerAccount"]
        assert answer["userErrors"] == []
        process.terminate()
        assert await process.wait() == 0
    async with serving(tmp_path) as (_, url, _), httpx2.AsyncClient(base_url=url) as client:
        headers = {"authorization": f"Bearer {answer['session']['accessToken']}"}
        again = await client.post("/graphql", json={"query": "{ viewer { user { handle } } }"}, headers=headers)
        assert again.json()["data"]["viewer"]["user"]["handle"] == "grace"
    code, said = await tidings(tmp_path, "status")
    assert code == 0
    assert "accounts" in said


@pytest.mark.slow
async def test_demo_can_be_signed_in_to(tmp_path: Path) -> None:
    async with serving(tmp_path, "--demo") as (_, url, lines), httpx2.AsyncClient(base_url=url, timeout=30) as client:
        found = re.search(r"sign in as +(\S+) or .*password: (\S+)\)", "\n".join(lines))
        assert found
        sign_in = "mutation ($input: SignInInput!) { signIn(input: $input) { session { accessToken } userErrors { message } } }"
        variables = {"input": {"handleOrEmail": found[1], "password": found[2]}}
        answer = (await client.post("/graphql", json={"query": sign_in, "variables": variables})).json()
        assert answer["data"]["signIn"]["session"]


async def test_port_in_use_is_told_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said = await tidings(tmp_path, "serve", "--port", str(port))
    assert code == 4
    assert f"port {port} is in use" in said
    assert "Traceback" not in said
    assert not (tmp_path / "data").exists()


TAIL = ("events", "tail", "--no-follow", "--from", "start")


@pytest.mark.parametrize(
    ("command", "out", "code"),
    [
        pytest.param(TAIL, "| true", 0, id="a reader that goes"),
        pytest.param((*TAIL, "--json"), "| true", 0, id="a reader that goes, of JSON"),
        pytest.param(TAIL, ">&-", 0, id="closed"),
        pytest.param(("events", "export", "-"), ">&-", 0, id="closed, of bytes"),
        pytest.param(("events", "export", "-"), ">/dev/full", 1, id="full"),
        pytest.param(("status",), ">&- 2>&-", 0, id="all closed"),
    ],
)
async def test_where_output_goes_nowhere(tmp_path: Path, command: tuple[str, ...], out: str, code: int) -> None:
    assert (await tidings(tmp_path, "seed", "--accounts", "2", "--posts", "1", "--likes", "0", "--reposts", "0"))[
        0
    ] == 0
    line = f"set -o pipefail; {shlex.join([*PROGRAM, *command])} {out}"
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", line, env=environment(tmp_path), stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == code, said
    assert b"Traceback" not in said
    assert b"exception" not in said


async def test_bad_setting_is_told_by_its_name(tmp_path: Path) -> None:
    code, said = await tidings(tmp_path, "serve", PORT="eighty", MAX_DEPTH="0")
    assert code == 2
    assert "PORT: " in said
    assert "MAX_DEPTH: " in said
    assert "Traceback" not in said


async def test_cluster_without_secrets_does_not_start(tmp_path: Path) -> None:
    code, said = await tidings(tmp_path, "serve", "--port", "0", LOG_URL="cassandra://127.0.0.1:1/tidings")
    assert code == 2
    assert "MASTER_KEY: must be set" in said


async def test_store_that_is_not_there_is_told_by_its_address_and_variable(tmp_path: Path) -> None:
    keys = {name: new_key() for name in ("MASTER_KEY", "SERVER_KEY", "TOKEN_KEYS")}
    for command, variable, address, shown in (
        (["serve", "--port", "0"], "LOG_URL", "cassandra://127.0.0.1:1/tidings", "cassandra://127.0.0.1:1/tidings"),
        (["work"], "DOCUMENTS_URL", "mongodb://me:hidden@127.0.0.1:1/tidings", "mongodb://127.0.0.1:1/tidings"),
        (["status"], "LOG_URL", "sqlite:////proc/nothing/log.db", "sqlite:////proc/nothing/log.db"),
        (["serve", "--port", "0"], "DATA_DIR", "/proc/nothing", "/proc/nothing"),
    ):
        code, said = await tidings(tmp_path, *command, **{variable: address}, **keys)
        assert code == 3, said
        assert shown in said
        assert variable in said
        assert "hidden" not in said
        assert "Traceback" not in said


async def test_log_of_another_key_is_refused(tmp_path: Path) -> None:
    assert (await tidings(tmp_path, "migrate"))[0] == 0
    assert (await tidings(tmp_path, "status"))[0] == 0
    code, said = await tidings(tmp_path, "status", SERVER_KEY=new_key())
    assert code == 3
    assert "SERVER_KEY" in said


@pytest.mark.parametrize("workers", ["true", "false"])
async def test_documents_of_another_log_are_not_served(tmp_path: Path, workers: str) -> None:
    for folder in ("one", "other"):
        sizes = ("--accounts", "2", "--posts", "1", "--likes", "0", "--reposts", "0")
        assert (await tidings(tmp_path / folder, "seed", *sizes))[0] == 0
    async with serving(tmp_path / "one") as (_, url, _), httpx2.AsyncClient(base_url=url) as client:
        assert (await client.get("/readyz")).status_code == 200
    documents = f"sqlite:///{tmp_path / 'one' / 'data' / 'documents.db'}"
    variables = {"DOCUMENTS_URL": documents, "WORKERS_IN_PROCESS": workers}
    code, said = await tidings(tmp_path / "other", "serve", "--port", "0", **variables)
    assert code == 3
    assert "Name the right pair of stores" in said


async def test_work_stops_when_it_is_told_to(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "work", env=environment(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert b"Working" in await asyncio.wait_for(process.stdout.readline(), 30)
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 15) == 0


async def test_doctor_examines_and_lists(tmp_path: Path) -> None:
    code, said = await tidings(tmp_path, "doctor")
    assert code == 0
    assert "embedded" in said
    code, said = await tidings(tmp_path, "doctor", LOG_URL="cassandra://127.0.0.1:1/tidings")
    assert code == 1
    assert "MASTER_KEY" in said
    code, said = await tidings(tmp_path, "doctor", "--settings", MASTER_KEY="s3cret" * 10)
    assert code == 0
    assert "s3cret" not in said
    for name in Settings.model_fields:
        assert name.upper() in said


async def test_secrets_of_the_command_line_are_good_ones(tmp_path: Path) -> None:
    code, said = await tidings(tmp_path, "secrets")
    assert code == 0
    variables = dict(line.split("=", 1) for line in said.split())
    assert (await tidings(tmp_path, "doctor", **variables))[0] == 0


TRACED = {
    "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
    "tracestate": "forged=state=forged," * 40,
    "baggage": "forged!," * 100,
}
"""Of a client that would write into the log: the tracing library complains of each part and quotes it."""


async def test_log_lines_for_machines_are_json_and_hold_the_request(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        "serve",
        "--port",
        "0",
        env=environment(tmp_path, LOG_LEVEL="debug"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    url = re.search(rb"http://[\d.:]+", await asyncio.wait_for(process.stdout.readline(), 30))
    assert url
    async with httpx2.AsyncClient(base_url=url[0].decode()) as client:
        async with asyncio.timeout(30):
            while True:
                try:
                    await client.get("/livez", headers={"x-request-id": "mine", **TRACED})
                    break
                except httpx2.ConnectError:
                    await asyncio.sleep(0.05)
        process.terminate()
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert b"forged" not in err
    lines = [json.loads(line) for line in err.decode().splitlines()]
    asked = [line for line in lines if line["event"] == "request" and line["path"] == "/livez"]
    assert asked
    assert {line["request_id"] for line in asked} == {"mine"}
    assert {line["status"] for line in asked} == {200}
    assert all({"level", "logger", "timestamp"} <= line.keys() for line in lines)

"""A Tidings server on the real stores, started as an operator would start it, and a client that costs next to nothing."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
from cassandra.cluster import Cluster
from motor.motor_asyncio import AsyncIOMotorClient

from tests.servers import Addresses, free_port

TIDINGS = str(Path(sys.executable).parent / "tidings")
START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Running:
    """A server's port and process, and the database of its documents."""

    port: int
    pid: int
    documents_url: str
    environment: Mapping[str, str]


def tidings(environment: Mapping[str, str], *arguments: str) -> None:
    """Runs a command of the CLI to its end."""
    subprocess.run([TIDINGS, *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own


@asynccontextmanager
async def server(addresses: Addresses) -> AsyncIterator[Running]:
    """Migrated and serving, folds in the process, without the limits that would stop a benchmark; everything dropped at the end."""
    name = f"bench_{secrets.token_hex(4)}"
    base, _, query = addresses.mongodb.partition("?")
    documents_url = f"{base.rstrip('/')}/{name}?{query}"
    port = free_port()
    environment = {
        **os.environ,
        "PORT": str(port),
        "LOG_URL": f"cassandra://{addresses.cassandra}/{name}",
        "DOCUMENTS_URL": documents_url,
        **{key: secrets.token_hex(32) for key in ("MASTER_KEY", "SERVER_KEY", "TOKEN_KEYS")},
        "WORKERS_IN_PROCESS": "true",
        "COST_PER_HOUR": "0",
        "SIGN_INS_PER_5_MINUTES": "0",
        "LOG_LEVEL": "error",
    }
    process = None
    try:
        await asyncio.to_thread(tidings, environment, "migrate")
        process = await asyncio.create_subprocess_exec(
            TIDINGS, "serve", env=environment, stdout=asyncio.subprocess.DEVNULL
        )
        await _answers(port, process)
        yield Running(port, process.pid, documents_url, environment)
    finally:
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()
        await _drop(addresses, name)


async def _answers(port: int, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(START_SECONDS):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            writer.close()
            return
    raise RuntimeError("the server ended before it answered")


async def _drop(addresses: Addresses, name: str) -> None:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(addresses.mongodb)
    await client.drop_database(name)
    client.close()
    host, _, port = addresses.cassandra.partition(":")
    with Cluster([host], port=int(port)) as cluster:
        session = cluster.connect()
        for keyspace in (name, f"{name}_keys"):
            session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}", timeout=60)


class Client:
    """One keep-alive connection that posts GraphQL operations: no more of HTTP than that needs, so that the server is what is measured."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        self._reader = reader
        self._writer = writer
        self.token = token

    @classmethod
    async def connect(cls, port: int, token: str = "") -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port), token)

    async def send(self, query: str, variables: Mapping[str, object] | None = None) -> dict[str, Any]:
        """The response's ``data``. RuntimeError where there are errors."""
        body = msgspec.json.encode({"query": query, "variables": variables or {}})
        authorization = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        head = (
            f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{authorization}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        answer = msgspec.json.decode(await self._body(), type=dict[str, Any])
        if answer.get("errors"):
            raise RuntimeError(str(answer["errors"]))
        data: dict[str, Any] = answer["data"]
        return data

    async def _body(self) -> bytes:
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        return await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


REGISTER = """mutation ($input: RegisterAccountInput!) {
  registerAccount(input: $input) { account { id handle } session { accessToken } userErrors { code message } }
}"""


async def register(port: int, handle: str) -> tuple[Client, str]:
    """A new account's own connection, and its id."""
    client = await Client.connect(port)
    wanted = {"handle": handle, "email": f"{handle}@example.org", "password": "correct horse", "displayName": handle}
    answer = (await client.send(REGISTER, {"input": wanted}))["registerAccount"]
    if answer["userErrors"]:
        raise RuntimeError(str(answer["userErrors"]))
    client.token = answer["session"]["accessToken"]
    return client, answer["account"]["id"]

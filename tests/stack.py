"""A whole Tidings as an operator runs it: the command line on stores of its own, embedded or on the real servers, and its processes to kill."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cassandra.cluster import Cluster
from motor.motor_asyncio import AsyncIOMotorClient

from api.settings import Settings, load_settings
from tests.servers import Addresses, free_port

TIDINGS = str(Path(sys.executable).parent / "tidings")
START_SECONDS = 60.0

KEYS = {key: secrets.token_hex(32) for key in ("MASTER_KEY", "SERVER_KEY", "TOKEN_KEYS")}
"""One set for all stacks of a run: ids that are named by SERVER_KEY are then the same in all of them."""


@dataclass
class Stack:
    """``environment`` is what its processes run in; ``port`` where its server answers."""

    environment: Mapping[str, str]
    port: int
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """The same settings for this process."""
        names = ("data_dir", "log_url", "documents_url", *(key.lower() for key in KEYS))
        return load_settings(**{name: self.environment.get(name.upper()) for name in names})

    async def run(self, *arguments: str) -> None:
        """A command to its end; RuntimeError with what it said where it fails."""
        process = await self.start(*arguments, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"tidings {' '.join(arguments)} ended with {process.returncode}: {out.decode()}")

    async def start(self, *arguments: str, stdout: int = asyncio.subprocess.DEVNULL) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            TIDINGS,
            *arguments,
            env=self.environment,
            stdout=stdout,
            stderr=asyncio.subprocess.STDOUT if stdout > 0 else None,
        )
        self.processes.append(process)
        return process

    async def serve(self, *arguments: str) -> asyncio.subprocess.Process:
        """A server that answers."""
        process = await self.start("serve", *arguments)
        async with asyncio.timeout(START_SECONDS):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                return process
        raise RuntimeError(f"the server ended with {process.returncode} before it answered")

    async def stop(self) -> None:
        """Ends what still runs, as an operator would."""
        for process in self.processes:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        await asyncio.gather(*(process.wait() for process in self.processes))


@asynccontextmanager
async def embedded_stack(directory: Path, **extra: str) -> AsyncIterator[Stack]:
    """Both stores are files in ``directory``. ``extra`` are further variables."""
    port = free_port()
    stack = Stack(
        {**os.environ, "DATA_DIR": str(directory), "PORT": str(port), "LOG_LEVEL": "error", **KEYS, **extra}, port
    )
    try:
        yield stack
    finally:
        await stack.stop()


@asynccontextmanager
async def cluster_stack(addresses: Addresses, **extra: str) -> AsyncIterator[Stack]:
    """A keyspace and a database of their own, migrated, and dropped at the end; folds and reactors run inside the server."""
    name = f"tidings_{secrets.token_hex(4)}"
    base, _, query = addresses.mongodb.partition("?")
    port = free_port()
    environment = {
        **os.environ,
        "PORT": str(port),
        "LOG_LEVEL": "error",
        "LOG_URL": f"cassandra://{addresses.cassandra}/{name}",
        "DOCUMENTS_URL": f"{base.rstrip('/')}/{name}?{query}",
        "WORKERS_IN_PROCESS": "true",
        **KEYS,
        **extra,
    }
    stack = Stack(environment, port)
    try:
        await stack.run("migrate")
        yield stack
    finally:
        await stack.stop()
        await asyncio.to_thread(_drop_keyspaces, addresses.cassandra, name)
        client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(addresses.mongodb)
        await client.drop_database(name)
        client.close()


def _drop_keyspaces(address: str, name: str) -> None:
    host, _, port = address.partition(":")
    with Cluster([host], port=int(port)) as cluster:
        session = cluster.connect()
        for keyspace in (name, f"{name}_keys"):
            session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}", timeout=60)

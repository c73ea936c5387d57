"""Connections that only read, each in a thread of its own: many reads at a time, none of them a long transaction."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from domain.errors import UnavailableError
from domain.log.sqlite.tables import connect, translated

T = TypeVar("T")


class Readers:
    """At most ``threads`` reads at a time; the others wait their turn."""

    def __init__(self, path: Path, threads: int) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="log-reader")
        self._own = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._closed = False

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """``function`` on a reader's connection. Raises UnavailableError once closed."""
        if self._closed:
            raise UnavailableError("the log is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, function)

    def _run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        with translated(self._path):
            connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
            if connection is None:
                connection = self._own.connection = connect(self._path, writer=False)
                self._connections.append(connection)
            return function(connection)

    async def close(self) -> None:
        """Waits for the reads under way."""
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown)
        for connection in self._connections:
            connection.close()

"""The file and the threads that use it: one that writes, a few that read, each with a connection of its own."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from domain.errors import UnavailableError

R = TypeVar("R")

READERS: Final = 4
BUSY_SECONDS: Final = 5.0
"""How long a transaction waits for another process's."""

# A commit is not synced to disk (synchronous=NORMAL): a power cut may lose the newest transactions. It loses them from the end, for they are read
# back from the WAL in order up to the first damaged frame, and the WAL is synced before any of its pages enters the database. A checkpoint is
# committed to this same file after the data that it covers, so it never survives them; the lost end is folded again from the log.
_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA cache_size = -16384",
    # Rows arrive all over their indexes: the longer the WAL, the more often a page in it is overwritten before it is copied (a fifth faster).
    "PRAGMA wal_autocheckpoint = 8192",
    "PRAGMA journal_size_limit = 67108864",
)

# The file is locked, full, gone or unreadable; anything else is a mistake in a statement.
_OUT_OF_REACH: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CORRUPT,
    }
)
_PRIMARY_CODE: Final = 0xFF


class Store:
    """Runs functions on connections. After ``close`` every call raises UnavailableError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="documents-writer")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="documents-reader")
        self._own = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._closed = False

    async def write(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """``work`` in a transaction: all of it or nothing. It runs to its end also when the caller is cancelled meanwhile."""
        return await self._run(self._writer, self._transact, work)

    async def read(self, work: Callable[[sqlite3.Connection], R]) -> R:
        return await self._run(self._readers, self._look, work)

    async def close(self) -> None:
        """Waits for what is under way."""
        self._closed = True
        for pool in (self._writer, self._readers):
            await asyncio.to_thread(pool.shutdown)
        while self._connections:
            self._connections.pop().close()

    async def _run(
        self,
        pool: ThreadPoolExecutor,
        run: Callable[[Callable[[sqlite3.Connection], R]], R],
        work: Callable[[sqlite3.Connection], R],
    ) -> R:
        if self._closed:
            raise UnavailableError(f"the documents in {self._path} are closed")
        return await asyncio.get_running_loop().run_in_executor(pool, run, work)

    def _transact(self, work: Callable[[sqlite3.Connection], R]) -> R:
        with self._translated():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

    def _look(self, work: Callable[[sqlite3.Connection], R]) -> R:
        with self._translated():
            return work(self._connection())

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            # Used by this thread alone, but closed by another.
            connection = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            self._connections.append(connection)
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            self._own.connection = connection
        return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE in _OUT_OF_REACH:
                raise UnavailableError(f"the documents in {self._path} cannot be used: {error}") from error
            raise

"""The log's file as a whole (domain.log.archive), over a connection of its own; whoever else has the file open follows as it follows any process."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from domain.envelope import sequence, split_sequence
from domain.errors import LogError
from domain.ids import Entropy
from domain.log.archive import Command, Extent, Place, StoredKey, batches
from domain.log.batching import FIRST_GENERATION, Base, log_stream
from domain.log.codec import StoredEvent
from domain.log.port import LogIdentity
from domain.log.sqlite import queries
from domain.log.sqlite.tables import claim, connect, patient, prepare, translated

T = TypeVar("T")

_LOCK_SECONDS: Final = 10.0


async def open_sqlite_archive(
    path: str | os.PathLike[str],
    *,
    server_key_fingerprint: str,
    shards: int = 8,
    segment_size: int = 8192,
    entropy: Entropy = os.urandom,
    alone: bool = False,
) -> "SqliteArchive":
    """The log in the file ``path``, which is made if it is not there. Errors as of ``open_sqlite_log``.

    ``alone``: LogError where another process has the file open, and none can open it until this is closed.
    """
    file = Path(path)

    def begin() -> tuple[sqlite3.Connection, LogIdentity]:
        with translated(file):
            connection = connect(file, writer=True)
            try:
                if alone:
                    claim(connection, file)
                return connection, prepare(
                    connection,
                    file,
                    server_key=server_key_fingerprint,
                    shards=shards,
                    segment_size=segment_size,
                    entropy=entropy,
                )
            except BaseException:
                connection.close()
                raise

    connection, identity = await asyncio.to_thread(begin)
    return SqliteArchive(file, connection, identity, server_key_fingerprint, entropy)


class SqliteArchive:
    """An ``Archive``; made by :func:`open_sqlite_archive`."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, identity: LogIdentity, fingerprint: str, entropy: Entropy
    ) -> None:
        self._path = path
        self._connection = connection
        self._identity = identity
        self._fingerprint = fingerprint
        self._entropy = entropy
        # One connection, one thread at a time.
        self._turn = threading.Lock()
        self._closed = False

    @property
    def identity(self) -> LogIdentity:
        return self._identity

    @property
    def server_key_fingerprint(self) -> str:
        return self._fingerprint

    async def _run(self, function: Callable[[], T]) -> T:
        def work() -> T:
            with self._turn, translated(self._path):
                return function()

        return await asyncio.to_thread(work)

    async def extent(self) -> Extent:
        return await self._run(self._extent)

    def _extent(self) -> Extent:
        newest = self._connection.execute(
            "SELECT generation, shard, MAX(position) FROM event_log GROUP BY generation, shard ORDER BY generation"
        ).fetchall()
        return Extent(
            {shard: sequence(generation, position) for generation, shard, position in newest},
            sum(position for _, _, position in newest),
        )

    async def rows(self, shard: int, after: int, limit: int) -> Sequence[StoredEvent]:
        return await self._run(lambda: self._rows(shard, after, limit))

    def _rows(self, shard: int, after: int, limit: int) -> Sequence[StoredEvent]:
        begun, position = split_sequence(after)
        for generation in range(max(begun, FIRST_GENERATION), self._identity.generation + 1):
            seen = position if generation == begun else 0
            rows = queries.rows_after(self._connection, generation, shard, seen, limit)
            for expected, row in enumerate(rows, start=seen + 1):
                if row.position != expected:
                    raise LogError(f"shard {shard} has position {row.position} where {expected} must follow")
            if rows:
                return rows
        return ()

    async def restore(self, commands: Mapping[int, Sequence[Command]]) -> None:
        """All of it in one transaction."""
        await self._run(lambda: self._transact(lambda: self._restore(commands)))

    def _restore(self, commands: Mapping[int, Sequence[Command]]) -> None:
        tips = queries.tips(self._connection, self._identity).shards
        for shard, tip in enumerate(tips):
            base = Base(
                shard=shard,
                shards=self._identity.shards,
                generation=self._identity.generation,
                segment_size=self._identity.segment_size,
                seen=tip.position,
                recorded_at=tip.recorded_at,
                now=0,
            )
            place = Place(base, queries.newest_version(self._connection, log_stream(shard)))
            for batch in batches(commands.get(shard, ()), place, self._entropy):
                queries.insert(self._connection, batch)

    def _transact(self, change: Callable[[], T]) -> T:
        patient(_LOCK_SECONDS)(self._connection.execute, "BEGIN IMMEDIATE")
        try:
            changed = change()
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return changed

    async def finish(self) -> None:
        """Nothing is derived from the rows of a file but what SQLite keeps up itself."""

    async def keys(self, after: str | None, limit: int) -> Sequence[StoredKey]:
        return await self._run(
            lambda: [
                StoredKey(subject, wrapped)
                for subject, wrapped in self._connection.execute(
                    "SELECT subject, wrapped FROM subject_keys WHERE subject > ? ORDER BY subject LIMIT ?",
                    (after or "", limit),
                )
            ]
        )

    async def restore_keys(self, keys: Sequence[StoredKey]) -> None:
        await self._run(lambda: self._transact(lambda: self._restore_keys(keys)))

    def _restore_keys(self, keys: Sequence[StoredKey]) -> None:
        for key in keys:
            self._restore_key(key)

    def _restore_key(self, key: StoredKey) -> None:
        if key.wrapped is None:
            self._connection.execute(
                "INSERT INTO subject_keys (subject, destroyed) VALUES (?, 1) "
                "ON CONFLICT (subject) DO UPDATE SET wrapped = NULL, destroyed = 1",
                (key.subject,),
            )
            self._connection.execute("UPDATE log_meta SET forgotten = forgotten + 1")
        else:
            self._connection.execute(
                "INSERT OR IGNORE INTO subject_keys (subject, wrapped) VALUES (?, ?)", (key.subject, key.wrapped)
            )

    async def rewrap(self, changes: Sequence[tuple[StoredKey, bytes]]) -> int:
        return await self._run(lambda: self._transact(lambda: self._rewrap(changes)))

    def _rewrap(self, changes: Sequence[tuple[StoredKey, bytes]]) -> int:
        return self._connection.executemany(
            "UPDATE subject_keys SET wrapped = ? WHERE subject = ? AND wrapped = ?",
            [(wrapped, key.subject, key.wrapped) for key, wrapped in changes],
        ).rowcount

    async def close(self) -> None:
        await self._run(self._close)

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # Or what was replaced would stand in the write-ahead log until that is overwritten; a reader in the way only delays it.
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

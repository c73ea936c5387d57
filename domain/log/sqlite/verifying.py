"""Verifies a log in an SQLite file: the file, its tables and their one index, every shard in order, and every stream in order.

Nothing is derived here but the index by stream, which SQLite itself compares with its table. Each page is a short read of its own, so writers may go on.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

from domain.errors import LogError, UnavailableError
from domain.log.batching import FIRST_GENERATION
from domain.log.checks import ShardCheck, StreamCheck, unreadable
from domain.log.codec import COLUMNS, StoredEvent
from domain.log.findings import Finding, Kind, Report
from domain.log.port import LogIdentity
from domain.log.sealing import KeyCache, MasterKeys
from domain.log.sqlite.keys import Keys
from domain.log.sqlite.tables import connect, objects, stored_identity, translated

T = TypeVar("T")

PAGE: Final = 1_000
_INDEX: Final = "events_by_stream"

_HEAD: Final = "SELECT MAX(position) FROM event_log WHERE generation = ? AND shard = ?"
_ROWS: Final = (
    f"SELECT {', '.join(COLUMNS)} FROM event_log WHERE generation = ? AND shard = ? AND position > ? AND position <= ? "
    f"ORDER BY position LIMIT {PAGE}"
)
_STREAMS: Final = (
    f"SELECT stream, version, generation, shard, position FROM event_log INDEXED BY {_INDEX} "
    f"WHERE (stream, version) > (?, ?) ORDER BY stream, version LIMIT {PAGE}"
)
_STRAYS: Final = (
    "SELECT generation, shard, COUNT(*) FROM event_log "
    "WHERE generation NOT BETWEEN ? AND ? OR shard NOT BETWEEN 0 AND ? GROUP BY generation, shard"
)


async def open_sqlite_verifier(
    path: str | os.PathLike[str],
    *,
    master_key: bytes,
    server_key_fingerprint: str,
    retired_master_keys: Sequence[bytes] = (),
) -> "SqliteVerifier":
    """Raises UnavailableError where there is no such file, LogError where it holds no log."""
    file = Path(path)

    def begin() -> tuple[sqlite3.Connection, LogIdentity, str]:
        if not file.is_file():
            raise UnavailableError(f"there is no log in {file}")
        with translated(file):
            connection = connect(file, writer=False)
            try:
                return connection, *stored_identity(connection)
            except BaseException:
                connection.close()
                raise

    connection, identity, fingerprint = await asyncio.to_thread(begin)
    keys = Keys(MasterKeys(master_key, retired_master_keys), KeyCache(time.monotonic))
    return SqliteVerifier(file, connection, identity, keys, (server_key_fingerprint, fingerprint))


class SqliteVerifier:
    """See domain.log.verifying.Verifier."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        identity: LogIdentity,
        keys: Keys,
        fingerprints: tuple[str, str],
    ) -> None:
        self._path = path
        self._connection = connection
        self._identity = identity
        self._keys = keys
        self._fingerprints = fingerprints

    @property
    def identity(self) -> LogIdentity:
        return self._identity

    async def verify(self, report: Report, shards: Collection[int] | None = None, *, repair: bool = False) -> None:
        chosen = [shard for shard in range(self._identity.shards) if shards is None or shard in shards]
        opens = await self._run(self._wrong_identity, report)
        heads = await self._run(self._heads, chosen)
        total = sum(heads.values())
        for (generation, shard), head in heads.items():
            await self._shard(report, generation, shard, head, total, opens=opens)
        if await self._file(report, repair=repair):
            await self._streams(report, chosen, total)

    async def _run(self, function: Callable[..., T], *arguments: object) -> T:
        def run() -> T:
            with translated(self._path):
                return function(*arguments)

        return await asyncio.to_thread(run)

    def _wrong_identity(self, report: Report) -> bool:
        expected, found = self._fingerprints
        if expected != found:
            wanted = f"a log of this SERVER_KEY (fingerprint {expected})"
            report.add([Finding(kind=Kind.IDENTITY, expected=wanted, found=f"fingerprint {found}")])
        try:
            self._keys.check(self._connection)
        except LogError as error:
            report.add([Finding(kind=Kind.IDENTITY, expected="subject keys of this MASTER_KEY", found=str(error))])
            return False
        return True

    def _heads(self, shards: Sequence[int]) -> dict[tuple[int, int], int]:
        generations = range(FIRST_GENERATION, self._identity.generation + 1)
        places = [(generation, shard) for generation in generations for shard in shards]
        return {place: self._connection.execute(_HEAD, place).fetchone()[0] or 0 for place in places}

    async def _shard(self, report: Report, generation: int, shard: int, head: int, total: int, *, opens: bool) -> None:
        identity = self._identity
        check = ShardCheck(generation, shard, shards=identity.shards, segment_size=identity.segment_size)
        position = 0
        while position < head:
            rows, findings = await self._run(self._page, generation, shard, position, head, opens)
            report.add(findings)
            for row in rows:
                report.add(check.feed(row))
            position = rows[-1].position
            report.advance("log", len(rows), total)
        report.add(check.end(head, closed=generation != identity.generation))

    def _page(
        self, generation: int, shard: int, position: int, head: int, opens: object
    ) -> tuple[list[StoredEvent], list[Finding]]:
        found = self._connection.execute(_ROWS, (generation, shard, position, head)).fetchall()
        rows = [StoredEvent(*row) for row in found]
        subjects = {row.subject for row in rows if row.subject is not None}
        findings: list[Finding] = []
        keys: dict[str, bytes | None] = dict.fromkeys(subjects)
        if opens:
            keys = {}
            for subject in sorted(subjects):
                try:
                    keys.update(self._keys.read(self._connection, [subject]))
                except LogError as error:
                    keys[subject] = None
                    expected = f"a key of {subject} that unwraps"
                    findings.append(Finding(kind=Kind.KEY, expected=expected, found=str(error)))
        return rows, [*findings, *unreadable(rows, keys)]

    async def _file(self, report: Report, *, repair: bool) -> bool:
        """Whether the streams can be walked by the index; with ``repair`` the index and the triggers are made anew where they are wrong."""
        wrong = list(await self._run(self._wrong_file))
        report.add(wrong)
        report.advance("file", 1, 1)
        derived = [finding for finding in wrong if finding.kind is Kind.INDEX_DIFFERS]
        if derived and repair:
            await self._run(self._mend)
            report.repairs["indexes and triggers made anew"] += 1
            return True
        return not any(finding.found == f"no {_INDEX}" for finding in derived)

    def _wrong_file(self) -> Sequence[Finding]:
        identity = self._identity
        there = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master")}
        missing = [
            Finding(kind=Kind.INDEX_DIFFERS, expected=name, found=f"no {name}")
            for name in objects()
            if name not in there
        ]
        bounds = (FIRST_GENERATION, identity.generation, identity.shards - 1)
        strays = [
            Finding(kind=Kind.PLACE, expected="no events there", found=f"{count}", generation=generation, shard=shard)
            for generation, shard, count in self._connection.execute(_STRAYS, bounds)
        ]
        return [*missing, *strays, *self._integrity()]

    def _integrity(self) -> Iterator[Finding]:
        """What SQLite finds in its own file, which costs a read of all of it."""
        try:
            told = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check")]
        except sqlite3.DatabaseError as error:
            told = [str(error)]
        for line in told:
            if line != "ok":
                kind = Kind.INDEX_DIFFERS if _INDEX in line else Kind.STORE
                yield Finding(kind=kind, expected="a file that SQLite finds whole", found=line)

    def _mend(self) -> None:
        """In one transaction; an event that stands twice under one version makes it fail, and nothing is changed."""
        with closing(connect(self._path, writer=True)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
                for name, statement in objects().items():
                    if name not in there:
                        connection.execute(statement)
                connection.execute(f"REINDEX {_INDEX}")

    async def _streams(self, report: Report, shards: Collection[int], total: int) -> None:
        check = StreamCheck()
        stream, version = "", 0
        while rows := await self._run(self._following, stream, version):
            mine = [row for row in rows if row[3] in shards]
            for row in mine:
                report.add(check.feed(*row))
            stream, version = rows[-1][:2]
            report.advance("index", len(mine), total)

    def _following(self, stream: str, version: int) -> list[tuple[str, int, int, int, int]]:
        return self._connection.execute(_STREAMS, (stream, version)).fetchall()

    async def close(self) -> None:
        await asyncio.to_thread(self._connection.close)

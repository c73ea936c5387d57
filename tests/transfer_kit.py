"""What the tests of exports, imports and keys share: logs of both adapters, opened as a whole and as processes open them, and a history to move."""

import io
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

from api.transfer.exporting import export_log, fresh
from api.transfer.importing import Imported, import_log
from domain.log.archive import Archive
from domain.log.batching import Aggregates as Folding
from domain.log.cassandra import open_cassandra_log
from domain.log.cassandra.archive import open_cassandra_archive
from domain.log.cassandra.verifying import open_cassandra_verifier
from domain.log.port import EventLog
from domain.log.sealing import MasterKeys
from domain.log.sqlite import open_sqlite_log
from domain.log.sqlite.archive import open_sqlite_archive
from domain.log.sqlite.verifying import open_sqlite_verifier
from domain.log.verifying import Verifier
from tests.contract.log_domain import Aggregates, counting, new_id, note, noting, seat, taking, tally
from tests.log_cassandra_kit import FINGERPRINT, Store

PROOF = b"the key that proves exports"
MASTER_KEY = bytes(range(32))
MASTER = MasterKeys(MASTER_KEY)
CLUSTER = pytest.param("cassandra", marks=pytest.mark.cluster)


TESTS: Folding = Aggregates()


class Home(Protocol):
    """A place for one log."""

    async def log(
        self, *, master_key: bytes = MASTER_KEY, retired: Sequence[bytes] = (), aggregates: Folding = TESTS
    ) -> EventLog: ...

    async def archive(self) -> Archive: ...

    async def verifier(self) -> Verifier: ...


NewHome = Callable[..., Coroutine[Any, Any, Home]]
"""Makes a home of an adapter ("sqlite", "cassandra"), a number of shards and a size of segments."""


@dataclass
class SqliteHome:
    path: Path
    shards: int = 8
    segment_size: int = 64
    opened: list[EventLog | Archive | Verifier] = field(default_factory=list)

    async def log(
        self, *, master_key: bytes = MASTER_KEY, retired: Sequence[bytes] = (), aggregates: Folding = TESTS
    ) -> EventLog:
        log = await open_sqlite_log(
            self.path,
            master_key=master_key,
            retired_master_keys=retired,
            server_key_fingerprint=FINGERPRINT,
            aggregates=aggregates,
            shards=self.shards,
            segment_size=self.segment_size,
        )
        self.opened.append(log)
        return log

    async def verifier(self) -> Verifier:
        verifier = await open_sqlite_verifier(self.path, master_key=MASTER_KEY, server_key_fingerprint=FINGERPRINT)
        self.opened.append(verifier)
        return verifier

    async def archive(self) -> Archive:
        archive = await open_sqlite_archive(
            self.path, server_key_fingerprint=FINGERPRINT, shards=self.shards, segment_size=self.segment_size
        )
        self.opened.append(archive)
        return archive


@dataclass
class CassandraHome:
    store: Store
    opened: list[EventLog | Archive | Verifier] = field(default_factory=list)

    async def log(
        self, *, master_key: bytes = MASTER_KEY, retired: Sequence[bytes] = (), aggregates: Folding = TESTS
    ) -> EventLog:
        log = await open_cassandra_log(
            [self.store.host],
            self.store.port,
            self.store.keyspace,
            master_key=master_key,
            retired_master_keys=retired,
            server_key_fingerprint=FINGERPRINT,
            aggregates=aggregates,
        )
        self.opened.append(log)
        return log

    async def verifier(self) -> Verifier:
        verifier = await open_cassandra_verifier(
            [self.store.host],
            self.store.port,
            self.store.keyspace,
            master_key=MASTER_KEY,
            server_key_fingerprint=FINGERPRINT,
        )
        self.opened.append(verifier)
        return verifier

    async def archive(self) -> Archive:
        archive = await open_cassandra_archive(
            [self.store.host], self.store.port, self.store.keyspace, server_key_fingerprint=FINGERPRINT
        )
        self.opened.append(archive)
        return archive


@asynccontextmanager
async def closing(home: SqliteHome | CassandraHome) -> AsyncIterator[Home]:
    try:
        yield home
    finally:
        for one in home.opened:
            await one.close()


@dataclass(frozen=True)
class Told:
    """A history: what was written, and whose key was destroyed."""

    streams: Sequence[str]
    living: str
    forgotten: str


async def tell(log: EventLog) -> Told:
    """Some of everything: long streams, many events in one command, refused commands, sealed parts and a key that was destroyed."""
    shards = log.identity.shards
    living, forgotten = new_id(), new_id()
    tallies = [tally(new_id()) for _ in range(12)]
    for turn in range(6):
        for stream in tallies:
            await log.execute(counting(stream, shards, *range(1 + turn * 5)))
    seats = [seat(new_id()) for _ in range(4)]
    for stream in seats:
        await log.execute(taking(stream, shards, "ada"))
    for subject in (living, forgotten):
        for text in ("rain", "sun", None):
            await log.execute(noting(note(subject), shards, subject, text, new_subject=text == "rain"))
    await log.destroy_key(forgotten)
    return Told([*tallies, *seats, note(living), note(forgotten)], living, forgotten)


async def exported(archive: Archive) -> bytes:
    """The whole export."""
    file = io.BytesIO()
    entropy = iter(range(1 << 30))
    begun = fresh(file, archive.server_key_fingerprint, PROOF, lambda n: next(entropy).to_bytes(n, "big"))
    await export_log(archive, file, begun, await archive.extent(), lambda _: None)
    return file.getvalue()


def events_in(export: bytes) -> list[bytes]:
    """The lines of events, without the marks between them."""
    return [line for line in export.splitlines(keepends=True) if b'"type":"tidings.export.' not in line]


async def imported(archive: Archive, export: bytes) -> Imported:
    return await import_log(archive, io.BytesIO(export), PROOF, lambda _events, _size: None)

"""The floors of log.*: the driver as it is, with callbacks and no event loop; and the event that both sides write."""

import itertools
import os
import socket
import threading
import time
from collections.abc import Sequence
from enum import Enum

import msgspec
from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import FallthroughRetryPolicy
from cassandra.query import UNSET_VALUE, tuple_factory

from domain.envelope import Metadata, Recorded
from domain.events import Event, event
from domain.ids import mint_id
from domain.log.cassandra.packing import pack
from domain.log.codec import COLUMNS, encode
from tests.servers import Addresses

IN_FLIGHT = 256
PAGE = 1_000
TEXT = "x" * 280
"""Makes the payload 300 bytes."""


@event("bench.said")
class Said(Event, frozen=True, kw_only=True):
    """An event of 300 bytes."""

    text: str


def metadata() -> Metadata:
    command = mint_id(0, os.urandom)
    return Metadata(command_id=command, actor=command, correlation_id=command)


class Kind(Enum):
    """What a floor inserts: a row; a row IF NOT EXISTS; the same with its parts in columns."""

    PLAIN = "plain"
    LWT = "lwt"
    COLUMNS = "columns"


_COLUMNS = (
    "generation int, shard int, position bigint, stream text, version int, event_id text, type text, schema_version int,"
    " payload blob, sealed blob, subject text, metadata blob, occurred_at bigint, recorded_at bigint, attempt_id text"
)


class Floor:
    """The driver as it is, on tables whose rows are the log's; and on one with a column for each part of an event, as most event stores have it."""

    def __init__(self, addresses: Addresses, keyspace: str) -> None:
        host, _, port = addresses.cassandra.partition(":")
        profile = ExecutionProfile(
            retry_policy=FallthroughRetryPolicy(),
            consistency_level=ConsistencyLevel.LOCAL_QUORUM,
            serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
            row_factory=tuple_factory,
            request_timeout=60,
        )
        self._cluster = Cluster(
            [host],
            port=int(port),
            protocol_version=4,
            sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        )
        self._session = self._cluster.connect(keyspace)
        self._session.default_fetch_size = None
        for name, columns, key in (
            ("plain", "generation int, shard int, position bigint, body blob", "(generation, shard), position"),
            ("conditional", "stream text, version int, body blob", "(stream), version"),
            ("columns", _COLUMNS, "(stream), version"),
        ):
            self._session.execute(f"CREATE TABLE {name} ({columns}, PRIMARY KEY ({key}))", timeout=60)
        marks = ", ".join("?" for _ in COLUMNS)
        self._inserts = {
            kind: self._session.prepare(cql)
            for kind, cql in (
                (Kind.PLAIN, "INSERT INTO plain (generation, shard, position, body) VALUES (?, ?, ?, ?)"),
                (Kind.LWT, "INSERT INTO conditional (stream, version, body) VALUES (?, ?, ?) IF NOT EXISTS"),
                (Kind.COLUMNS, f"INSERT INTO columns ({', '.join(COLUMNS)}) VALUES ({marks}) IF NOT EXISTS"),
            )
        }
        self._rows = self._session.prepare(
            f"SELECT body FROM {keyspace}.event_log"
            " WHERE generation = ? AND shard = ? AND segment = ? AND position > ? LIMIT ?"
        )
        self._positions = itertools.count(1)

    def insert(self, count: int, kind: Kind, in_flight: int = IN_FLIGHT) -> list[float]:
        """Latencies; conditional inserts go to a partition each."""
        statement = self._inserts[kind]
        slots, latencies = threading.Semaphore(in_flight), []
        for _ in range(count):
            slots.acquire()
            bound, began = statement.bind(self._row(kind)), time.perf_counter()

            def done(_rows: object, began: float = began) -> None:
                latencies.append(time.perf_counter() - began)
                slots.release()

            # A time-out of a node that stalled counts as done: the round has paid for it.
            self._session.execute_async(bound).add_callbacks(done, done)
        for _ in range(in_flight):
            slots.acquire()
        return latencies

    def _row(self, kind: Kind) -> Sequence[object]:
        position = next(self._positions)
        recorded = Recorded(
            event_id=f"{_ATTEMPT}-{position}",
            stream=f"said-{mint_id(position % 1024, os.urandom)}",
            version=1,
            event=Said(text=TEXT),
            metadata=metadata(),
            occurred_at=time.time_ns() // 1000,
            recorded_at=time.time_ns() // 1000,
            attempt_id=_ATTEMPT,
            generation=1,
            shard=position % 8,
            position=position,
        )
        row = encode(recorded, subject=None, key=None)
        if kind is Kind.COLUMNS:
            return [UNSET_VALUE if value is None else value for value in msgspec.structs.astuple(row)]
        key = (row.stream, row.version) if kind is Kind.LWT else (row.generation, row.shard, row.position)
        return [*key, pack(row)]

    def read(self, shard: int, segment_size: int) -> int:
        """Reads a shard's raw rows, page after page; how many there are."""
        position = 0
        while True:
            limit = min(PAGE, segment_size - position % segment_size)
            rows = list(self._session.execute(self._rows, (1, shard, position // segment_size, position, limit)))
            position += len(rows)
            if len(rows) < limit:
                return position

    def close(self, keyspace: str) -> None:
        _drop(self._session, keyspace)
        self._cluster.shutdown()


def dropped(addresses: Addresses, keyspace: str) -> None:
    """Drops a log's keyspaces."""
    host, _, port = addresses.cassandra.partition(":")
    with Cluster([host], port=int(port)) as cluster:
        _drop(cluster.connect(), keyspace)


def _drop(session: Session, keyspace: str) -> None:
    for name in (keyspace, f"{keyspace}_keys"):
        session.execute(f"DROP KEYSPACE {name}", timeout=60)


_ATTEMPT = mint_id(0, os.urandom)

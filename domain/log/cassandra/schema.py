"""The tables, the one command that makes them, and what is recorded of a log once and for all."""

import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from domain.errors import LogError
from domain.log.batching import FIRST_GENERATION
from domain.log.cassandra.driver import Bridge, Query, RejectedError, bind, connect
from domain.log.cassandra.snapshots import LIFE_DAYS
from domain.log.port import MAX_COMMAND_EVENTS, LogIdentity

SHARDS: Final = 8
SEGMENT_SIZE: Final = 8192
_NAME: Final = "log"


@dataclass(frozen=True, slots=True)
class Generation:
    """How the positions of one generation are laid out."""

    number: int
    shards: int
    segment_size: int


@dataclass(frozen=True, slots=True)
class Meta:
    """What log_meta holds. ``generations`` are in order, the last one is written to."""

    log_id: str
    server_key_fingerprint: str
    data_centre: str
    generations: tuple[Generation, ...]

    @property
    def current(self) -> Generation:
        return self.generations[-1]

    @property
    def identity(self) -> LogIdentity:
        return LogIdentity(self.log_id, self.current.number, self.current.shards, self.current.segment_size)


def keys_keyspace(keyspace: str) -> str:
    """Subject keys live apart, so that backups of the log do not hold what it takes to read it."""
    return f"{keyspace}_keys"


def _ddl(keyspace: str, data_centre: str, replication_factor: int) -> Iterator[str]:
    replication = f"{{'class': 'NetworkTopologyStrategy', '{data_centre}': {replication_factor}}}"
    keys = keys_keyspace(keyspace)
    for name in (keyspace, keys):
        yield f"CREATE KEYSPACE IF NOT EXISTS {name} WITH replication = {replication}"
    # Nothing is ever deleted from it, so a short grace is safe; it bounds how long a row in system.paxos is kept.
    yield (
        f"CREATE TABLE IF NOT EXISTS {keyspace}.event_log (generation int, shard int, segment int, position bigint,"
        " head bigint STATIC, head_attempt text STATIC, body blob,"
        " PRIMARY KEY ((generation, shard, segment), position)) WITH gc_grace_seconds = 10800"
    )
    yield (
        f"CREATE TABLE IF NOT EXISTS {keyspace}.events_by_stream (stream text, version int, generation int, position bigint,"
        " body blob, PRIMARY KEY ((stream), version, generation, position)) WITH gc_grace_seconds = 10800"
    )
    # The partition `log` holds what is fixed, one partition a shard how far its index is: eight owners do not queue for one.
    yield (
        f"CREATE TABLE IF NOT EXISTS {keyspace}.log_meta (name text, generation int, log_id text STATIC,"
        " server_key_fingerprint text STATIC, data_centre text STATIC, shards int, segment_size int,"
        " watermark bigint, owner text, PRIMARY KEY ((name), generation)) WITH gc_grace_seconds = 10800"
    )
    # Leases that a process renews every second or so: they need no repair, and soon leave nothing behind.
    yield (
        f"CREATE TABLE IF NOT EXISTS {keyspace}.log_appenders (generation int, place text, process text, address text,"
        " PRIMARY KEY ((generation), place)) WITH gc_grace_seconds = 600"
    )
    yield (
        f"CREATE TABLE IF NOT EXISTS {keyspace}.snapshots (stream text PRIMARY KEY, body blob)"
        f" WITH default_time_to_live = {LIFE_DAYS * 86_400}"
    )
    yield f"CREATE TABLE IF NOT EXISTS {keys}.subject_keys (subject text PRIMARY KEY, key blob, destroyed boolean)"


def require_name(keyspace: str) -> None:
    """Keyspace names are put into statements as they are."""
    if not re.fullmatch("[a-z][a-z0-9_]{0,42}", keyspace):
        raise ValueError(
            f"{keyspace!r} is no name for a keyspace: at most 43 lower-case letters, digits and underscores"
        )


async def read_meta(bridge: Bridge, keyspace: str) -> Meta:
    """Raises LogError where the schema was not made."""
    try:
        columns = "generation, log_id, server_key_fingerprint, data_centre, shards, segment_size"
        query: Query[tuple[int, str, str, str, int, int]] = await bridge.prepare(
            f"SELECT {columns} FROM {keyspace}.log_meta WHERE name = ?"
        )
        rows = await bridge.execute(query, (_NAME,), serial=True)
    except RejectedError as error:
        raise _no_schema(bridge, keyspace) from error
    if not rows:
        raise _no_schema(bridge, keyspace)
    _, log_id, fingerprint, data_centre, _, _ = rows[0]
    generations = tuple(Generation(row[0], row[4], row[5]) for row in rows)
    return Meta(log_id, fingerprint, data_centre, generations)


def _no_schema(bridge: Bridge, keyspace: str) -> LogError:
    return LogError(
        f"there is no log in keyspace {keyspace} of Cassandra at {bridge.address}; make it with `tidings migrate`"
    )


def require_fingerprint(meta: Meta, fingerprint: str) -> None:
    """Under another server key the same names would find other streams."""
    if meta.server_key_fingerprint != fingerprint:
        raise LogError(
            f"the log was made under another SERVER_KEY (fingerprint {meta.server_key_fingerprint}, this one has {fingerprint}); "
            "the key stays the same for the life of a log"
        )


def require_data_centre(meta: Meta, data_centre: str) -> None:
    """Conditional writes are serial within one data centre only."""
    if meta.data_centre != data_centre:
        raise LogError(
            f"the log is written in data centre {meta.data_centre}; a process in {data_centre} must not append to it"
        )


async def migrate_cassandra(
    hosts: Sequence[str],
    keyspace: str,
    *,
    port: int = 9042,
    server_key_fingerprint: str,
    shards: int | None = None,
    segment_size: int | None = None,
    replication_factor: int = 1,
    data_centre: str | None = None,
) -> LogIdentity:
    """Makes keyspaces, tables and the log's identity where they are not there yet; to be run by one process at a time.

    The nodes' data centre becomes the one that may write. ``shards`` (8) and ``segment_size`` (8192) are fixed for a generation: LogError where
    others are recorded, as for another server key. UnavailableError where no node answers.
    """
    require_name(keyspace)
    if segment_size is not None and segment_size < MAX_COMMAND_EVENTS:
        raise ValueError(f"a segment must hold the largest batch ({MAX_COMMAND_EVENTS})")
    bridge = await connect(hosts, port, data_centre=data_centre)
    try:
        await bridge.define(_ddl(keyspace, bridge.data_centre, replication_factor))
        insert = await bridge.prepare(
            f"INSERT INTO {keyspace}.log_meta (name, generation, log_id, server_key_fingerprint, data_centre, shards,"
            " segment_size) VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS"
        )
        identity = (uuid.uuid4().hex, server_key_fingerprint, bridge.data_centre)
        values = (_NAME, FIRST_GENERATION, *identity, shards or SHARDS, segment_size or SEGMENT_SIZE)
        await bridge.apply(bind(insert, values))
        meta = await read_meta(bridge, keyspace)
    finally:
        await bridge.close()
    require_fingerprint(meta, server_key_fingerprint)
    current = meta.current
    if (shards or current.shards, segment_size or current.segment_size) != (current.shards, current.segment_size):
        raise LogError(
            f"the log has {current.shards} shards and segments of {current.segment_size}; these change only with a new generation"
        )
    return meta.identity

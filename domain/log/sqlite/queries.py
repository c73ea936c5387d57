"""The statements on the event log: rows in and out, nothing decided. All of them take a connection and block."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from domain.log.codec import COLUMNS, StoredEvent
from domain.log.port import LogIdentity

_NAMES: Final = ", ".join(COLUMNS)
_EVENTS: Final = ", ".join(f"event_log.{name}" for name in COLUMNS)
_MARKS: Final = ", ".join("?" for _ in COLUMNS)

# Names come from the code alone, values are always bound.
_INSERT: Final = f"INSERT INTO event_log ({_NAMES}) VALUES ({_MARKS})"  # noqa: S608
_AFTER: Final = (
    f"SELECT {_NAMES} FROM event_log WHERE generation = ? AND shard = ? AND position > ? ORDER BY position LIMIT ?"  # noqa: S608
)
_STREAM: Final = (
    f"SELECT {_NAMES} FROM event_log WHERE stream = ? AND version <= ? AND recorded_at <= ? ORDER BY version"  # noqa: S608
)
# CROSS JOIN fixes the order of the loops: one look into the index for each wanted stream.
_STREAMS: Final = (
    f"SELECT {_EVENTS} FROM json_each(?) AS wanted CROSS JOIN event_log ON event_log.stream = wanted.value"  # noqa: S608
)
_TIPS: Final = """
SELECT shard.value, newest.position, newest.recorded_at FROM json_each(?2) AS shard CROSS JOIN event_log AS newest
 WHERE newest.generation = ?1 AND newest.shard = shard.value
   AND newest.position = (SELECT MAX(position) FROM event_log WHERE generation = ?1 AND shard = shard.value)
"""
_MAX_INTEGER: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Tip:
    """A shard's newest row: its position and time, both 0 where there is none."""

    position: int = 0
    recorded_at: int = 0


def tips(connection: sqlite3.Connection, identity: LogIdentity) -> list[Tip]:
    """The newest row of every shard in the log's generation, by shard."""
    found = [Tip()] * identity.shards
    shards = json.dumps(list(range(identity.shards)))
    for shard, position, recorded_at in connection.execute(_TIPS, (identity.generation, shards)):
        found[shard] = Tip(position, recorded_at)
    return found


def rows_after(
    connection: sqlite3.Connection, generation: int, shard: int, position: int, limit: int
) -> list[StoredEvent]:
    """At most ``limit`` rows of a shard above ``position``, in order."""
    return [StoredEvent(*row) for row in connection.execute(_AFTER, (generation, shard, position, limit))]


def rows_of_stream(
    connection: sqlite3.Connection, stream: str, version: int | None, until: int | None
) -> list[StoredEvent]:
    """A stream's rows in order, up to a version and a time of recording."""
    bounds = (stream, _MAX_INTEGER if version is None else version, _MAX_INTEGER if until is None else until)
    return [StoredEvent(*row) for row in connection.execute(_STREAM, bounds)]


def rows_of_streams(connection: sqlite3.Connection, streams: Iterable[str]) -> Mapping[str, Sequence[StoredEvent]]:
    """All rows of several streams, each in order; streams without rows are absent."""
    found: dict[str, list[StoredEvent]] = defaultdict(list)
    for row in connection.execute(_STREAMS, (json.dumps(list(streams)),)):
        stored = StoredEvent(*row)
        found[stored.stream].append(stored)
    for rows in found.values():
        rows.sort(key=lambda stored: stored.version)
    return found


def newest_version(connection: sqlite3.Connection, stream: str) -> int:
    """The version of a stream's last event, 0 where it has none."""
    row = connection.execute("SELECT MAX(version) FROM event_log WHERE stream = ?", (stream,)).fetchone()
    return int(row[0] or 0)


def insert(connection: sqlite3.Connection, rows: Iterable[StoredEvent]) -> None:
    connection.executemany(_INSERT, map(msgspec.structs.astuple, rows))


def forgotten(connection: sqlite3.Connection) -> int:
    """How many keys were ever destroyed in this log."""
    return int(connection.execute("SELECT forgotten FROM log_meta").fetchone()[0])

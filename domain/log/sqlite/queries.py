"""The statements on the event log: rows in and out, nothing decided. All of them take a connection and block.

Python gives its interpreter lock away at every step of a statement, and beside a busy event loop gets it back only milliseconds later: a
thousand rows fetched one by one took seconds. So a read is one row, a JSON array of rows, and an insert one statement of many.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from operator import attrgetter
from typing import Final

import msgspec

from domain.envelope import sequence
from domain.events import GenerationClosed
from domain.log.batching import FIRST_GENERATION
from domain.log.codec import COLUMNS, StoredEvent
from domain.log.port import LogIdentity
from domain.log.snapshots import Kept

_INSERTED_AT_ONCE: Final = 64
_MAX_INTEGER: Final = (1 << 63) - 1

_AS_TEXT: Final = {
    "payload": "CAST(payload AS TEXT)",
    "sealed": "CASE WHEN sealed IS NOT NULL THEN hex(sealed) END",
    "metadata": "CAST(metadata AS TEXT)",
}


class _Row(msgspec.Struct, array_like=True, frozen=True):
    """A row as it stands in a JSON array; the fields are StoredEvent's."""

    generation: int
    shard: int
    position: int
    stream: str
    version: int
    event_id: str
    type: str
    schema_version: int
    payload: str
    sealed: str | None
    subject: str | None
    metadata: str
    occurred_at: int
    recorded_at: int
    attempt_id: str

    def stored(self) -> StoredEvent:
        return StoredEvent(
            self.generation,
            self.shard,
            self.position,
            self.stream,
            self.version,
            self.event_id,
            self.type,
            self.schema_version,
            self.payload.encode(),
            bytes.fromhex(self.sealed) if self.sealed is not None else None,
            self.subject,
            self.metadata.encode(),
            self.occurred_at,
            self.recorded_at,
            self.attempt_id,
        )


_rows: Final = msgspec.json.Decoder(list[_Row])

# Names come from the code alone, values are always bound.
_ROWS: Final = f"SELECT json_group_array(json_array({', '.join(_AS_TEXT.get(c, c) for c in COLUMNS)})) FROM "
_AFTER: Final = _ROWS + (
    "(SELECT * FROM event_log WHERE generation = ? AND shard = ? AND position > ? ORDER BY position LIMIT ?)"
)
_STREAM: Final = _ROWS + "event_log WHERE stream = ? AND version <= ? AND recorded_at <= ?"
# CROSS JOIN fixes the order of the loops: one look into the index for each wanted stream.
_STREAMS: Final = _ROWS + (
    "(SELECT event_log.* FROM json_each(?) AS wanted"
    # Only a snapshot that ends with an event of its stream may hide what comes before.
    " LEFT JOIN snapshots ON snapshots.stream = wanted.value AND snapshots.edition = ? AND snapshots.event_id ="
    " (SELECT last.event_id FROM event_log AS last WHERE last.stream = snapshots.stream AND last.version = snapshots.version)"
    " CROSS JOIN event_log ON event_log.stream = wanted.value AND event_log.version >= COALESCE(snapshots.version, 0))"
)
_TIPS: Final = """
SELECT json_group_array(json_array(newest.position, newest.recorded_at, newest.type)), (SELECT forgotten FROM log_meta)
  FROM json_each(:shards) AS shard
  LEFT JOIN event_log AS newest ON newest.generation = :generation AND newest.shard = shard.value
   AND newest.position = (SELECT MAX(position) FROM event_log WHERE generation = :generation AND shard = shard.value)
"""


@dataclass(frozen=True, slots=True)
class Tip:
    """A shard's newest row: its position and time, both 0 where there is none, and whether it has ended the generation."""

    position: int = 0
    recorded_at: int = 0
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Tips:
    """The newest row of every shard in the log's generation, by shard; and how many keys were ever destroyed."""

    shards: Sequence[Tip]
    forgotten: int


def tips(connection: sqlite3.Connection, identity: LogIdentity) -> Tips:
    values = {"generation": identity.generation, "shards": json.dumps(list(range(identity.shards)))}
    found, forgotten = connection.execute(_TIPS, values).fetchone()
    newest = json.loads(found)
    return Tips(
        [Tip(position or 0, at or 0, type_ == GenerationClosed.name) for position, at, type_ in newest], forgotten
    )


def heads_before(connection: sqlite3.Connection, identity: LogIdentity) -> list[int]:
    """The newest sequence of each shard in the generations before the log's, 0 where there is none."""
    newest = "SELECT MAX(position) FROM event_log WHERE generation = ? AND shard = ?"
    heads = [0] * identity.shards
    for generation in range(FIRST_GENERATION, identity.generation):
        for shard in range(identity.shards):
            (position,) = connection.execute(newest, (generation, shard)).fetchone()
            heads[shard] = sequence(generation, position) if position else heads[shard]
    return heads


def _read(connection: sqlite3.Connection, statement: str, *values: str | int) -> Iterator[StoredEvent]:
    return (row.stored() for row in _rows.decode(connection.execute(statement, values).fetchone()[0]))


def rows_after(
    connection: sqlite3.Connection, generation: int, shard: int, position: int, limit: int
) -> list[StoredEvent]:
    """At most ``limit`` rows of a shard above ``position``, in order."""
    return sorted(_read(connection, _AFTER, generation, shard, position, limit), key=attrgetter("position"))


def rows_of_stream(
    connection: sqlite3.Connection, stream: str, version: int | None, until: int | None
) -> list[StoredEvent]:
    """A stream's rows in order, up to a version and a time of recording."""
    version = _MAX_INTEGER if version is None else version
    until = _MAX_INTEGER if until is None else until
    return sorted(_read(connection, _STREAM, stream, version, until), key=attrgetter("version"))


def rows_of_streams(
    connection: sqlite3.Connection, streams: Iterable[str], edition: str
) -> Mapping[str, Sequence[StoredEvent]]:
    """The rows of several streams, each in order: all, or where there is a snapshot of this ``edition`` those from its last event on. Streams without rows
    are absent."""
    rows = sorted(_read(connection, _STREAMS, json.dumps(list(streams)), edition), key=attrgetter("stream", "version"))
    return {stream: list(group) for stream, group in groupby(rows, key=attrgetter("stream"))}


def kept(connection: sqlite3.Connection, stream: str) -> Kept | None:
    """A stream's snapshot."""
    row = connection.execute(
        "SELECT version, event_id, edition, subject, body FROM snapshots WHERE stream = ?", (stream,)
    ).fetchone()
    return Kept(*row) if row is not None else None


def keep(connection: sqlite3.Connection, stream: str, kept: Kept) -> None:
    """Puts a snapshot in the place of the one before."""
    connection.execute(
        "INSERT OR REPLACE INTO snapshots (stream, version, event_id, edition, subject, body) VALUES (?, ?, ?, ?, ?, ?)",
        (stream, *msgspec.structs.astuple(kept)),
    )


def newest_version(connection: sqlite3.Connection, stream: str) -> int:
    """The version of a stream's last event, 0 where it has none."""
    row = connection.execute("SELECT MAX(version) FROM event_log WHERE stream = ?", (stream,)).fetchone()
    return int(row[0] or 0)


@cache
def _insertion(rows: int) -> str:
    marks = f"({', '.join('?' * len(COLUMNS))})"
    return f"INSERT INTO event_log ({', '.join(COLUMNS)}) VALUES {', '.join([marks] * rows)}"


def insert(connection: sqlite3.Connection, rows: Sequence[StoredEvent]) -> None:
    for start in range(0, len(rows), _INSERTED_AT_ONCE):
        chunk = rows[start : start + _INSERTED_AT_ONCE]
        values = [value for row in chunk for value in msgspec.structs.astuple(row)]
        connection.execute(_insertion(len(chunk)), values)

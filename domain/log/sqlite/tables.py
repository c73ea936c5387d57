"""The log's file: how it is opened, its tables, and what makes it this log."""

import re
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tenacity import Retrying, retry_if_exception, stop_after_delay, stop_any, stop_when_event_set, wait_random
from tenacity.stop import stop_base

from domain.errors import LogError, UnavailableError
from domain.ids import Entropy
from domain.log.batching import FIRST_GENERATION
from domain.log.port import LogIdentity

_OBJECT: Final = re.compile(r"^CREATE (?:UNIQUE INDEX|TRIGGER) (\w+)", re.MULTILINE)

_LAYOUT: Final = 1
"""PRAGMA user_version of a file with these tables."""

_BUSY_MILLISECONDS: Final = 5_000
"""How long a statement waits for another process; long enough for the recovery of a large write-ahead log."""

_OPEN_SECONDS: Final = 15.0

_PASSING: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL)
"""What a statement meets that another process is in the way of: its lock, or its work on the write-ahead log's index."""

_TABLES: Final = """
CREATE TABLE event_log (
  generation     INTEGER NOT NULL,
  shard          INTEGER NOT NULL,
  position       INTEGER NOT NULL,
  stream         TEXT NOT NULL,
  version        INTEGER NOT NULL,
  event_id       TEXT NOT NULL,
  type           TEXT NOT NULL,
  schema_version INTEGER NOT NULL,
  payload        BLOB NOT NULL,
  sealed         BLOB,
  subject        TEXT,
  metadata       BLOB NOT NULL,
  occurred_at    INTEGER NOT NULL,
  recorded_at    INTEGER NOT NULL,
  attempt_id     TEXT NOT NULL,
  PRIMARY KEY (generation, shard, position)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX events_by_stream ON event_log (stream, version);

CREATE TRIGGER events_never_change BEFORE UPDATE ON event_log
  BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER events_never_go BEFORE DELETE ON event_log
  BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;

CREATE TABLE subject_keys (
  subject   TEXT NOT NULL PRIMARY KEY,
  wrapped   BLOB,
  destroyed INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- forgotten counts destroyed keys: whoever sees it grow drops what it has opened with any key.
CREATE TABLE log_meta (
  only         INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
  log_id       TEXT NOT NULL,
  generation   INTEGER NOT NULL,
  shards       INTEGER NOT NULL,
  segment_size INTEGER NOT NULL,
  server_key   TEXT NOT NULL,
  forgotten    INTEGER NOT NULL DEFAULT 0
) STRICT;
"""


_SNAPSHOTS: Final = """
CREATE TABLE IF NOT EXISTS snapshots (
  stream   TEXT NOT NULL PRIMARY KEY,
  version  INTEGER NOT NULL,
  event_id TEXT NOT NULL,
  edition  TEXT NOT NULL,
  subject  TEXT,
  body     BLOB NOT NULL
) STRICT
"""
"""Apart from the others: it is derived, and may be dropped at any time."""


def patient(seconds: float, *, until: threading.Event | None = None) -> Retrying:
    """Tries again while another process holds the lock, for so many seconds or ``until`` the event is set.

    Short random pauses rather than SQLite's own growing ones: a process that appends without a break leaves others only moments.
    """
    limit: stop_base = stop_after_delay(seconds)
    if until is not None:
        limit = stop_any(limit, stop_when_event_set(until))
    return Retrying(retry=retry_if_exception(_is_passing), wait=wait_random(0.0002, 0.002), stop=limit, reraise=True)


def _is_passing(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors as the port's: what may pass (locked, full, unreadable) is UnavailableError, what the file itself gives away LogError."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if not hasattr(error, "sqlite_errorcode"):
            # Found by the driver, not by SQLite; its message quotes what is stored.
            raise LogError(f"the log in {path} is damaged: it holds text that is no UTF-8") from error
        whose = " (another process has it, perhaps an import)" if _is_passing(error) else ""
        raise UnavailableError(f"the log in {path} cannot be used now: {error}{whose}") from error
    except sqlite3.Error as error:
        raise LogError(f"the log in {path} is damaged: {error}") from error


def connect(path: Path, *, writer: bool) -> sqlite3.Connection:
    """A connection in autocommit mode; only a writer's may change anything. May be handed from thread to thread."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    # A writer leaves nothing of a forgotten key behind in free pages.
    own = "secure_delete = ON" if writer else "query_only = ON"
    try:
        for setting in (f"busy_timeout = {_BUSY_MILLISECONDS}", "temp_store = MEMORY", "synchronous = FULL", own):
            connection.execute(f"PRAGMA {setting}")
    except BaseException:
        connection.close()
        raise
    return connection


def claim(connection: sqlite3.Connection, path: Path) -> None:
    """Keeps every other process out of the file until the connection is closed, also by the end of its process; before anything is read through it.

    Whoever has the file open holds a shared lock on it, if only to read. Raises LogError where somebody has.
    """
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if not _is_passing(error):
            raise
        raise LogError(f"{path} is in use by another process: stop what serves or reads it, and repeat this") from error
    connection.execute("COMMIT")


def prepare(
    connection: sqlite3.Connection, path: Path, *, server_key: str, shards: int, segment_size: int, entropy: Entropy
) -> LogIdentity:
    """Makes the log where the file is new, and checks that it is the one that was asked for.

    Raises LogError where it was made under another server key or with another layout.
    """
    patient(_OPEN_SECONDS)(_make, connection, shards, segment_size, server_key, entropy)
    return _identity(connection, path, server_key=server_key, shards=shards, segment_size=segment_size)


def _make(connection: sqlite3.Connection, shards: int, segment_size: int, server_key: str, entropy: Entropy) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    if _layout(connection) == 0:
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            if _layout(connection) == 0:  # still: two processes may have come at once
                for statement in _statements():
                    connection.execute(statement)
                connection.execute(
                    "INSERT INTO log_meta (only, log_id, generation, shards, segment_size, server_key) VALUES (1, ?, ?, ?, ?, ?)",
                    (str(uuid.UUID(bytes=entropy(16), version=4)), FIRST_GENERATION, shards, segment_size, server_key),
                )
                connection.execute(f"PRAGMA user_version = {_LAYOUT}")
    connection.execute(_SNAPSHOTS)


def _layout(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements() -> Iterator[str]:
    # Not executescript, which commits what is open before it begins.
    statement = ""
    for line in _TABLES.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def stored_identity(connection: sqlite3.Connection) -> tuple[LogIdentity, str]:
    """What the file says of its log, and the fingerprint of the server key that it was made under."""
    row = connection.execute("SELECT log_id, generation, shards, segment_size, server_key FROM log_meta").fetchone()
    return LogIdentity(log_id=row[0], generation=row[1], shards=row[2], segment_size=row[3]), row[4]


def objects() -> Mapping[str, str]:
    """The statements that make the index and the triggers, by their names: what can be made anew from the tables."""
    found = (_OBJECT.search(statement) for statement in _statements())
    return {match[1]: match.string for match in found if match is not None}


def _identity(
    connection: sqlite3.Connection, path: Path, *, server_key: str, shards: int, segment_size: int
) -> LogIdentity:
    if _layout(connection) != _LAYOUT:
        raise LogError(f"{path} holds tables of another Tidings (layout {_layout(connection)}, here {_LAYOUT})")
    identity, made_under = stored_identity(connection)
    if made_under != server_key:
        raise LogError(
            f"the log in {path} was made under another SERVER_KEY: under this one every claimed name would be free again. "
            "Start with the SERVER_KEY that the log was made with, or with another log"
        )
    if (identity.shards, identity.segment_size) != (shards, segment_size):
        raise LogError(
            f"the log in {path} has {identity.shards} shards and segments of {identity.segment_size}, "
            f"not {shards} and {segment_size}: both are fixed when a log is made"
        )
    return identity

"""The event log in one SQLite file: the port over one writer thread, a few readers and a watch."""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from domain.envelope import Recorded, sequence, split_sequence
from domain.errors import CorruptStreamError, LogError, OutcomeUnknownError, OverloadedError, UnavailableError
from domain.ids import Entropy
from domain.log.batching import FIRST_GENERATION, Aggregates, Decision
from domain.log.codec import StoredEvent, decode
from domain.log.port import Execution, LogIdentity, Outcome
from domain.log.sealing import KeyCache, MasterKeys
from domain.log.sqlite import queries
from domain.log.sqlite.keys import Keys
from domain.log.sqlite.queries import Tip
from domain.log.sqlite.readers import Readers
from domain.log.sqlite.states import load
from domain.log.sqlite.tables import connect, prepare, translated
from domain.log.sqlite.transaction import Appender
from domain.log.sqlite.watch import Watch
from domain.log.sqlite.writer import Answer, Forget, Ticket, Writer

_log = structlog.get_logger(__name__)

_CLOSE_SECONDS: Final = 5.0
_LAST_COMMIT_SECONDS: Final = 0.5
"""What the transaction under way is left when those seconds are up."""
_READERS: Final = 4
_HOT_STATES: Final = 20_000


def _now() -> int:
    return time.time_ns() // 1_000


async def open_sqlite_log(
    path: str | os.PathLike[str],
    *,
    master_key: bytes,
    server_key_fingerprint: str,
    aggregates: Aggregates,
    retired_master_keys: Sequence[bytes] = (),
    shards: int = 8,
    segment_size: int = 8192,
    queue_limit: int = 4096,
    clock: Callable[[], int] = _now,
    monotonic: Callable[[], float] = time.monotonic,
    entropy: Entropy = os.urandom,
) -> "SqliteLog":
    """Opens the log in the file ``path``, which is made if it is not there (its folder is not).

    ``clock`` gives microseconds since the epoch. At most ``queue_limit`` commands wait for their answers, more raise OverloadedError.
    Raises LogError where the file holds another log: another SERVER_KEY, MASTER_KEY, number of shards or segment size.
    """
    file = Path(path)
    keys = Keys(MasterKeys(master_key, retired_master_keys), KeyCache(monotonic))

    def begin() -> tuple[sqlite3.Connection, LogIdentity, Sequence[Tip], Sequence[int]]:
        with translated(file):
            connection = connect(file, writer=True)
            try:
                identity = prepare(
                    connection,
                    file,
                    server_key=server_key_fingerprint,
                    shards=shards,
                    segment_size=segment_size,
                    entropy=entropy,
                )
                keys.check(connection)
                before = queries.heads_before(connection, identity)
                return connection, identity, queries.tips(connection, identity).shards, before
            except BaseException:
                connection.close()
                raise

    connection, identity, tips, before = await asyncio.to_thread(begin)
    closing = threading.Event()
    appender = Appender(
        connection, identity, aggregates, keys, clock=clock, entropy=entropy, size=_HOT_STATES, closing=closing
    )
    return SqliteLog(file, identity, aggregates, keys, appender, tips, before, queue_limit, closing)


class SqliteLog:
    """An ``EventLog``; made by :func:`open_sqlite_log`, in the event loop that it answers to."""

    def __init__(
        self,
        path: Path,
        identity: LogIdentity,
        aggregates: Aggregates,
        keys: Keys,
        appender: Appender,
        tips: Sequence[Tip],
        before: Sequence[int],
        queue_limit: int,
        closing: threading.Event,
    ) -> None:
        self._identity = identity
        self._aggregates = aggregates
        self._keys = keys
        self._appender = appender
        self._before = before
        self._queue_limit = queue_limit
        self._unanswered: set[Ticket] = set()
        self._closed = False
        self._readers = Readers(path, _READERS)
        self._watch = Watch(self._heads(tips), self._poll)
        self._path = path
        self._watched: sqlite3.Connection | None = None
        self._data_version = -1
        self._writer = Writer(appender, path, asyncio.get_running_loop(), self._deliver, closing)
        self._writer.start()

    @property
    def identity(self) -> LogIdentity:
        return self._identity

    async def execute(self, execution: Execution) -> Outcome:
        """See EventLog. OutcomeUnknownError only where the disk failed inside a commit, or the log was closed over it."""
        if self._closed:
            raise UnavailableError("the log is closed")
        if len(self._unanswered) >= self._queue_limit:
            raise OverloadedError(f"{self._queue_limit} commands wait for the log already: try again in a moment")
        if not 0 <= execution.shard < self._identity.shards:
            raise ValueError(f"there is no shard {execution.shard}, only 0 to {self._identity.shards - 1}")
        ticket = Ticket(execution=execution, answer=asyncio.get_running_loop().create_future())
        self._unanswered.add(ticket)
        self._writer.submit(ticket)
        try:
            decision = await ticket.answer
        finally:
            self._unanswered.discard(ticket)
        return decision.outcome()

    def _deliver(self, answers: Sequence[Answer], tips: Sequence[Tip]) -> None:
        for ticket, answer in answers:
            if ticket.answer.done():
                continue
            if isinstance(answer, Decision):
                ticket.answer.set_result(answer)
            else:
                ticket.answer.set_exception(answer)
        self._watch.advance(self._heads(tips))

    async def states(self, streams: Sequence[str]) -> Mapping[str, object]:
        return await self._readers.run(partial(self._states, streams))

    def _states(self, streams: Sequence[str], connection: sqlite3.Connection) -> Mapping[str, object]:
        states: dict[str, object] = {}
        for stream, loaded in load(connection, streams, self._aggregates, self._keys):
            if isinstance(loaded, LogError):
                raise loaded
            states[stream] = loaded.state
        return states

    async def load(self, stream: str, *, version: int | None = None, until: int | None = None) -> tuple[Recorded, ...]:
        return await self._readers.run(partial(self._load, stream, version, until))

    def _load(
        self, stream: str, version: int | None, until: int | None, connection: sqlite3.Connection
    ) -> tuple[Recorded, ...]:
        rows = queries.rows_of_stream(connection, stream, version, until)
        for expected, row in enumerate(rows, start=1):
            if row.version != expected:
                raise CorruptStreamError(f"{stream} has version {row.version} where {expected} must follow")
        keys = self._opened(connection, rows)
        return tuple(decode(row, keys) for row in rows)

    async def read(self, shard: int, after: int, limit: int) -> tuple[Recorded, ...]:
        return await self._readers.run(partial(self._read, shard, after, limit))

    def _read(self, shard: int, after: int, limit: int, connection: sqlite3.Connection) -> tuple[Recorded, ...]:
        begun, position = split_sequence(after)
        for generation in range(max(begun, FIRST_GENERATION), self._identity.generation + 1):
            seen = position if generation == begun else 0
            rows = queries.rows_after(connection, generation, shard, seen, limit)
            if rows:
                return self._run(rows, seen, self._opened(connection, rows))
        return ()

    @staticmethod
    def _run(rows: Sequence[StoredEvent], seen: int, keys: Mapping[str, bytes | None]) -> tuple[Recorded, ...]:
        """Up to the first row that cannot be read; where that is the very first, its error is raised."""
        run: list[Recorded] = []
        try:
            for expected, row in enumerate(rows, start=seen + 1):
                _require(expected, row)
                run.append(decode(row, keys))
        except LogError:
            if not run:
                raise
        return tuple(run)

    def _opened(self, connection: sqlite3.Connection, rows: Sequence[StoredEvent]) -> Mapping[str, bytes | None]:
        return self._keys.read(connection, {row.subject for row in rows if row.subject is not None})

    async def head(self, shard: int) -> int:
        tips = await self._readers.run(partial(queries.tips, identity=self._identity))
        return self._heads(tips.shards)[shard]

    def _heads(self, tips: Sequence[Tip]) -> list[int]:
        """By shard; where this generation has no event yet, that of the one before."""
        generation = self._identity.generation
        pairs = zip(tips, self._before, strict=True)
        return [sequence(generation, tip.position) if tip.position else before for tip, before in pairs]

    async def wait(self, shard: int, after: int, timeout: float) -> None:
        await self._watch.wait(shard, after, timeout)

    async def _poll(self) -> Sequence[int]:
        return await self._readers.run(self._changes)

    def _changes(self, connection: sqlite3.Connection) -> Sequence[int]:
        """The heads, or nothing where no process has committed since the last look."""
        # The number can be compared only with one from the same connection.
        if self._watched is None:
            self._watched = connect(self._path, writer=False)
        data_version = self._watched.execute("PRAGMA data_version").fetchone()[0]
        if data_version == self._data_version:
            return ()
        heads = self._heads(queries.tips(connection, self._identity).shards)
        # Not sooner: where the heads could not be read, the next look must read them.
        self._data_version = data_version
        return heads

    async def destroy_key(self, subject: str) -> None:
        """See EventLog. Other processes go on for at most 60 seconds, and append on nothing that the key had opened."""
        if self._closed:
            raise UnavailableError("the log is closed")
        order = Forget(subject, asyncio.get_running_loop().create_future())
        self._writer.submit(order)
        await order.answer

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CLOSE_SECONDS
        if self._unanswered:
            await asyncio.wait([ticket.answer for ticket in self._unanswered], timeout=_CLOSE_SECONDS)
        self._writer.stop()
        await asyncio.to_thread(self._writer.join, max(deadline - loop.time(), _LAST_COMMIT_SECONDS))
        left = [ticket for ticket in self._unanswered if not ticket.answer.done()]
        if left:
            _log.warning("log.left_unanswered", command_ids=[t.execution.metadata.command_id for t in left])
        for ticket in left:
            ticket.answer.set_exception(OutcomeUnknownError(ticket.execution.metadata.command_id))
        await self._watch.close()
        await self._readers.close()
        if self._watched is not None:
            self._watched.close()
        if not self._writer.is_alive():
            self._appender.close()


def _require(position: int, row: StoredEvent) -> None:
    if row.position != position:
        raise LogError(f"shard {row.shard} has position {row.position} where {position} must follow")

"""The table of the log: segments of dense positions, read in runs and appended to by one conditional batch.

Every write to it is conditional on its segment's head, and nothing else ever touches it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from domain.log.batching import room_after, segment_of
from domain.log.cassandra.driver import Bridge, Query, Statement, batch_of, bind, bind_packed
from domain.log.cassandra.metrics import HOLES
from domain.log.cassandra.packing import pack, pack_bigint, pack_int, unpack
from domain.log.cassandra.schema import Meta
from domain.log.codec import StoredEvent
from domain.log.port import MAX_COMMAND_EVENTS

PAGE: Final = 1000
"""Rows of one read."""

BodyRow = tuple[bytes]

_log = structlog.get_logger("tidings.log")


@dataclass(frozen=True, slots=True)
class Place:
    """A shard in one generation."""

    generation: int
    shard: int


def contiguous(rows: Sequence[StoredEvent], after: int) -> list[StoredEvent]:
    """The rows that follow position ``after`` without a hole."""
    run: list[StoredEvent] = []
    for row in rows:
        if row.position != after + len(run) + 1:
            break
        run.append(row)
    return run


@dataclass(frozen=True, slots=True)
class _Statements:
    rows: Query[BodyRow]
    head: Query[tuple[int | None]]
    move: Query[tuple[bool]]
    insert: Query[tuple[()]]


class LogTable:
    """Reads and appends; positions are those of a generation, times microseconds. All methods raise UnavailableError."""

    def __init__(self, bridge: Bridge, statements: _Statements, sizes: Mapping[int, int]) -> None:
        self._bridge = bridge
        self._statements = statements
        self._sizes = sizes

    async def after(self, place: Place, position: int, limit: int) -> list[StoredEvent]:
        """At most ``limit`` rows that follow ``position`` without a hole, over as many segments as it takes."""
        size = self._sizes[place.generation]
        run: list[StoredEvent] = []
        while len(run) < limit:
            at = position + len(run)
            wanted = min(limit - len(run), room_after(at, size))
            got = await self._run(place, at, wanted)
            run += got
            if len(got) < wanted:
                break
        return run

    async def _run(self, place: Place, position: int, limit: int) -> list[StoredEvent]:
        rows = await self._read(place, position, limit, serial=False)
        run = contiguous(rows, position)
        if len(run) < len(rows):
            # A hole is an append that this read saw in part: it is waited for, never skipped. A serial read completes what is under way.
            HOLES.inc()
            _log.warning("hole in the log", shard=place.shard, generation=place.generation, after=position + len(run))
            run = contiguous(await self._read(place, position, limit, serial=True), position)
        return run

    async def _read(self, place: Place, position: int, limit: int, *, serial: bool) -> list[StoredEvent]:
        """Rows of the segment in which ``position + 1`` lies."""
        generation, shard = place.generation, place.shard
        segment = segment_of(position + 1, self._sizes[generation])
        rows = await self._bridge.execute(
            self._statements.rows, (generation, shard, segment, position, limit), serial=serial
        )
        return [unpack(body) for (body,) in rows]

    async def next_serial(self, place: Place, position: int) -> StoredEvent | None:
        """The row at ``position + 1`` by a linearizable read; None proves that the head was ``position`` or below when it was made."""
        rows = await self._read(place, position, 1, serial=True)
        return rows[0] if rows and rows[0].position == position + 1 else None

    async def row(self, place: Place, position: int) -> StoredEvent | None:
        rows = await self._read(place, position - 1, 1, serial=False)
        return rows[0] if rows and rows[0].position == position else None

    async def head(self, place: Place, known: int) -> int:
        """The shard's head; ``known`` is a position at or below it, from which segments are looked through."""
        size = self._sizes[place.generation]
        head = known
        while True:
            # At a boundary the head is known only by a look at the next segment.
            segment = segment_of(head + 1, size)
            rows = await self._bridge.execute(self._statements.head, (place.generation, place.shard, segment))
            found = rows[0][0] if rows else None
            if found is None or found <= head:
                return head
            head = found
            if head % size:
                return head

    def opens_segment(self, generation: int, position: int) -> bool:
        """Whether a position is the first of its segment."""
        return position % self._sizes[generation] == 1

    def appending(self, base: StoredEvent | None, rows: Sequence[StoredEvent]) -> Statement:
        """The batch that appends ``rows`` (1 to 64 and padding, of one segment) if the head still is ``base``, the row before the first.

        The position alone would say so in a store that keeps what it acknowledges; its attempt tells a history that was set back and
        has grown to the same length again.
        """
        first, last = rows[0], rows[-1]
        size = self._sizes[first.generation]
        segment = segment_of(first.position, size)
        if segment_of(last.position, size) != segment or len(rows) > 2 * MAX_COMMAND_EVENTS:
            raise ValueError(f"positions {first.position} to {last.position} make no batch of one segment")
        # The first batch of a segment finds no partition there.
        head, attempt = (base.position, base.attempt_id) if base is not None and base.position % size else (None, None)
        move = (last.position, last.attempt_id, first.generation, first.shard, segment, head, attempt)
        partition = (pack_int(first.generation), pack_int(first.shard), pack_int(segment))
        insert = self._statements.insert
        inserts = (bind_packed(insert, [*partition, pack_bigint(row.position), pack(row)]) for row in rows)
        return batch_of([bind(self._statements.move, move), *inserts])

    async def append(self, statement: Statement) -> bool:
        """Whether it was applied, as the store says: False proves nothing (log.md R3)."""
        return await self._bridge.apply(statement)


async def open_table(bridge: Bridge, keyspace: str, meta: Meta) -> LogTable:
    table = f"{keyspace}.event_log"
    where = "WHERE generation = ? AND shard = ? AND segment = ?"
    # Names come from the code and the migrated schema, values are always bound.
    statements = _Statements(
        rows=await bridge.prepare(f"SELECT body FROM {table} {where} AND position > ? LIMIT ?"),
        head=await bridge.prepare(f"SELECT head FROM {table} {where} LIMIT 1"),
        move=await bridge.prepare(
            f"UPDATE {table} SET head = ?, head_attempt = ? {where} IF head = ? AND head_attempt = ?"
        ),
        insert=await bridge.prepare(
            f"INSERT INTO {table} (generation, shard, segment, position, body) VALUES (?, ?, ?, ?, ?)"
        ),
    )
    return LogTable(bridge, statements, {each.number: each.segment_size for each in meta.generations})

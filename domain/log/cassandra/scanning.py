"""Reads of whole tables for a verification, and the few writes that mend what is derived. Keys and bodies are read apart: they must agree."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from domain.errors import LogError
from domain.log.batching import segment_of
from domain.log.cassandra.driver import Bridge, Query, bind
from domain.log.cassandra.packing import pack, unpack
from domain.log.cassandra.schema import Meta
from domain.log.cassandra.table import Place
from domain.log.codec import StoredEvent

PAGE: Final = 1_000
_FIRST_TOKEN: Final = -(2**63)
_LAST_TOKEN: Final = 2**63 - 1

BodyRow = tuple[int, bytes]
EntryRow = tuple[str, int, int, int, bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the index: its key, and its body, None where that is no event's."""

    stream: str
    version: int
    generation: int
    position: int
    row: StoredEvent | None
    body: bytes

    @property
    def form(self) -> bytes:
        """What is hashed: equal to that of the log's row only where key and body both say the same as it."""
        row = self.row
        if row is not None and self.key == key_of(row):
            return pack(row)
        return repr((self.key, self.body)).encode()

    @property
    def key(self) -> tuple[str, int, int, int]:
        return (self.stream, self.version, self.generation, self.position)


def key_of(row: StoredEvent) -> tuple[str, int, int, int]:
    """A row's key in the index."""
    return (row.stream, row.version, row.generation, row.position)


@dataclass(frozen=True, slots=True)
class _Statements:
    rows: Query[BodyRow]
    heads: Query[tuple[int | None, str | None]]
    partitions: Query[tuple[int, int, int]]
    entries: Query[EntryRow]
    entry: Query[EntryRow]
    written: Query[tuple[int | None]]
    delete: Query[tuple[()]]
    mark: Query[tuple[bool]]


class Scan:
    """All methods raise UnavailableError. Reads are made at LOCAL_QUORUM, and again serially where something is missing."""

    def __init__(self, bridge: Bridge, statements: _Statements, meta: Meta) -> None:
        self._bridge = bridge
        self._statements = statements
        self._sizes = {each.number: each.segment_size for each in meta.generations}

    async def rows(self, place: Place, after: int, upper: int) -> list[tuple[int, StoredEvent | None]]:
        """At most PAGE rows (after, upper] of the segment in which ``after + 1`` lies, by the positions of their keys; None for a body that is no event's."""
        segment = segment_of(after + 1, self._sizes[place.generation])
        values = (place.generation, place.shard, segment, after, upper, PAGE)
        found = await self._bridge.execute(self._statements.rows, values)
        if len(found) < min(PAGE, upper - after):
            # An append that a read saw in part is no hole: a serial read completes it.
            found = await self._bridge.execute(self._statements.rows, values, serial=True)
        return [(position, _unpacked(body)) for position, body in found]

    def segment_end(self, place: Place, position: int) -> int:
        """The last position of the segment in which a position lies."""
        size = self._sizes[place.generation]
        return (segment_of(position, size) + 1) * size

    async def row(self, place: Place, position: int) -> StoredEvent | None:
        """The row at ``position``; None only where there certainly is none."""
        segment = segment_of(position, self._sizes[place.generation])
        values = (place.generation, place.shard, segment, position - 1, position, 1)
        found = await self._bridge.execute(self._statements.rows, values)
        if not found:
            found = await self._bridge.execute(self._statements.rows, values, serial=True)
        return _unpacked(found[0][1]) if found else None

    async def segment_head(self, place: Place, segment: int) -> tuple[int | None, str | None]:
        """The head that a segment's partition records, and that head's attempt."""
        found = await self._bridge.execute(self._statements.heads, (place.generation, place.shard, segment))
        return found[0] if found else (None, None)

    async def head(self, place: Place, known: int = 0) -> int:
        """The shard's head, sought from that of the segment of ``known + 1`` on, which is at or below it; no mark is trusted."""
        size = self._sizes[place.generation]
        head = known
        while True:
            found, _ = await self.segment_head(place, segment_of(head + 1, size))
            if found is None or found <= head:
                return head
            head = found
            if head % size:
                return head

    async def partitions(self, state: bytes | None) -> tuple[list[tuple[int, int, int]], bytes | None]:
        """(generation, shard, segment) of the partitions that there are, a page of them."""
        return await self._bridge.page(self._statements.partitions, (), PAGE, state)

    async def entries(self, tokens: tuple[int, int], state: bytes | None) -> tuple[list[Entry], bytes | None]:
        """A page of the index, of streams whose tokens are in (first, last]; streams one after the other, each in order."""
        rows, state = await self._bridge.page(self._statements.entries, tokens, PAGE, state)
        return [_entry(row) for row in rows], state

    async def held(self, rows: Sequence[StoredEvent]) -> list[Entry | None]:
        """What the index holds under the keys of rows of the log."""
        found = await asyncio.gather(*(self._bridge.execute(self._statements.entry, key_of(row)) for row in rows))
        return [_entry(each[0]) if each else None for each in found]

    async def forget(self, entry: Entry) -> None:
        """Deletes a row of the index as it was written: one that is written anew meanwhile stays."""
        found = await self._bridge.execute(self._statements.written, entry.key)
        if found and found[0][0] is not None:
            await self._bridge.write(bind(self._statements.delete, (found[0][0], *entry.key)))

    async def set_watermark(self, place: Place, before: int, after: int) -> bool:
        """Whether the watermark was still ``before``, and is ``after`` now."""
        values = (after, f"shard-{place.shard}", place.generation, before or None)
        return await self._bridge.apply(bind(self._statements.mark, values))


def _unpacked(body: bytes) -> StoredEvent | None:
    try:
        return unpack(body)
    except LogError:
        return None


def _entry(row: EntryRow) -> Entry:
    return Entry(*row[:4], _unpacked(row[4]), row[4])


def token_ranges(count: int) -> list[tuple[int, int]]:
    """The whole ring in ``count`` parts."""
    step = 2**64 // count
    edges = [_FIRST_TOKEN + number * step for number in range(count)] + [_LAST_TOKEN]
    return list(pairwise(edges))


async def open_scan(bridge: Bridge, keyspace: str, meta: Meta) -> Scan:
    log, index, marks = (f"{keyspace}.{table}" for table in ("event_log", "events_by_stream", "log_meta"))
    segment = "generation = ? AND shard = ? AND segment = ?"
    key = "stream = ? AND version = ? AND generation = ? AND position = ?"
    columns = "stream, version, generation, position, body"
    # Names come from the code and the migrated schema, values are always bound.
    statements = _Statements(
        rows=await bridge.prepare(
            f"SELECT position, body FROM {log} WHERE {segment} AND position > ? AND position <= ? LIMIT ?"
        ),
        heads=await bridge.prepare(f"SELECT head, head_attempt FROM {log} WHERE {segment} LIMIT 1"),
        partitions=await bridge.prepare(f"SELECT DISTINCT generation, shard, segment FROM {log}"),
        entries=await bridge.prepare(f"SELECT {columns} FROM {index} WHERE token(stream) > ? AND token(stream) <= ?"),
        entry=await bridge.prepare(f"SELECT {columns} FROM {index} WHERE {key}"),
        written=await bridge.prepare(f"SELECT WRITETIME(body) FROM {index} WHERE {key}"),
        delete=await bridge.prepare(f"DELETE FROM {index} USING TIMESTAMP ? WHERE {key}"),
        mark=await bridge.prepare(
            f"UPDATE {marks} SET watermark = ? WHERE name = ? AND generation = ? IF watermark = ?"
        ),
    )
    return Scan(bridge, statements, meta)

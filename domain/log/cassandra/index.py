"""The index by stream: a derived copy of the log's rows, and how far it is complete.

Rows are written idempotently and from rows of the log alone, so any process may write any of them, as often as it likes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from domain.errors import UnavailableError
from domain.log.cassandra.driver import Bridge, Query, batch_of, bind, bind_packed
from domain.log.cassandra.packing import pack, pack_bigint, pack_int, unpack
from domain.log.cassandra.table import BodyRow, Place
from domain.log.codec import StoredEvent

CHUNK_BYTES: Final = 40_000
"""Of one unlogged batch; the server refuses those over several partitions at 50 KB."""
PAGE: Final = 1000
_STREAMS: Final = 32
_BEGINNING: Final = 100
"""Rows of each stream that are read together with those of others."""
OWNER_SECONDS: Final = 5

Since = Callable[[], Awaitable[int]]
_Wanted = tuple[str, "asyncio.Future[list[StoredEvent]]"]


def chunks(rows: Sequence[StoredEvent]) -> Iterator[list[StoredEvent]]:
    """``rows`` in order, in pieces that fit one batch."""
    chunk: list[StoredEvent] = []
    size = 0
    for row in rows:
        if chunk and size + row.size > CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += row.size
    if chunk:
        yield chunk


class StreamIndex:
    """events_by_stream. All methods raise UnavailableError."""

    def __init__(
        self,
        bridge: Bridge,
        insert: Query[tuple[()]],
        beginnings: Query[BodyRow],
        forward: Query[BodyRow],
        backward: Query[BodyRow],
        present: Query[tuple[str, int, int, int]],
    ) -> None:
        self._bridge = bridge
        self._insert = insert
        self._beginnings = beginnings
        self._forward = forward
        self._backward = backward
        self._present = present
        self._wanted: list[_Wanted] = []
        self._reading: set[asyncio.Task[None]] = set()

    async def write(self, rows: Sequence[StoredEvent]) -> None:
        """``rows`` must fit one batch: see :func:`chunks`."""
        await self._bridge.write(batch_of(bind_packed(self._insert, _bound(row)) for row in rows))

    async def stream(self, stream: str, since: Since | None = None) -> list[StoredEvent]:
        """What the index holds of a stream, by version; two of one version where it holds two.

        Of a long one ``since`` is asked for the version at which to begin: 1 for all.
        """
        # What is asked for in one turn of the loop is read together: commands come in bursts, and a read costs more than a row.
        loop = asyncio.get_running_loop()
        if not self._wanted:
            loop.call_soon(self._read_wanted)
        future: asyncio.Future[list[StoredEvent]] = loop.create_future()
        self._wanted.append((stream, future))
        found = await future
        if len(found) < _BEGINNING:
            return found
        version = await since() if since is not None else 1
        found = [row for row in found if row.version >= version]
        # The last version may go on on the next page, so it is read again with it.
        after = found[-1].version - 1 if found else version - 1
        while True:
            rows = await self._bridge.execute(self._forward, (stream, after, PAGE))
            page = [unpack(body) for (body,) in rows]
            found = [row for row in found if row.version <= after] + page
            if len(page) < PAGE:
                return found
            after = page[-1].version - 1

    def _read_wanted(self) -> None:
        wanted, self._wanted = self._wanted, []
        for start in range(0, len(wanted), _STREAMS):
            task = asyncio.create_task(self._read(wanted[start : start + _STREAMS]))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)

    async def _read(self, wanted: Sequence[_Wanted]) -> None:
        found: dict[str, list[StoredEvent]] = {stream: [] for stream, _ in wanted}
        try:
            for (body,) in await self._bridge.execute(self._beginnings, (list(found), _BEGINNING)):
                stored = unpack(body)
                found[stored.stream].append(stored)
        except UnavailableError as error:
            for _, future in wanted:
                if not future.done():
                    future.set_exception(error)
            return
        for stream, future in wanted:
            if not future.done():
                future.set_result(found[stream])

    async def newest(self, stream: str, limit: int) -> list[StoredEvent]:
        """The ``limit`` rows of the highest versions, by version."""
        rows = await self._bridge.execute(self._backward, (stream, limit))
        return [unpack(body) for (body,) in reversed(rows)]

    async def missing(self, rows: Sequence[StoredEvent]) -> list[StoredEvent]:
        """Those of ``rows`` that are not in the index."""
        streams = sorted({row.stream for row in rows})
        found: set[tuple[str, int, int, int]] = set()
        for start in range(0, len(streams), _STREAMS):
            page = streams[start : start + _STREAMS]
            versions = [row.version for row in rows if page[0] <= row.stream <= page[-1]]
            found.update(await self._bridge.execute(self._present, (page, min(versions), max(versions))))
        return [row for row in rows if (row.stream, row.version, row.generation, row.position) not in found]


def _bound(row: StoredEvent) -> list[bytes]:
    return [
        row.stream.encode(),
        pack_int(row.version),
        pack_int(row.generation),
        pack_bigint(row.position),
        pack(row),
    ]


async def open_index(bridge: Bridge, keyspace: str) -> StreamIndex:
    table = f"{keyspace}.events_by_stream"
    order = "ORDER BY version DESC, generation DESC, position DESC"
    key = "stream, version, generation, position"
    # Names come from the code and the migrated schema, values are always bound.
    return StreamIndex(
        bridge,
        insert=await bridge.prepare(f"INSERT INTO {table} ({key}, body) VALUES (?, ?, ?, ?, ?)"),
        beginnings=await bridge.prepare(f"SELECT body FROM {table} WHERE stream IN ? PER PARTITION LIMIT ?"),
        forward=await bridge.prepare(f"SELECT body FROM {table} WHERE stream = ? AND version > ? LIMIT ?"),
        backward=await bridge.prepare(f"SELECT body FROM {table} WHERE stream = ? {order} LIMIT ?"),
        present=await bridge.prepare(f"SELECT {key} FROM {table} WHERE stream IN ? AND version >= ? AND version <= ?"),
    )


@dataclass(frozen=True, slots=True)
class Mark:
    """Up to ``watermark`` the index is complete; ``owner`` is the process that raises it, None where there is none."""

    watermark: int
    owner: str | None


class Progress:
    """In log_meta: the watermark of each shard and its soft owner, whose claim expires by itself. All methods raise UnavailableError."""

    def __init__(
        self,
        bridge: Bridge,
        select: Query[tuple[int | None, str | None]],
        claim: Query[tuple[bool]],
        raise_: Query[tuple[bool]],
    ) -> None:
        self._bridge = bridge
        self._select = select
        self._claim = claim
        self._raise = raise_

    async def read(self, place: Place) -> Mark:
        rows = await self._bridge.execute(self._select, _row(place))
        watermark, owner = rows[0] if rows else (None, None)
        return Mark(watermark or 0, owner)

    async def claim(self, place: Place, me: str, *, renew: bool) -> bool:
        """Whether the claim, or its renewal, holds for OWNER_SECONDS from now on. False also where the answer came late: ask again."""
        values = (OWNER_SECONDS, me, *_row(place), me if renew else None)
        return await self._bridge.apply(bind(self._claim, values))

    async def raise_to(self, place: Place, me: str, mark: Mark, watermark: int) -> bool:
        """Whether the watermark was raised from ``mark``'s, by its owner."""
        values = (watermark, *_row(place), me, mark.watermark or None)
        return await self._bridge.apply(bind(self._raise, values))


def _row(place: Place) -> tuple[str, int]:
    return f"shard-{place.shard}", place.generation


async def open_progress(bridge: Bridge, keyspace: str) -> Progress:
    table = f"{keyspace}.log_meta"
    where = "WHERE name = ? AND generation = ?"
    return Progress(
        bridge,
        select=await bridge.prepare(f"SELECT watermark, owner FROM {table} {where}"),
        claim=await bridge.prepare(f"UPDATE {table} USING TTL ? SET owner = ? {where} IF owner = ?"),
        raise_=await bridge.prepare(f"UPDATE {table} SET watermark = ? {where} IF owner = ? AND watermark = ?"),
    )

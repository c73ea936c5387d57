"""Reading the log: states, streams, and a shard's events in order, from memory where they are there."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from domain.envelope import Recorded, split_sequence
from domain.errors import LogError
from domain.events import GenerationClosed
from domain.ids import stream_shard
from domain.log.cassandra.schema import Meta
from domain.log.cassandra.shard import Shard
from domain.log.cassandra.table import LogTable, Place
from domain.log.codec import StoredEvent, decode
from domain.log.sealing import KeyRing

_STALLED_SECONDS: Final = 0.25


class Reader:
    """``shards`` are those of the generation that is written; all generations are read."""

    def __init__(self, meta: Meta, table: LogTable, shards: Sequence[Shard], ring: KeyRing) -> None:
        self._meta = meta
        self._table = table
        self._shards = shards
        self._ring = ring

    async def states(self, streams: Iterable[str]) -> Mapping[str, object]:
        """See EventLog.states."""
        by_shard: dict[Shard, list[str]] = {}
        for stream in streams:
            by_shard.setdefault(self._shard_of(stream), []).append(stream)
        found: dict[str, object] = {}
        await asyncio.gather(*(shard.confirm() for shard in by_shard))
        for shard, names in by_shard.items():
            entries = await shard.acquire(names)
            found.update((entry.stream, entry.snapshot.state) for entry in entries)
            shard.release(entries)
        return found

    async def load(self, stream: str, version: int | None, until: int | None) -> tuple[Recorded, ...]:
        """See EventLog.load."""
        events = await self._shard_of(stream).events(stream)
        return tuple(
            event
            for event in events
            if (version is None or event.version <= version) and (until is None or event.recorded_at <= until)
        )

    def _shard_of(self, stream: str) -> Shard:
        return self._shards[stream_shard(stream, len(self._shards))]

    async def read(self, shard: int, after: int, limit: int) -> tuple[Recorded, ...]:
        """See EventLog.read. Events before one that cannot be read are given; the error is raised when it comes first."""
        rows = await self._stored(shard, after, limit)
        keys = await self._ring.keys({row.subject for row in rows if row.subject is not None})
        events: list[Recorded] = []
        try:
            for row in rows:
                events.append(decode(row, keys))  # noqa: PERF401 -- what was decoded before an error counts
        except LogError:
            if not events:
                raise
        return tuple(events)

    async def _stored(self, shard: int, after: int, limit: int) -> Sequence[StoredEvent]:
        start, position = split_sequence(after)
        for generation in self._meta.generations:
            if generation.number < start or shard >= generation.shards:
                continue
            at = position if generation.number == start else 0
            if generation is self._meta.current:
                return await self._current(self._shards[shard], at, limit)
            place = Place(generation.number, shard)
            rows = await self._table.after(place, at, limit)
            if rows or not await self._ended(place, at):
                return rows
        return ()

    async def _current(self, shard: Shard, position: int, limit: int) -> Sequence[StoredEvent]:
        if position < shard.tail.floor or shard.full:
            return await shard.table.after(shard.place, position, limit)
        return shard.tail.after(position, limit)

    async def _ended(self, place: Place, position: int) -> bool:
        """Whether nothing can follow ``position`` in its generation; a hole does not end it."""
        row = await self._table.row(place, position) if position else None
        return row is not None and row.type == GenerationClosed.name

    async def head(self, shard: int) -> int:
        """See EventLog.head."""
        return await self._shards[shard].head()

    async def wait(self, shard: int, after: int, timeout: float) -> None:
        """See EventLog.wait."""
        watched = self._shards[shard]
        if watched.full:
            # Its view stands still, the table need not.
            await asyncio.sleep(min(timeout, _STALLED_SECONDS))
            return
        try:
            async with asyncio.timeout(timeout):
                while watched.sequence <= after and not watched.full:
                    await watched.moved.wait()
        except TimeoutError:
            pass

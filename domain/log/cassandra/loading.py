"""Loading a stream: what the index holds up to the tail's floor, and the tail above it; of a long one, what follows its snapshot."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from domain.envelope import Recorded
from domain.errors import CorruptStreamError
from domain.ids import category_of
from domain.log.batching import Aggregates, Snapshot, fold
from domain.log.cassandra.index import StreamIndex
from domain.log.cassandra.snapshots import Snapshots
from domain.log.cassandra.table import Place
from domain.log.cassandra.tail import Tail
from domain.log.codec import StoredEvent, decode
from domain.log.sealing import KeyRing
from domain.log.snapshots import EVERY, Kept, keep, revive

_NEWEST: Final = 1024


@dataclass(slots=True)
class _Start:
    """Where a loading begins: with the last event of ``kept``, where there is a snapshot to be had."""

    stream: str
    snapshots: Snapshots
    edition: str
    kept: Kept | None = None

    async def version(self) -> int:
        kept = await self.snapshots.read(self.stream)
        self.kept = kept if kept is not None and kept.edition == self.edition else None
        return 1 if self.kept is None else self.kept.version


@dataclass(frozen=True, slots=True)
class _Loaded:
    """``rows`` in order; ``keys`` are those that they need, and their snapshot: None where destroyed. ``certain`` unless a key is not there at all, and may
    yet come with an import."""

    rows: list[StoredEvent]
    keys: dict[str, bytes | None]
    certain: bool


class Loader:
    """Streams of one shard, as of what its tail has seen when the loading ends. ``tail`` gives today's tail: it may be replaced."""

    def __init__(
        self,
        place: Place,
        index: StreamIndex,
        snapshots: Snapshots,
        ring: KeyRing,
        aggregates: Aggregates,
        tail: Callable[[], Tail],
    ) -> None:
        self._place = place
        self._index = index
        self._snapshots = snapshots
        self._keeping: set[asyncio.Task[None]] = set()
        self._ring = ring
        self._aggregates = aggregates
        self._tail = tail

    async def _load(self, stream: str, start: _Start | None = None) -> _Loaded:
        """The stream's rows in order, from the first on, or from the one that ``start`` finds. Exactly as of ``tail().seen`` at the return:
        nothing is awaited after the tail was looked at. Raises CorruptStreamError where versions are doubled or missing."""
        while True:
            floor = self._tail().floor
            indexed = await self._indexed(stream, start)
            kept = start.kept if start is not None else None
            keys: dict[str, bytes | None] = {}
            certain = True
            # Rows that were dropped from the tail meanwhile may not have been in the index yet when it was read.
            while self._tail().floor == floor:
                rows = self._merged(stream, indexed, 1 if kept is None else kept.version)
                needed = {row.subject for row in rows if row.subject is not None}
                if kept is not None and kept.subject is not None:
                    needed.add(kept.subject)
                unknown = needed - keys.keys()
                if not unknown:
                    return _Loaded(rows, keys, certain)
                fetched = await self._ring.keys(unknown)
                certain &= unknown <= fetched.keys()
                keys.update((subject, fetched.get(subject)) for subject in unknown)

    async def snapshot(self, stream: str) -> Snapshot:
        """The stream's state, exactly as of ``tail().seen`` at the return. Raises CorruptStreamError where versions are doubled or missing."""
        start = _Start(stream, self._snapshots, self._aggregates.edition())
        loaded = await self._load(stream, start)
        resumed = self._resumed(stream, start.kept, loaded)
        if start.kept is not None and resumed is None:
            loaded = await self._load(stream)
        rows = loaded.rows
        # The log's own stream has no state worth its length: its newest rows tell the version.
        before = rows[0].version - 1 if rows and category_of(stream) == "shard" else 0
        snapshot = resumed or Snapshot(before, self._aggregates.initial(stream))
        following = rows[1:] if resumed is not None else rows
        for row in following:
            subject = row.subject if row.subject is not None and loaded.keys.get(row.subject) is not None else None
            snapshot = fold(self._aggregates, snapshot, decode(row, loaded.keys), subject)
        if len(following) >= EVERY and loaded.certain and category_of(stream) != "shard":
            self._keep(stream, snapshot, rows[-1], loaded)
        return snapshot

    def _resumed(self, stream: str, kept: Kept | None, loaded: _Loaded) -> Snapshot | None:
        if kept is None or not loaded.rows or loaded.rows[0].event_id != kept.event_id:
            return None
        return revive(self._aggregates, stream, kept, loaded.keys)

    def _keep(self, stream: str, snapshot: Snapshot, last: StoredEvent, loaded: _Loaded) -> None:
        kept = keep(self._aggregates, stream, snapshot, last.event_id, loaded.keys)
        if kept is not None:
            # Nobody waits for it.
            task = asyncio.create_task(self._snapshots.write(stream, kept))
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)

    async def idle(self) -> None:
        """Returns when no snapshot is on its way to the store."""
        if self._keeping:
            await asyncio.wait(self._keeping)

    async def events(self, stream: str) -> list[Recorded]:
        """All of the stream's events, as of ``tail().seen`` at the return."""
        loaded = await self._load(stream)
        return [decode(row, loaded.keys) for row in loaded.rows]

    async def _indexed(self, stream: str, start: _Start | None) -> list[StoredEvent]:
        if category_of(stream) == "shard":
            newest = await self._index.newest(stream, _NEWEST)
            if len(newest) < _NEWEST or self._covered(newest[0]):
                return newest
        return await self._index.stream(stream, start.version if start is not None else None)

    def _covered(self, row: StoredEvent) -> bool:
        """Whether the index is complete at that row."""
        return row.generation < self._place.generation or row.position <= self._tail().floor

    def _merged(self, stream: str, indexed: Sequence[StoredEvent], first: int) -> list[StoredEvent]:
        rows = [row for row in indexed if self._covered(row)]
        rows += (row for row in self._tail().of(stream) if row.version >= first)
        for row, following in pairwise(rows):
            if following.version != row.version + 1:
                raise CorruptStreamError(
                    f"{stream} has version {following.version} (position {following.position}) right after {row.version} (position {row.position})"
                )
        if rows and rows[0].version != first and category_of(stream) != "shard":
            raise CorruptStreamError(f"{stream} begins with version {rows[0].version}")
        return rows

"""Loading a stream: what the index holds up to the tail's floor, and the tail above it."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from domain.envelope import Recorded
from domain.errors import CorruptStreamError
from domain.ids import category_of
from domain.log.batching import Aggregates, Snapshot, fold
from domain.log.cassandra.index import StreamIndex
from domain.log.cassandra.table import Place
from domain.log.cassandra.tail import Tail
from domain.log.codec import StoredEvent, decode
from domain.log.sealing import KeyRing

_NEWEST: Final = 1024


class Loader:
    """Streams of one shard, as of what its tail has seen when the loading ends. ``tail`` gives today's tail: it may be replaced."""

    def __init__(
        self, place: Place, index: StreamIndex, ring: KeyRing, aggregates: Aggregates, tail: Callable[[], Tail]
    ) -> None:
        self._place = place
        self._index = index
        self._ring = ring
        self._aggregates = aggregates
        self._tail = tail

    async def load(self, stream: str) -> tuple[list[StoredEvent], dict[str, bytes | None]]:
        """The stream's rows in order, and the keys that they need (None: destroyed). Exactly as of ``tail().seen`` at the return:
        nothing is awaited after the tail was looked at. Raises CorruptStreamError where versions are doubled or missing."""
        while True:
            floor = self._tail().floor
            indexed = await self._indexed(stream)
            keys: dict[str, bytes | None] = {}
            # Rows that were dropped from the tail meanwhile may not have been in the index yet when it was read.
            while self._tail().floor == floor:
                rows = self._merged(stream, indexed)
                unknown = {row.subject for row in rows if row.subject is not None} - keys.keys()
                if not unknown:
                    return rows, keys
                fetched = await self._ring.keys(unknown)
                keys.update((subject, fetched.get(subject)) for subject in unknown)

    async def snapshot(self, stream: str) -> Snapshot:
        """See :meth:`load`."""
        rows, keys = await self.load(stream)
        # The log's own stream has no state worth its length: its newest rows tell the version.
        before = rows[0].version - 1 if rows and category_of(stream) == "shard" else 0
        snapshot = Snapshot(before, self._aggregates.initial(stream))
        for row in rows:
            subject = row.subject if row.subject is not None and keys.get(row.subject) is not None else None
            snapshot = fold(self._aggregates, snapshot, decode(row, keys), subject)
        return snapshot

    async def events(self, stream: str) -> list[Recorded]:
        """See :meth:`load`."""
        rows, keys = await self.load(stream)
        return [decode(row, keys) for row in rows]

    async def _indexed(self, stream: str) -> list[StoredEvent]:
        if category_of(stream) == "shard":
            newest = await self._index.newest(stream, _NEWEST)
            if len(newest) < _NEWEST or self._covered(newest[0]):
                return newest
        return await self._index.stream(stream)

    def _covered(self, row: StoredEvent) -> bool:
        """Whether the index is complete at that row."""
        return row.generation < self._place.generation or row.position <= self._tail().floor

    def _merged(self, stream: str, indexed: Sequence[StoredEvent]) -> list[StoredEvent]:
        rows = [row for row in indexed if self._covered(row)]
        rows += self._tail().of(stream)
        for row, following in pairwise(rows):
            if following.version != row.version + 1:
                raise CorruptStreamError(
                    f"{stream} has version {following.version} (position {following.position}) right after {row.version} (position {row.position})"
                )
        if rows and rows[0].version != 1 and category_of(stream) != "shard":
            raise CorruptStreamError(f"{stream} begins with version {rows[0].version}")
        return rows

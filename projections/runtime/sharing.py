"""Sharing shards among workers: each claims what is free up to its fair share, and lets go of what is above it when others have come.

Who is there is told by rows that workers renew, by their wall clocks: only fairness rests on those, never safety, which is the leases'.
"""

import math
import zlib
from collections.abc import Callable, Collection, Sequence
from typing import Final

from projections.documents import port
from projections.documents.port import After, Documents, Fidelity, Index, Row, Shape

WORKERS: Final = port.Collection(
    family="runtime",
    name="workers",
    shape=Shape.ROWS,
    fidelity=Fidelity.CACHE,
    indexes=(Index("by_seen", ("kind",), "seenAt"),),
)

_KIND: Final = "worker"
_MOST: Final = 1000

SETTLED: Final = 10
"""Lifetimes of a lease that a shard stays where it is, so that none wanders."""
REST: Final = 2
"""Lifetimes in which a shard that was let go is left to others."""


class Roster:
    """The workers that are alive: whose row is younger than three lifetimes of a lease. ``clock`` gives microseconds since the epoch."""

    def __init__(self, documents: Documents, holder: str, ttl: float, clock: Callable[[], int]) -> None:
        self._documents = documents
        self._holder = holder
        self._life = int(ttl * 3_000_000)
        self._clock = clock

    async def sign(self) -> int:
        """Says that this worker is there and answers with how many are, at least 1. Drops the rows of those long gone."""
        now = self._clock()
        await self._put(now, now)
        after = After(now - self._life, "")
        alive = await self._documents.page(WORKERS, "by_seen", (_KIND,), after=after, limit=_MOST)
        below = now - 10 * self._life
        await self._documents.remove(WORKERS, "by_seen", (_KIND,), below=below, position=now, limit=_MOST)
        return max(1, len(alive))

    async def leave(self) -> None:
        await self._put(self._clock(), 0)

    async def _put(self, position: int, seen_at: int) -> None:
        await self._documents.put(WORKERS, [Row(self._holder, position, {"kind": _KIND, "seenAt": seen_at})])


class Share:
    """Decides which shards to try for and which to let go. Pure: ``now`` are monotonic seconds."""

    def __init__(self, shards: int, holder: str, ttl: float, now: float) -> None:
        # Workers that start together begin at different shards.
        start = zlib.crc32(holder.encode()) % shards
        self._order = [(start + n) % shards for n in range(shards)]
        self._ttl = ttl
        self._beyond_at = now + REST * ttl
        self._rests: dict[int, float] = {}
        self._since: dict[int, float] = {}

    def wanted(self, held: Collection[int], workers: int, now: float) -> tuple[Sequence[int], int]:
        """Shards to try for, in this order, and how many to take: up to the fair share, and beyond it only now and then, lest what a worker
        that is there but does not work has left stays unserved."""
        free = [shard for shard in self._order if shard not in held and self._rests.get(shard, now) <= now]
        if now >= self._beyond_at:
            self._beyond_at = now + REST * self._ttl
            return free, len(free)
        return free, max(0, self._fair(workers) - len(held))

    def excess(self, held: Collection[int], workers: int, now: float) -> Sequence[int]:
        """Shards to let go: those above the fair share that have been here long enough."""
        above = len(held) - self._fair(workers)
        settled = [shard for shard in self._order if shard in held and now - self._since[shard] >= SETTLED * self._ttl]
        return settled[:above] if above > 0 else ()

    def took(self, shard: int, now: float) -> None:
        self._since[shard] = now

    def rest(self, shard: int, seconds: float, now: float) -> None:
        """Leaves the shard to others for a while."""
        self._rests[shard] = now + seconds

    def _fair(self, workers: int) -> int:
        return math.ceil(len(self._order) / workers)

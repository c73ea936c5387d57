"""Sharing shards among workers: each claims what is free up to its fair share, and lets go of what is above it when others have come.

Who is there is told by rows that workers sign: only fairness rests on those, never safety, which is the leases'.
"""

import math
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from projections.documents import port
from projections.documents.port import Documents, Fidelity, Index, Row, Shape

WORKERS: Final = port.Collection(
    family="runtime",
    name="workers",
    shape=Shape.ROWS,
    fidelity=Fidelity.CACHE,
    indexes=(Index("by_seen", ("kind",), "seenAt"),),
)

_KIND: Final = "worker"
_MOST: Final = 1000

PERIOD: Final = 0.5
"""Seconds between two looks at who is there, and at what is free."""
SETTLED: Final = 1
"""Lifetimes of a lease that a shard stays where it is, so that none wanders."""
REST: Final = 2
"""Lifetimes between two looks beyond the fair share."""
RETURNED: Final = 20
"""Lifetimes that a shard stays which nobody wanted when it was let go."""
FORGOTTEN: Final = 30
"""Lifetimes after which the row of one that is gone is deleted."""


class Witness:
    """Judges who is alive by whether their signs change, for clocks of several machines may differ: only of one who is seen for the first time its own
    clock tells. Pure: ``now`` are monotonic seconds, ``clock`` and signs microseconds since the epoch, 0 for one that has left."""

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self._seen: dict[str, tuple[int, float]] = {}

    def alive(self, signs: Mapping[str, int], now: float, clock: int) -> int:
        """How many are: whose sign has changed within a lifetime of a lease."""
        seen: dict[str, tuple[int, float]] = {}
        for name, sign in signs.items():
            before = self._seen.get(name)
            if before is None:
                recent = sign > clock - 3_000_000 * self._ttl
                seen[name] = sign, now if recent else now - 2 * self._ttl
            else:
                seen[name] = before if before[0] == sign else (sign, now)
        self._seen = seen
        return sum(sign > 0 and now - since <= self._ttl for sign, since in seen.values())


class Roster:
    """The workers that are there. ``clock`` gives microseconds since the epoch."""

    def __init__(
        self, documents: Documents, holder: str, ttl: float, clock: Callable[[], int], monotonic: Callable[[], float]
    ) -> None:
        self._documents = documents
        self._holder = holder
        self._ttl = ttl
        self._clock = clock
        self._monotonic = monotonic
        self._witness = Witness(ttl)

    async def sign(self) -> int:
        """Says that this worker is there and answers with how many are, at least 1. Drops the rows of those long gone."""
        now = self._clock()
        await self._put(now, now)
        found = await self._documents.page(WORKERS, "by_seen", (_KIND,), limit=_MOST, reverse=True)
        signs = {one.id: one.sort for one in found if isinstance(one.sort, int)}
        if min(signs.values(), default=now) < (below := now - int(FORGOTTEN * self._ttl * 1e6)):
            await self._documents.remove(WORKERS, "by_seen", (_KIND,), below=below, position=now, limit=_MOST)
        return max(1, self._witness.alive(signs, self._monotonic(), now))

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
        self._let_go: dict[int, float] = {}

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
        let_go = self._let_go.pop(shard, -math.inf)
        wanted = now - let_go > 2 * REST * self._ttl
        self._since[shard] = now if wanted else now + (RETURNED - SETTLED) * self._ttl

    def let_go(self, shard: int, now: float) -> None:
        """It is above the fair share: others have half a lifetime to take it."""
        self._let_go[shard] = now
        self.rest(shard, self._ttl / 2, now)

    def rest(self, shard: int, seconds: float, now: float) -> None:
        """Leaves the shard to others for a while."""
        self._rests[shard] = now + seconds

    def _fair(self, workers: int) -> int:
        return math.ceil(len(self._order) / workers)

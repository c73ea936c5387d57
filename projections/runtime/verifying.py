"""Verification: the live documents against a replay of the log into a scratch store, in bounded memory, while the workers go on."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from domain.log.port import EventLog
from projections.documents.port import Documents
from projections.folding import Family
from projections.runtime.comparing import Comparison, Verdict, horizon_of
from projections.runtime.filling import AsParked, Filling, Target, cutoff_of, distance
from projections.runtime.rebuilding import PERIOD, STILL, Unwatched, Watcher
from projections.runtime.replay import checkpoints_of


class Verification:
    """``live`` is a view that stays for as long as this runs, ``scratch`` a prepared store of its own, empty. What a family has parked or passed over is
    left out of its replay, for it is compared as it stands."""

    def __init__(
        self,
        log: EventLog,
        live: Documents,
        scratch: Documents,
        families: Sequence[Family],
        *,
        watcher: Watcher | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        still: float = STILL,
    ) -> None:
        self._log = log
        self._live = live
        self._scratch = scratch
        self._families = families
        self._watcher: Watcher = watcher or Unwatched()
        self._clock = clock
        self._still = still

    async def run(self) -> Mapping[str, Verdict]:
        """By family. Raises LogError at an event that cannot be read, HaltedError at one that a family cannot take now though it once did."""
        upto = await checkpoints_of(self._live, self._families)
        began = self._clock()
        self._watcher.stage("replaying", distance({}, upto))
        filling = Filling(
            self._log,
            [self._target(family, began) for family in self._families],
            tick=self._watcher.advance,
        )
        await filling.run(upto)
        for error in filling.failed.values():
            raise error
        return {family.name: await self._compare(family, began) for family in self._families}

    def _target(self, family: Family, began: int) -> Target:
        return Target(
            family,
            self._scratch,
            cutoff=cutoff_of(family, began),
            parking=lambda shard: AsParked(self._live, family.name, shard),
        )

    async def _compare(self, family: Family, began: int) -> Verdict:
        self._watcher.stage(f"comparing {family.name}", 0)
        comparison = Comparison(
            family,
            self._live,
            self._scratch,
            lambda: self._level(family, began),
            horizon=horizon_of(family, self._clock()),
            tick=self._watcher.advance,
        )
        return await comparison.run()

    async def _level(self, family: Family, began: int) -> None:
        """Has the replay catch up with the live family, once that has folded what is in the log now, or stands still."""
        heads = {shard: await self._log.head(shard) for shard in range(self._log.identity.shards)}
        seen: Mapping[int, int] = {}
        moved_at = time.monotonic()
        while True:
            saved = await self._live.load_checkpoints(family.name)
            if all(saved.get(shard, 0) >= head for shard, head in heads.items()):
                break
            if saved != seen:
                seen, moved_at = saved, time.monotonic()
            if time.monotonic() - moved_at > self._still:
                break
            await asyncio.sleep(PERIOD)
        await Filling(self._log, [self._target(family, began)]).run({family.name: saved})

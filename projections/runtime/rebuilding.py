"""A rebuild: other versions of some families are filled beside the live ones, compared with them, and switched to; the old ones are dropped when every
process has confirmed that it reads them no more. Each step is recorded, so that whoever comes after a crash goes on where it stopped.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from domain.log.port import EventLog
from projections.documents.port import Documents
from projections.folding import Family
from projections.runtime.backoff import persist
from projections.runtime.comparing import Comparison, Verdict, horizon_of
from projections.runtime.deadletters import drop_dead_letters
from projections.runtime.faults import HaltedError
from projections.runtime.filling import Filling, Pace, Target, Upto, cutoff_of, distance
from projections.runtime.leases import Tenure
from projections.runtime.processes import READER, WORKER, unconfirmed
from projections.runtime.versions import (
    Asker,
    Build,
    Phase,
    RebuildError,
    Standing,
    begun,
    change,
    dropped,
    joined,
    read_versions,
    require_building,
    retired,
    switched,
)

LEASE: Final = "rebuild"
"""Held by the one process that rebuilds."""
NEAR: Final = 2_000
"""Events behind the live version at which the workers take a filled one over."""
PERIOD: Final = 0.25
"""Seconds between two looks at what others have to do."""
UNDER_WAY: Final = 7.0
"""Seconds that a call to a store may still be under way in a process that has just confirmed."""
ABORT_LOOKS: Final = 1.0
STILL: Final = 10.0
"""Seconds after which checkpoints that do not move are taken to stand: no worker runs."""

_log = structlog.get_logger("tidings.runtime")


Builds = Sequence[tuple[Family, Build]]


class Watcher(Protocol):
    """Is told how a rebuild goes. A stage that repeats begins at 0 again."""

    def stage(self, name: str, total: int) -> None: ...

    def advance(self, done: int) -> None: ...


class Unwatched:
    def stage(self, name: str, total: int) -> None:
        """Nobody looks."""

    def advance(self, done: int) -> None:
        """Nobody looks."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``version`` is live now if ``switched``. Else ``halted`` says where the fill stopped, or ``verdict`` in what it differs: both wait for the operator."""

    family: str
    version: int
    switched: bool
    verdict: Verdict | None = None
    halted: HaltedError | None = None


class Rebuild:
    """``tenure`` of LEASE is kept by the caller. ``differ``: the new versions are meant to differ from the live ones, which are not compared."""

    def __init__(
        self,
        log: EventLog,
        documents: Documents,
        families: Sequence[Family],
        tenure: Tenure,
        *,
        by: Asker = Asker.OPERATOR,
        differ: bool = False,
        pace: Pace | None = None,
        watcher: Watcher | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        period: float = PERIOD,
        grace: float = UNDER_WAY,
        still: float = STILL,
    ) -> None:
        self._log = log
        self._documents = documents
        self._families = families
        self._tenure = tenure
        self._by = by
        self._differ = differ
        self._pace = pace or Pace()
        self._watcher: Watcher = watcher or Unwatched()
        self._clock = clock
        self._period = period
        self._grace = grace
        self._still = still

    async def run(self) -> Sequence[Outcome]:
        """Whatever there is to do for these families, to its end. Raises RebuildError where another rebuild is on its way or this one was aborted,
        LogError at an event that cannot be read, FencedError when the lease is lost."""
        await self._finish(self._families)
        builds = [(family, await self._begin(family)) for family in self._families]
        failed = await self._fill(builds)
        filled = [(family, build) for family, build in builds if family.name not in failed]
        await self._join(filled)
        outcomes = [
            Outcome(family.name, build.version, False, halted=failed[family.name])
            for family, build in builds
            if family.name in failed
        ]
        for family, build in filled:
            outcomes.append(await self._close(family, build))
        await self._finish(self._families)
        return outcomes

    async def finish(self) -> None:
        """Lets go of the versions of these families that are not live any more."""
        await self._finish(self._families)

    async def _begin(self, family: Family) -> Build:
        """The build that is on its way, or a new one."""

        def step(standing: Standing) -> Standing:
            if standing.build is None:
                return begun(standing, family.version, self._by, self._clock())
            if standing.build.fold != family.version:
                raise RebuildError(
                    f"{family.name} is being filled by another program's folds (version {standing.build.fold}, this one's "
                    f"is {family.version}): abort that rebuild first"
                )
            return standing

        standing = await change(self._documents, family.name, step)
        if standing.build is None:
            raise RebuildError(f"{family.name} was aborted")
        await self._view(family, standing.build.version).prepare(family.collections)
        _log.info("rebuild", family=family.name, version=standing.build.version, phase=standing.build.phase.value)
        return standing.build

    async def _fill(self, builds: Builds) -> Mapping[str, HaltedError]:
        """Up to where the live versions stand, or nearly: they move on meanwhile."""
        targets = [
            Target(
                family,
                self._view(family, build.version),
                self._tenure.lease,
                cutoff_of(family, build.began),
            )
            for family, build in builds
            if build.phase is Phase.FILLING
        ]
        if not targets:
            return {}
        filling = Filling(
            self._log,
            targets,
            pace=self._pace,
            ensure=self._tenure.ensure,
            tick=self._watcher.advance,
        )
        while True:
            ends = await self._ends([target.family for target in targets])
            left = distance(await self._saved(targets), ends)
            self._watcher.stage("filling", left)
            await self._unless_aborted(filling.run(ends), builds)
            again = await self._ends([target.family for target in targets])
            going = {name: own for name, own in again.items() if name not in filling.failed}
            if distance({**ends}, going) <= NEAR:
                return filling.failed

    async def _unless_aborted(self, work: Coroutine[object, object, None], builds: Builds) -> None:
        task = asyncio.create_task(work)
        try:
            while not (await asyncio.wait({task}, timeout=ABORT_LOOKS))[0]:
                versions = await persist(lambda: read_versions(self._documents), LEASE)
                for family, build in builds:
                    require_building(versions.of(family.name), build.version)
            task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _ends(self, families: Sequence[Family]) -> Upto:
        """Where a fill has done its part: where the live version stands. Where there is none, at the log's heads, but not past what the family follows."""
        shards = range(self._log.identity.shards)
        heads = {shard: await self._log.head(shard) for shard in shards}
        ends: dict[str, Mapping[int, int]] = {}
        for family in families:
            live = [family.name] if self._documents.version(family.name) else list(family.follows)
            ends[family.name] = heads
            for name in live:
                if self._documents.version(name):
                    saved = await self._documents.load_checkpoints(name)
                    ends[family.name] = {n: min(end, saved.get(n, 0)) for n, end in ends[family.name].items()}
        return ends

    async def _saved(self, targets: Iterable[Target]) -> Upto:
        return {target.family.name: await target.documents.load_checkpoints(target.family.name) for target in targets}

    async def _join(self, builds: Builds) -> None:
        """Hands the filled versions to the workers, and waits until all of them know."""
        for family, build in builds:
            if build.phase is Phase.FILLING:
                await self._settle(family, build)
                self._tenure.ensure()
                await change(self._documents, family.name, lambda now, build=build: joined(now, build.version))  # type: ignore[misc]
        if builds:
            await self._confirmed([family for family, _ in builds], (WORKER,), "joining")

    async def _settle(self, family: Family, build: Build) -> None:
        if family.settle is None:
            return
        cutoff = cutoff_of(family, build.began)
        firsts = {n: await self._log.read(n, 0, 1) for n in range(self._log.identity.shards)}
        cut = {n for n, first in firsts.items() if first and first[0].recorded_at < cutoff}
        live = self._live(family)
        await family.settle(live, self._view(family, build.version), cut)

    async def _close(self, family: Family, build: Build) -> Outcome:
        """Compares and switches."""
        live, filled = self._live(family), self._view(family, build.version)
        verdict: Verdict | None = None
        if live is not None:
            await self._level(family, [live, filled])
            if not self._differ:
                verdict = await self._compare(family, live, filled)
                if verdict.differences:
                    # Not those of another's work that went on meanwhile.
                    self._tenure.ensure()
                    require_building((await read_versions(self._documents)).of(family.name), build.version)
                    return Outcome(family.name, build.version, False, verdict)
            # What was read of the live version up to here must be in the other one.
            self._watcher.stage(f"waiting for the workers to fold {family.name}", 0)
            await self._passed(family, filled, await live.load_checkpoints(family.name))
        self._tenure.ensure()
        await change(self._documents, family.name, lambda now: switched(now, build.version))
        await self._documents.refresh()
        _log.info("switched", family=family.name, version=build.version)
        return Outcome(family.name, build.version, True, verdict)

    async def _compare(self, family: Family, live: Documents, filled: Documents) -> Verdict:
        self._watcher.stage(f"comparing {family.name}", 0)
        comparison = Comparison(
            family,
            live,
            filled,
            lambda: self._level(family, [live, filled]),
            horizon=horizon_of(family, self._clock()),
            tick=self._watcher.advance,
        )
        return await comparison.run()

    async def _level(self, family: Family, stores: Sequence[Documents]) -> None:
        """Returns when all have folded what is in the log now, or stand still."""
        heads = {shard: await self._log.head(shard) for shard in range(self._log.identity.shards)}
        for store in stores:
            await self._passed(family, store, heads, patient=False)

    async def _passed(self, family: Family, store: Documents, ends: Mapping[int, int], *, patient: bool = True) -> None:
        """Returns when the store has folded up to ``ends``; unless ``patient``, also when it has stood still for a while."""
        seen: dict[int, int] = {}
        moved_at = time.monotonic()
        while True:
            self._tenure.ensure()
            saved = await persist(lambda: store.load_checkpoints(family.name), LEASE)
            if all(saved.get(shard, 0) >= end for shard, end in ends.items()):
                return
            if saved != seen:
                seen, moved_at = dict(saved), time.monotonic()
            if not patient and time.monotonic() - moved_at > self._still:
                return
            await asyncio.sleep(self._period)

    async def _finish(self, families: Sequence[Family]) -> None:
        """Waits for the processes that read old versions, then for the workers that fold them, and drops them."""
        standings = await read_versions(self._documents)
        retiring = [family for family in families if standings.of(family.name).retiring is not None]
        if retiring:
            await self._confirmed(retiring, (READER, WORKER), "confirming")
            for family in retiring:
                await change(self._documents, family.name, retired)
        standings = await read_versions(self._documents)
        dropping = [family for family in families if standings.of(family.name).dropping]
        if dropping:
            await self._confirmed(dropping, (READER, WORKER), "letting go")
            await asyncio.sleep(self._grace)
            for family in dropping:
                await self._drop(family, standings.of(family.name).dropping)

    async def _drop(self, family: Family, versions: Iterable[int]) -> None:
        for version in versions:
            self._tenure.ensure()
            self._watcher.stage(f"dropping {family.name}", 0)
            old = self._view(family, version)
            await persist(lambda old=old: _clear(old, family), LEASE)  # type: ignore[misc]
            await change(self._documents, family.name, lambda now, version=version: dropped(now, version))  # type: ignore[misc]
            _log.info("dropped", family=family.name, version=version)

    async def _confirmed(self, families: Iterable[Family], kinds: Sequence[str], stage: str) -> None:
        """Returns when all living processes go by the last change of these families."""
        standings = await read_versions(self._documents)
        epoch = max(standings.of(family.name).since for family in families)
        total = -1
        while True:
            self._tenure.ensure()
            waiting = await persist(lambda: unconfirmed(self._documents, epoch, kinds), LEASE)
            if total < 0:
                total = len(waiting)
                self._watcher.stage(stage, total)
            if not waiting:
                return
            await asyncio.sleep(self._period)

    def _view(self, family: Family, version: int) -> Documents:
        return self._documents.pinned({family.name: version})

    def _live(self, family: Family) -> Documents | None:
        version = self._documents.version(family.name)
        return self._view(family, version) if version else None


async def _clear(old: Documents, family: Family) -> None:
    await drop_dead_letters(old, family.name)
    await old.drop(family.collections)

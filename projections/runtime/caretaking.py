"""What the workers see to by themselves: families that are new, families whose folds have changed, and versions that were left by a switch."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from domain.errors import LogError
from domain.log.port import EventLog
from projections.documents.port import Documents, FencedError
from projections.folding import Family
from projections.runtime.backoff import persist
from projections.runtime.faults import describe
from projections.runtime.leases import TTL, Tenure, claim
from projections.runtime.rebuilding import LEASE, UNDER_WAY, Outcome, Rebuild
from projections.runtime.versions import (
    Asker,
    RebuildError,
    Standing,
    Versions,
    aborted,
    change,
    read_versions,
)

PERIOD: Final = 1.0
REST: Final = 60.0
"""Seconds after which a family that could not be filled is tried again."""

_log = structlog.get_logger("tidings.runtime")


class Caretaker:
    """One in each worker; the one that holds the lease works."""

    def __init__(
        self,
        log: EventLog,
        documents: Documents,
        families: Sequence[Family],
        holder: str,
        *,
        ttl: float = TTL,
        period: float = PERIOD,
        grace: float = UNDER_WAY,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._log = log
        self._documents = documents
        self._families = families
        self._holder = holder
        self._ttl = ttl
        self._period = period
        self._grace = grace
        self._monotonic = monotonic
        self._clock = clock
        self._rests: dict[str, float] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            await persist(self._look, "rebuilds", longest=self._period)
            await asyncio.sleep(self._period)

    async def _look(self) -> None:
        if not self._wanted(await read_versions(self._documents)):
            return
        tenure = await claim(self._documents, LEASE, f"{self._holder}-rebuilds", self._ttl, self._monotonic)
        if tenure is None:
            return
        keep = asyncio.create_task(tenure.keep())
        try:
            await self._work(tenure)
        except FencedError as error:
            _log.warning("a rebuild is left to others", error=describe(error))
        finally:
            keep.cancel()
            await asyncio.gather(keep, return_exceptions=True)
            await tenure.release()

    def _wanted(self, versions: Versions) -> Sequence[Family]:
        now = self._monotonic()
        return [
            family
            for family in self._families
            if self._rests.get(family.name, now) <= now and has_work(family, versions.of(family.name))
        ]

    async def _work(self, tenure: Tenure) -> None:
        versions = await read_versions(self._documents)
        wanted = self._wanted(versions)
        for family in wanted:
            build = versions.of(family.name).build
            if build is not None and build.fold < family.version:
                # The folds have changed again.
                await change(self._documents, family.name, aborted)
        try:
            await self._rebuild(wanted, tenure).finish()
            unfilled = [family for family in wanted if _to_fill(family, versions.of(family.name))]
            if unfilled:
                for outcome in await self._rebuild(unfilled, tenure).run():
                    self._tell(outcome)
        except (LogError, RebuildError) as error:
            self._rest([family.name for family in wanted], str(error))

    def _rebuild(self, families: Sequence[Family], tenure: Tenure) -> Rebuild:
        return Rebuild(
            self._log,
            self._documents,
            families,
            tenure,
            by=Asker.CODE,
            differ=True,
            clock=self._clock,
            period=min(self._period, 0.25),
            grace=self._grace,
        )

    def _tell(self, outcome: Outcome) -> None:
        if outcome.halted is not None:
            self._rest([outcome.family], str(outcome.halted))

    def _rest(self, families: Sequence[str], reason: str) -> None:
        _log.error("cannot be filled", families=families, reason=reason)
        for name in families:
            self._rests[name] = self._monotonic() + REST


def has_work(family: Family, standing: Standing) -> bool:
    """Whether there is something to see to without being asked."""
    if standing.build is not None:
        # A family that nobody can read yet is filled whoever began it.
        return (standing.build.by is Asker.CODE or standing.live == 0) and standing.build.fold <= family.version
    return not standing.quiet or _to_fill(family, standing)


def _to_fill(family: Family, standing: Standing) -> bool:
    if standing.build is not None:
        return True
    return standing.live == 0 or standing.fold < family.version

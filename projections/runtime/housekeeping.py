"""Housekeeping: jobs that are run every so often by one process at a time, whichever holds their lease."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from projections.documents.port import Documents
from projections.runtime import metrics
from projections.runtime.backoff import persist
from projections.runtime.faults import describe
from projections.runtime.leases import TTL, Tenure, claim

LEASE: Final = "housekeeping"

_log = structlog.get_logger("tidings.runtime")


@dataclass(frozen=True, slots=True)
class Sweeper:
    """``run`` does one bounded piece of work and may be cut anywhere or run twice; ``period`` in seconds. What it raises is logged, and it is
    run again after its period."""

    name: str
    period: float
    run: Callable[[], Awaitable[object]]


class Housekeeping:
    def __init__(
        self,
        documents: Documents,
        sweepers: Sequence[Sweeper],
        holder: str,
        *,
        ttl: float = TTL,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._documents = documents
        self._sweepers = sweepers
        self._holder = holder
        self._ttl = ttl
        self._monotonic = monotonic

    async def run(self) -> None:
        """For ever; the jobs stop when the lease is lost."""
        while self._sweepers:
            tenure = await persist(self._claim, LEASE)
            if tenure is not None:
                await self._serve(tenure)
            await asyncio.sleep(self._ttl / 2)

    async def _claim(self) -> Tenure | None:
        return await claim(self._documents, LEASE, self._holder, self._ttl, self._monotonic)

    async def _serve(self, tenure: Tenure) -> None:
        jobs = [asyncio.create_task(self._repeat(sweeper)) for sweeper in self._sweepers]
        try:
            await tenure.keep()
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            await tenure.release()

    async def _repeat(self, sweeper: Sweeper) -> None:
        while True:
            try:
                await sweeper.run()
            except Exception as error:  # noqa: BLE001 -- one failed run must not end the job
                metrics.SWEEPS.labels(sweeper=sweeper.name, outcome="failed").inc()
                _log.warning("sweeper failed", sweeper=sweeper.name, error=describe(error))
            else:
                metrics.SWEEPS.labels(sweeper=sweeper.name, outcome="done").inc()
            await asyncio.sleep(sweeper.period)

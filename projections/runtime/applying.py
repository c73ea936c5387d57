"""Carries a family's batches into the documents: states and rows in bounded steps, then what was deferred; a fault is pinned to its one event."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from domain.envelope import Recorded
from domain.errors import UnavailableError
from projections.documents.port import Documents
from projections.documents.rules import steps
from projections.folding import Deferred, Family
from projections.runtime.backoff import passing
from projections.runtime.batches import Batch, fold_batch
from projections.runtime.deadletters import Letter, Parking, Stage
from projections.runtime.faults import describe

OPERATIONS: Final = 2000
"""What ends a batch."""
TOGETHER: Final = 64
"""Events whose deferred work is done at once: what it reads is read for all of them in one find."""
TRIES: Final = 3
"""Before what a store refuses is held to be the event's fault."""


def event_fault(error: BaseException) -> bool:
    """Whether an error may be the event's own: not where the store is out of reach, the lease lost, the family halted, or memory short."""
    return passing(error) and not isinstance(error, UnavailableError | MemoryError)


async def run_deferred(documents: Documents, some: Sequence[tuple[Recorded, Deferred]]) -> None:
    """Does what events have deferred, one kind of work beside the other. All of it has ended when this returns or raises."""
    asked: defaultdict[Deferred, list[Recorded]] = defaultdict(list)
    for recorded, deferred in some:
        asked[deferred].append(recorded)
    # In any order, as other shards' run among them: each reads what is durable and writes what is idempotent.
    runs = (deferred.run(documents, events) for deferred, events in asked.items())
    for end in await asyncio.gather(*runs, return_exceptions=True):
        if isinstance(end, BaseException):
            raise end


class Slots:
    """What runs at once in one process. Slow work (fan-outs, commands) has slots by name, so that it takes none from anyone else."""

    def __init__(self, quick: int = 16, slow: int = 4) -> None:
        self.quick = asyncio.Semaphore(quick)
        self._slow: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(slow))

    def slow(self, name: str) -> asyncio.Semaphore:
        return self._slow[name]


class Folding:
    """A family as a runner's consumer. ``ensure`` raises FencedError when this process must not write any more."""

    def __init__(
        self,
        family: Family,
        documents: Documents,
        slots: Slots,
        ensure: Callable[[], None],
        *,
        operations: int = OPERATIONS,
        deferred: bool = True,
    ) -> None:
        self.name = family.name
        self.follows = family.follows
        self._family = family
        self._documents = documents
        self._slots = slots
        self._ensure = ensure
        self._operations = operations
        self._deferred = deferred

    async def consume(self, events: Sequence[Recorded], parking: Parking) -> int:
        """Takes events (one or more) and answers with the sequence up to which all is durable."""
        async with self._slots.quick:
            # Inside, so that no more batches than these wait in memory, and no more are folded between two looks at anything else.
            batch = self._fold(events, parking)
            fault = await self._faulty(self._apply(batch, parking))
        if not fault:
            fault = await self._faulty(self._run_deferred(batch))
        if fault:
            for recorded in events[: batch.events]:
                await self._take_alone(recorded, parking)
        return batch.upto

    async def _faulty(self, work: Awaitable[None]) -> bool:
        """Whether some event made it fail; what is nobody's fault is raised."""
        try:
            await work
        except Exception as error:
            if not event_fault(error):
                raise
            return True
        return False

    def _fold(self, events: Sequence[Recorded], parking: Parking) -> Batch:
        family = parking.spared(self._family)
        return fold_batch(family, events, parked=parking.holds, operations=self._operations)

    async def _write_state(self, batch: Batch, parking: Parking) -> None:
        async with self._slots.quick:
            await self._apply(batch, parking)

    async def _apply(self, batch: Batch, parking: Parking) -> None:
        """Collection by collection in the order in which the folds named them, states before rows."""
        self._ensure()
        await parking.park(batch.letters)
        for collection, docs in batch.docs.items():
            for step in steps(docs):
                self._ensure()
                await self._documents.apply(collection, step)
        for collection, rows in batch.rows.items():
            for some in steps(rows):
                self._ensure()
                await self._documents.put(collection, some)

    async def _run_deferred(self, batch: Batch) -> None:
        deferred = [one for one in batch.deferred if self._deferred or one[1].exact]
        if not deferred:
            return
        async with self._slots.slow(self.name):
            for some in steps(deferred, TOGETHER):
                self._ensure()
                await run_deferred(self._documents, some)

    async def _take_alone(self, recorded: Recorded, parking: Parking) -> None:
        """Some event of a batch made the store refuse: each goes alone, and the one that is refused again is parked."""
        batch = self._fold([recorded], parking)
        stage = Stage.STORE
        retrying = AsyncRetrying(
            retry=retry_if_exception(event_fault),
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(multiplier=0.05, max=1),
            reraise=True,
        )
        try:
            await retrying(self._write_state, batch, parking)
            stage = Stage.DEFERRED
            await retrying(self._run_deferred, batch)
        except Exception as error:
            if not event_fault(error):
                raise
            self._ensure()
            await parking.park([Letter(recorded, stage, describe(error))])

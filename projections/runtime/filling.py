"""Filling: several families folded from the log at once into versions that nobody reads yet, in big batches, each from its own checkpoints.

Deferred work that writes caches is left out: those are rebuilt by their own builders. A fill stops at what a running family would park.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from domain.envelope import Recorded
from domain.errors import UnavailableError
from domain.log.port import EventLog
from projections.documents.port import Documents, Lease
from projections.folding import Family, Fold, Operation
from projections.runtime.applying import Folding, Slots
from projections.runtime.backoff import persist
from projections.runtime.deadletters import Letter, Parking, Stage
from projections.runtime.faults import HaltedError
from projections.runtime.lag import events_between
from projections.runtime.tail import read_run

READ: Final = 2_000
"""Events of one read, and of a batch at most."""
OPERATIONS: Final = 100_000
"""No batch is cut before its events are through."""
SHARDS: Final = 4
"""Shards that are filled side by side: one folds while another waits for a store."""

Upto = Mapping[str, Mapping[int, int]]
"""{family: {shard: sequence}}."""

_log = structlog.get_logger("tidings.runtime")


class Pace:
    """At most so many events a second, 0 for no bound, counted over all that share it."""

    def __init__(self, events_per_second: float = 0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate = events_per_second
        self._monotonic = monotonic
        self._free_at = monotonic()

    async def take(self, events: int) -> None:
        """Returns when there was time for these events."""
        if self._rate <= 0:
            return
        now = self._monotonic()
        self._free_at = max(self._free_at, now) + events / self._rate
        await asyncio.sleep(self._free_at - now)


class Strict(Parking):
    """A fill stops at what a running family would park, unless an operator has decided to pass it over."""

    async def park(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            raise refused(self.family, letter)


def refused(family: str, letter: Letter) -> HaltedError:
    at = letter.recorded
    return HaltedError(
        f"{family} cannot take {at.event.name} at position {at.position} of shard {at.shard} "
        f"(sequence {at.sequence}): {letter.error}"
    )


class AsParked(Parking):
    """A replay of a family as it stands: without what it has parked. ``documents`` are the live ones, and nothing is written to them."""

    async def load(self) -> None:
        await self.load_parked()
        await self.load_skips()

    async def park(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            if letter.stage is not Stage.PARKED:
                raise refused(self.family, letter)


@dataclass(frozen=True, slots=True)
class Target:
    """One family and the documents that it is folded into. ``lease`` fences the checkpoints. Nothing recorded before ``cutoff`` (microseconds) is
    folded. ``parking`` of a shard; None: Strict."""

    family: Family
    documents: Documents
    lease: Lease | None = None
    cutoff: int = 0
    parking: Callable[[int], Parking] | None = None


class Filling:
    """``ensure`` raises FencedError when this process must not write any more. ``tick`` is told of events that were folded, counted once for each
    family."""

    def __init__(
        self,
        log: EventLog,
        targets: Sequence[Target],
        *,
        pace: Pace | None = None,
        ensure: Callable[[], None] = lambda: None,
        tick: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.log = log
        self.targets = targets
        self.pace = pace or Pace()
        self.ensure = ensure
        self.tick = tick
        self.slots = Slots()
        self.failed: dict[str, HaltedError] = {}
        """Families that cannot be filled any further, and why."""

    async def run(self, upto: Upto) -> None:
        """Up to and including ``upto``, or to where a family fails. Waits for stores that are away. Raises LogError at an event that cannot be read,
        FencedError when it must not write any more. May be cut anywhere and run again."""
        gate = asyncio.Semaphore(SHARDS)

        async def one(shard: int) -> None:
            async with gate:
                await _ShardFilling(self, shard).run({name: ends.get(shard, 0) for name, ends in upto.items()})

        await _together(one(shard) for shard in range(self.log.identity.shards))


class _ShardFilling:
    def __init__(self, filling: Filling, shard: int) -> None:
        self._filling = filling
        self._log = filling.log
        self._shard = shard

    async def run(self, ends: Mapping[str, int]) -> None:
        lanes = [await self._lane(target, ends[target.family.name]) for target in self._filling.targets]
        read: asyncio.Task[Sequence[Recorded]] | None = None
        try:
            while open_ := [lane for lane in lanes if lane.at < lane.end and not self._failed(lane)]:
                after, last = min(lane.at for lane in open_), max(lane.end for lane in open_)
                events = await (read or self._read(after))
                # The next run is read while this one is folded.
                read = asyncio.create_task(self._read(events[-1].sequence)) if events[-1].sequence < last else None
                await self._filling.pace.take(len(events))
                await _together(self._fold(lane, events) for lane in open_)
        finally:
            if read is not None:
                read.cancel()
                await asyncio.gather(read, return_exceptions=True)

    def _failed(self, lane: "_Lane") -> bool:
        return lane.target.family.name in self._filling.failed

    async def _lane(self, target: Target, end: int) -> "_Lane":
        filling, family = self._filling, target.family
        at = (await target.documents.load_checkpoints(family.name)).get(self._shard, 0)
        if target.parking is not None:
            parking = target.parking(self._shard)
            await parking.load()
        else:
            parking = Strict(target.documents, family.name, self._shard)
            await parking.load_skips()
        folding = Folding(
            recent(family, target.cutoff),
            target.documents,
            filling.slots,
            filling.ensure,
            operations=OPERATIONS,
            deferred=False,
        )
        return _Lane(target, folding, parking, at, end)

    async def _read(self, after: int) -> Sequence[Recorded]:
        async def read() -> Sequence[Recorded]:
            events = await read_run(self._log, self._shard, after, READ)
            if not events:
                raise UnavailableError(f"shard {self._shard} has events after {after} that cannot be read yet")
            return events

        return await persist(read, f"read {self._shard}")

    async def _fold(self, lane: "_Lane", events: Sequence[Recorded]) -> None:
        wanted = [recorded for recorded in events if lane.at < recorded.sequence <= lane.end]
        if not wanted:
            return
        name = lane.target.family.name
        try:
            await persist(lambda: lane.take(wanted, self._shard), f"fill {name} {self._shard}")
        except HaltedError as error:
            _log.error("filling stopped", family=name, shard=self._shard, after=lane.at, reason=str(error))
            self._filling.failed[name] = error
            return
        self._filling.tick(len(wanted))


@dataclass(slots=True)
class _Lane:
    """One family in one shard: folded up to ``at``, to be folded up to ``end``."""

    target: Target
    folding: Folding
    parking: Parking
    at: int
    end: int

    async def take(self, events: Sequence[Recorded], shard: int) -> None:
        """All of the events, which lie above ``at``, or those of them that are left."""
        while left := [recorded for recorded in events if recorded.sequence > self.at]:
            upto = await self.folding.consume(left, self.parking)
            await self.target.documents.save_checkpoint(self.target.family.name, shard, upto, self.target.lease)
            self.at = upto


async def _together(works: Iterable[Coroutine[object, object, None]]) -> None:
    """All of them, or the first error, after which the others have ended too."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors


def recent(family: Family, cutoff: int) -> Family:
    """The family with folds that make nothing of what was recorded before ``cutoff``."""
    if not cutoff:
        return family

    def late(fold: Fold) -> Fold:
        def folded(recorded: Recorded) -> Sequence[Operation]:
            return () if recorded.recorded_at < cutoff else tuple(fold(recorded))

        return folded

    return replace(family, folds={kind: late(fold) for kind, fold in family.folds.items()})


def cutoff_of(family: Family, now: int) -> int:
    """Before which an event would leave no trace at ``now`` (microseconds); 0: none."""
    return 0 if family.kept is None else now - family.kept


def distance(saved: Upto, ends: Upto) -> int:
    """Events between two sets of checkpoints, over all families and shards."""
    return sum(
        events_between(saved.get(name, {}).get(shard, 0), end)
        for name, own in ends.items()
        for shard, end in own.items()
    )

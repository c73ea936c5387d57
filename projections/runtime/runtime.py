"""The runtime: claims shards and carries every family and policy through them. The embedded server and ``tidings work`` run this same class."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from domain.envelope import split_sequence
from domain.log.port import EventLog
from domain.policies import Policy
from projections.documents.port import Documents
from projections.folding import Family
from projections.runtime import metrics
from projections.runtime.applying import OPERATIONS, Folding, Slots
from projections.runtime.backoff import persist
from projections.runtime.caretaking import Caretaker
from projections.runtime.faults import describe
from projections.runtime.housekeeping import Housekeeping, Sweeper
from projections.runtime.identity import require_same_log
from projections.runtime.lag import events_between
from projections.runtime.lanes import followed, lanes, outdated
from projections.runtime.leases import RENEWALS, TTL, Tenure, claim
from projections.runtime.processes import WORKER, Presence
from projections.runtime.progress import Board, Progress, State
from projections.runtime.reactors import Cascade, Perform, Reacting, reactor_name
from projections.runtime.rebuilding import UNDER_WAY
from projections.runtime.runner import EVENTS, Consumer, Runner
from projections.runtime.shards import GRACE, Ending, ShardService
from projections.runtime.sharing import PERIOD, Roster, Share
from projections.runtime.tail import IDLE, WINDOW, Tail
from projections.runtime.versions import Versions, adopt, read_versions

HALT_REST: Final = 10
"""Lifetimes of a lease in which a shard that has halted here is left to others, which may be able to read it, before it is tried again."""

_log = structlog.get_logger("tidings.runtime")


@dataclass(frozen=True, slots=True)
class Tuning:
    """``ttl``, ``idle``, ``measure`` (between two looks of the metrics) and ``watch`` (between two looks at the versions) in seconds,
    ``grace`` those that a version is kept when all have let go of it; ``quick`` batches write at once in the process, ``slow`` fan-outs or commands in each family or policy."""

    ttl: float = TTL
    events: int = EVENTS
    operations: int = OPERATIONS
    window: int = WINDOW
    idle: float = IDLE
    quick: int = 16
    slow: int = 4
    measure: float = 5.0
    watch: float = 1.0
    grace: float = UNDER_WAY


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """``looked`` says per shard held here how many seconds ago the log last answered its tail; ``progress`` is by (family, shard)."""

    holder: str
    looked: Mapping[int, float] = field(default_factory=dict)
    progress: Mapping[tuple[str, int], Progress] = field(default_factory=dict)


class Runtime:
    """``clock`` gives microseconds since the epoch (for lag and fairness alone), ``monotonic`` seconds (for leases). ``holder`` names this process
    among workers, and must be its own. ``saved`` is told of each family whose checkpoint has moved here."""

    def __init__(
        self,
        log: EventLog,
        documents: Documents,
        families: Sequence[Family],
        *,
        policies: Sequence[Policy | Cascade] = (),
        perform: Perform | None = None,
        sweepers: Sequence[Sweeper] = (),
        holder: str | None = None,
        tuning: Tuning = Tuning(),
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
        saved: Callable[[str], None] = lambda _: None,
    ) -> None:
        names = [family.name for family in families]
        missing = {name for family in families for name in family.follows} - set(names)
        if missing:
            raise ValueError(f"{', '.join(sorted(missing))} must run where what follows them runs")
        if not names or len(set(names)) != len(names):
            raise ValueError("one or more families, each named once")
        self.holder = holder or f"worker-{secrets.token_hex(8)}"
        self.names = (*names, *map(reactor_name, policies))
        self._log = log
        self._documents = documents
        self._families = tuple(families)
        self._reactors = _with_perform(policies, perform)
        self._tuning = tuning
        self._monotonic = monotonic
        self._clock = clock
        self._board = Board(monotonic, saved)
        self._slots = Slots(tuning.quick, tuning.slow)
        self._roster = Roster(documents, self.holder, tuning.ttl, clock, monotonic)
        self._share = Share(log.identity.shards, self.holder, tuning.ttl, monotonic())
        self._housekeeping = Housekeeping(documents, sweepers, self.holder, ttl=tuning.ttl, monotonic=monotonic)
        self._presence = Presence(documents, WORKER, monotonic=monotonic)
        self._versions = Versions(epoch=-1)
        self._caretaker = Caretaker(
            log,
            documents,
            families,
            self.holder,
            ttl=tuning.ttl,
            period=tuning.watch,
            grace=tuning.grace,
            monotonic=monotonic,
            clock=clock,
        )
        self._services: dict[int, tuple[ShardService, asyncio.Task[None]]] = {}
        self._outdated: Sequence[str] = ()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to work in the background. Raises CheckpointError where documents and log do not belong together, UnavailableError where
        one of them does not answer now; once started, it outlives outages."""
        await require_same_log(self._log, self._documents, self.names)
        _log.info("runtime started", holder=self.holder, consumers=self.names, shards=self._log.identity.shards)
        await adopt(self._log, self._documents, self._families)
        await self._look()
        works = (
            self._keep_sharing(),
            self._keep_measuring(),
            self._keep_watching(),
            self._housekeeping.run(),
            self._caretaker.run(),
        )
        for work in works:
            self._tasks.append(asyncio.create_task(work))

    async def stop(self) -> None:
        """Ends within two seconds or so: batches at work have one to end. Gives the leases back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        # First, so that the others count without this one when its shards are free.
        await self._leave(self._roster.leave)
        await self._stop_services()
        await self._leave(self._presence.leave)
        _log.info("runtime stopped", holder=self.holder)

    async def _leave(self, leave: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(GRACE):
                await leave()
        except Exception as error:  # noqa: BLE001 -- its row grows old by itself
            _log.info("left without a word", holder=self.holder, error=describe(error))

    def status(self) -> RuntimeStatus:
        """What this process knows without asking a store."""
        now = self._monotonic()
        looked = {shard: now - service.tail.looked_at for shard, (service, _) in self._services.items()}
        progress = {key: replace(progress) for key, progress in self._board.progress.items()}
        return RuntimeStatus(self.holder, looked, progress)

    async def _stop_services(self) -> None:
        tasks = [task for _, task in self._services.values()]
        for service, _ in self._services.values():
            service.stop()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _keep_sharing(self) -> None:
        while True:
            period = min(PERIOD, self._tuning.ttl / RENEWALS)
            await persist(self._share_out, "sharing", longest=period)
            await asyncio.sleep(period)

    async def _share_out(self) -> None:
        if self._outdated:
            for service, _ in self._services.values():
                service.stop()
            return
        workers = await self._roster.sign()
        now = self._monotonic()
        for shard in self._share.excess(self._services, workers, now):
            _log.info("shard let go", holder=self.holder, shard=shard)
            self._share.let_go(shard, now)
            self._services[shard][0].stop()
        shards, room = self._share.wanted(self._services, workers, now)
        for shard in shards:
            if room <= 0:
                return
            tenure = await claim(self._documents, f"shard-{shard}", self.holder, self._tuning.ttl, self._monotonic)
            if tenure is not None:
                self._serve(shard, tenure)
                room -= 1

    def _serve(self, shard: int, tenure: Tenure) -> None:
        _log.info("shard taken", holder=self.holder, shard=shard, fence=tenure.lease.fence)
        self._share.took(shard, self._monotonic())
        tail = Tail(self._log, shard, window=self._tuning.window, idle=self._tuning.idle, monotonic=self._monotonic)
        service = ShardService(tail, tenure, self._board, self._runners(tail, tenure))
        self._services[shard] = service, asyncio.create_task(self._see_through(shard, service))
        metrics.LEASES.set(len(self._services))

    async def _see_through(self, shard: int, service: ShardService) -> None:
        ending = Ending.LOST
        try:
            ending = await service.run()
        except Exception as error:  # noqa: BLE001 -- the shard is claimed anew
            _log.error("shard broke off", shard=shard, error=describe(error))
        finally:
            del self._services[shard]
            metrics.LEASES.set(len(self._services))
        if ending is Ending.HALTED:
            self._share.rest(shard, HALT_REST * self._tuning.ttl, self._monotonic())
        _log.info("shard left", holder=self.holder, shard=shard, ending=ending.value)

    def _runners(self, tail: Tail, tenure: Tenure) -> Sequence[Runner]:
        def runner(consumer: Consumer, documents: Documents, label: str) -> Runner:
            follows = followed(self._versions, consumer.follows)
            events = self._tuning.events
            return Runner(consumer, tail, documents, tenure, self._board, events=events, label=label, follows=follows)

        ensure, operations = tenure.ensure, self._tuning.operations
        runners = []
        for lane in lanes(self._versions, self._families):
            documents = self._documents.pinned({lane.family.name: lane.version})
            folding = Folding(lane.family, documents, self._slots, ensure, operations=operations)
            runners.append(runner(folding, documents, lane.label))
        for policy, perform in self._reactors:
            reacting = Reacting(policy, perform, self._log, self._documents, self._slots, ensure)
            runners.append(runner(reacting, self._documents, reacting.name))
        return runners

    async def _keep_watching(self) -> None:
        while True:
            await asyncio.sleep(self._tuning.watch)
            await persist(self._look, "versions", longest=self._tuning.watch)

    async def _look(self) -> None:
        """Folds the versions that there are now, and says so once it folds no others."""
        unbroken = await self._presence.renew()
        versions = await read_versions(self._documents)
        if versions.epoch != self._versions.epoch:
            await self._documents.refresh()
            self._versions = versions
            self._outdated = outdated(versions, self._families)
            if self._outdated:
                _log.error("a newer program folds these documents: update this one", families=self._outdated)
            services = [service for service, _ in self._services.values()]
            await asyncio.gather(
                *(service.turn_to(self._runners(service.tail, service.tenure)) for service in services)
            )
        elif unbroken:
            return
        await self._presence.confirm(versions.epoch)

    async def _keep_measuring(self) -> None:
        while True:
            for (name, shard), progress in self._board.progress.items():
                if shard in self._services:
                    self._measure(name, shard, progress, self._services[shard][0].tail)
            await asyncio.sleep(self._tuning.measure)

    def _measure(self, name: str, shard: int, progress: Progress, tail: Tail) -> None:
        since = 0
        if tail.seen > progress.checkpoint:
            since = tail.recorded_after(progress.checkpoint) or progress.next_at
        metrics.CHECKPOINT.labels(name, shard).set(split_sequence(progress.checkpoint)[1])
        metrics.LAG_EVENTS.labels(name, shard).set(events_between(progress.checkpoint, tail.seen))
        metrics.LAG_SECONDS.labels(name, shard).set(max(0, self._clock() - since) / 1e6 if since else 0)
        metrics.HALTED.labels(name, shard).set(progress.state is State.HALTED)
        metrics.DEGRADED.labels(name, shard).set(progress.parked)


def _with_perform(
    policies: Sequence[Policy | Cascade], perform: Perform | None
) -> Sequence[tuple[Policy | Cascade, Perform]]:
    if perform is None:
        if policies:
            raise ValueError("policies need something that performs their commands")
        return ()
    return [(policy, perform) for policy in policies]

"""A run: processes that open the real log over the simulated cluster, clients, readers, faults, and the judge at the end."""

import asyncio
import contextlib
import gc
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
import tenacity

from domain.envelope import Recorded, split_sequence
from domain.errors import LogError, OutcomeUnknownError, OverloadedError, Refusal, UnavailableError
from domain.log.cassandra import (
    CassandraLog,
    driver,
    follower,
    keeper,
    loading,
    migrate_cassandra,
    open_cassandra_log,
    shard,
)
from domain.log.cassandra import clock as clock_guard
from domain.log.cassandra import index as index_module
from tests.contract.log_domain import Aggregates, Note, Noted, Seat, Tally
from tests.simulation.log.cluster import EPOCH, Cluster
from tests.simulation.log.faults import Faults
from tests.simulation.log.history import Asked, History, Seen, Tail
from tests.simulation.log.loop import PROCESS, Process, StuckError, VirtualLoop
from tests.simulation.log.oracle import Oracle
from tests.simulation.log.plan import Plan, plan_of
from tests.simulation.log.session import Network, connecting
from tests.simulation.log.workload import Op, Workload, execution

KEYSPACE: Final = "sim"
SEGMENT_SIZE: Final = 64
MASTER_KEY: Final = bytes(range(32))
FINGERPRINT: Final = "fingerprint"
HEAL_SECONDS: Final = 40.0
"""Virtual: once faults have ended everything must have been answered, indexed and read within this."""

_TUNED: Final = (
    # What takes long or many rows in earnest happens here within seconds and a few hundred rows.
    (shard, "RETAINED_ROWS", 12),
    (shard, "PAGE", 24),
    (shard, "_REBASE_PAGES", 1),
    (shard, "TAIL_ROWS", 300),
    (loading, "EVERY", 5),
    (follower, "BUSY_SECONDS", 0.02),
    (follower, "IDLE_SECONDS", 0.5),
    (keeper, "STEP_SECONDS", 0.2),
    (keeper, "IDLE_SECONDS", 1.0),
    (keeper, "MEND_AFTER", 600_000),
    (index_module, "OWNER_SECONDS", 1),
    (clock_guard, "CHECK_SECONDS", 0.7),
    (clock_guard, "RECHECK_SECONDS", 0.3),
)
# Without loads from the index: see plan_of.
_TUNED_TO_BE_SET_BACK: Final = ((shard, "RETAINED_ROWS", 100_000), (shard, "_REBASE_PAGES", 100_000))


@dataclass
class Report:
    """What came of a run; ``breaches`` is empty where all held."""

    seed: int
    breaches: list[str]
    counts: Counter[str]
    hash: str
    seconds: float
    steps: int
    answers: Counter[str] = field(default_factory=Counter)

    @property
    def replay(self) -> str:
        return f"python -m tests.simulation.log {self.seed} --trace"


def run(
    seed: int, *, trace: Callable[[str], None] | None = None, plan: Plan | None = None, limit: int = 1_000_000
) -> Report:
    """One run, from beginning to end, in no time; of at most ``limit`` steps."""
    plan = plan if plan is not None else plan_of(seed)
    history = History(trace)
    loop = VirtualLoop(limit)
    world = World(loop, plan, history)
    with _hermetic(loop, world, seed):
        try:
            loop.run_until_complete(world.main())
            breaches = world.judge()
        except StuckError as error:
            breaches = [f"the run does not end: {error}"]
        finally:
            report_hash, seconds, steps = history.hash, loop.time(), loop.steps
            loop.dispose()
    counts = world.faults.counts + history.reached + world.outcomes()
    answers = Counter(asked.answer or "never" for asked in history.asked)
    return Report(seed, breaches, counts, report_hash, seconds, steps, answers)


@contextlib.contextmanager
def _hermetic(loop: VirtualLoop, world: "World", seed: int) -> Iterator[None]:
    """Time, chance, the driver and the log's own words are the simulation's for so long."""
    with contextlib.ExitStack() as stack:
        patched: list[tuple[Any, str, object]] = [
            *_TUNED,
            *(_TUNED_TO_BE_SET_BACK if world.plan.sets_back else ()),
            (time, "monotonic", loop.time),
            # Its own: drivers that other tests have left running draw from the process's, too.
            (tenacity.wait, "random", random.Random(seed)),
            (driver, "_connect", connecting(world.networks)),
        ]
        for place, name, value in patched:
            stack.callback(setattr, place, name, getattr(place, name))
            setattr(place, name, value)
        config = structlog.get_config()
        stack.callback(lambda: structlog.configure(**config))
        structlog.configure(processors=[world.logged], cache_logger_on_first_use=False)
        if gc.isenabled():
            stack.callback(gc.enable)
            gc.disable()
        yield


class World:
    def __init__(self, loop: VirtualLoop, plan: Plan, history: History) -> None:
        self.loop = loop
        self.plan = plan
        self.history = history
        self.source = random.Random(f"world {plan.seed}")
        self.faults = Faults(random.Random(f"faults {plan.seed}"), plan.rates)
        self.cluster = Cluster(loop, self.faults, history, replicas=plan.replicas, latency=plan.latency)
        self.networks: dict[Process, Network] = {}
        self.writers: list[Writer] = []
        self.workload = Workload(random.Random(f"workload {plan.seed}"), plan.shards, large=plan.large)
        self.over = False
        self._left = plan.commands
        self._oracle = Oracle(
            self.cluster,
            history,
            KEYSPACE,
            segment_size=SEGMENT_SIZE,
            shards=plan.shards,
            whole=not plan.sets_back,
        )

    # Processes

    def process(self, name: str) -> Process:
        process = Process(name)
        process.skew = self.source.randint(-300_000, 300_000)
        self.networks[process] = Network(self.cluster, process)
        return process

    def start(self, process: Process, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Runs it as a part of the process."""
        context = copy_context()
        context.run(PROCESS.set, process)
        return self.loop.create_task(coroutine, context=context)

    def begin(self) -> "Writer":
        writer = Writer(self, self.process(f"p{len(self.writers) + 1}"))
        self.writers.append(writer)
        self.start(writer.process, writer.live()).add_done_callback(self._ended)
        return writer

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self.history.complaints.append(f"a process ended in {task.exception()!r}")

    @property
    def alive(self) -> list["Writer"]:
        return [writer for writer in self.writers if writer.process.alive]

    def take(self) -> Op | None:
        """The next command, None where there are no more."""
        if self._left <= 0:
            return None
        self._left -= 1
        return self.workload.next()

    def spread(self, teller: "Writer", op: Op, *, done: bool) -> None:
        """Word of it comes to another process at once."""
        others = [writer for writer in self.alive if writer is not teller]
        if others and not self.over:
            hearer = self.source.choice(others)
            self.start(hearer.process, hearer.hear(op) if done else hearer.glance(op.shard))

    # The course of a run

    async def main(self) -> None:
        migrator = self.process("migrate")
        await self.start(
            migrator,
            migrate_cassandra(
                ["node"],
                KEYSPACE,
                server_key_fingerprint=FINGERPRINT,
                shards=self.plan.shards,
                segment_size=SEGMENT_SIZE,
            ),
        )
        for _ in range(self.plan.processes):
            self.begin()
        if self.plan.dies_at is not None:
            process = self.writers[0].process
            process.dies_at = self.plan.dies_at
            process.killed = lambda: self._killed(process)
        self.faults.active = True
        nemesis = asyncio.ensure_future(self._strike())
        await self._until(lambda: self._left <= 0, 30.0)
        await nemesis
        self._heal()
        self.over = True
        await self._until(lambda: all(writer.idle for writer in self.alive), HEAL_SECONDS, "answer their commands")
        if self.plan.sets_back:
            for writer in self.alive:
                writer.process.kill()
        else:
            await self._settle()
        await self._audit()

    async def _until(self, condition: Callable[[], bool], seconds: float, what: str = "") -> None:
        end = self.loop.time() + seconds
        while not condition():
            if self.loop.time() > end:
                if what:
                    self.history.complaints.append(f"processes do not {what} within {seconds} s")
                return
            await asyncio.sleep(0.1)

    def _heal(self) -> None:
        self.faults.active = False
        self.cluster.slowness = 1.0
        for replica in self.cluster.replicas:
            replica.up = True
        for process, network in self.networks.items():
            network.cut_until = 0.0
            process.skew = 0
            process.dies_at = None
            network.dies_of_append = False
            self.history.clock_set(process, self.loop.time())

    async def _settle(self) -> None:
        """Every process still appends to every shard, sees it to its end, and the index is whole."""
        probes = [self.start(writer.process, writer.probe()) for writer in self.alive]
        await self._until(lambda: all(probe.done() for probe in probes), HEAL_SECONDS, "append once more")
        await self._until(lambda: all(writer.caught_up for writer in self.alive), HEAL_SECONDS, "see all and index all")

    async def _audit(self) -> None:
        """Someone who was never there before reads everything."""
        auditor = Writer(self, self.process("auditor"))
        self.writers.append(auditor)
        done = self.start(auditor.process, auditor.audit())
        await self._until(done.done, HEAL_SECONDS, "read everything anew")
        error = done.exception() if done.done() else None
        if error is not None and self.plan.sets_back and isinstance(error, LogError):
            # What a store that was set back left behind may be beyond mending: it is enough that it is said.
            self.faults.counts["set back, and said so at opening"] += 1
        elif error is not None:
            self.history.complaints.append(f"the auditor: {error!r}")

    def judge(self) -> list[str]:
        for complaint in self.loop.complaints:
            if "callback" in str(complaint.get("message")):
                self.history.complaints.append(f"{complaint.get('message')}: {complaint.get('exception')!r}")
        return self._oracle.judge()

    def outcomes(self) -> Counter[str]:
        """What became of attempts of which nobody was told the outcome at first."""
        counts: Counter[str] = Counter()
        there = self._oracle.attempts
        for attempt, told in self.history.answers.items():
            if told and told[0] not in ("True", "False"):
                counts["unknown, was applied" if attempt in there else "unknown, was not applied"] += 1
            if "False" in told:
                counts["told not applied, was applied" if attempt in there else "told not applied, was not"] += 1
            if len(told) > 1:
                counts["sent again"] += 1
        return counts

    def logged(self, _logger: object, _method: str, event: Any) -> Any:
        """The log's own words go into the trace; some of them are none that should ever be said."""
        process = PROCESS.get()
        text = str(event.get("event"))
        self.history.note(self.loop.time(), process.name if process is not None else "world", f"says {text}")
        self.history.reached[text] += 1
        if (
            text in ("appender failed", "a part of the log has stopped", "event cannot be folded")
            and not self.plan.sets_back
        ):
            self.history.complaints.append(f"{text}: {event.get('exc_info')!r}")
        raise structlog.DropEvent

    # Blows

    async def _strike(self) -> None:
        """All that befalls processes and nodes, at moments of the first seconds."""
        horizon = max(1.0, self.plan.commands * self.plan.pace / (self.plan.processes * self.plan.clients) * 1.5)
        strikes = [
            self.loop.create_task(self._blow(kind, self.source.uniform(0.1, horizon)))
            for kind, count in self.plan.blows.items()
            for _ in range(count)
        ]
        if self.plan.sets_back:
            strikes.append(self.loop.create_task(self._set_back(self.source.uniform(0.3, horizon + 0.3))))
        await asyncio.gather(*strikes)

    async def _blow(self, kind: str, at: float) -> None:
        source = self.source
        await asyncio.sleep(at)
        alive = [writer for writer in self.alive if writer.process.name != "auditor"]
        if not alive:
            return
        process = source.choice(alive).process
        now = self.loop.time()
        self.faults.counts[kind] += 1
        self.history.note(now, process.name, f"blow: {kind}")
        if kind == "killed":
            # At some step of its own, wherever that may be.
            process.dies_at = process.steps + source.randint(1, 300)
            process.killed = lambda: self._killed(process)
        elif kind == "killed at a send":
            self.networks[process].dies_of_append = True
            process.killed = lambda: self._killed(process)
        elif kind == "frozen":
            self._freeze(process, source.uniform(0.01, 0.6))
        elif kind == "frozen long":
            self._freeze(process, source.uniform(1.5, 4.0))
        elif kind == "cut off":
            self.networks[process].cut_until = now + source.uniform(0.1, 2.0)
        elif kind == "clock off":
            process.skew = source.choice((-1, 1)) * source.randint(500_000, 6_000_000)
            self.faults.counts["clock off beyond R8" if abs(process.skew) > 2_000_000 else "clock off within R8"] += 1
            self.history.clock_set(process, now)
        elif kind == "node down":
            replica = source.choice(self.cluster.replicas)
            replica.up = False
            await asyncio.sleep(source.uniform(0.2, 2.0))
            replica.up = True
        elif kind == "cluster slow":
            self.cluster.slowness = source.choice((10, 60, 400))
            await asyncio.sleep(source.uniform(0.2, 1.5))
            self.cluster.slowness = 1.0

    def _freeze(self, process: Process, seconds: float) -> None:
        self.history.clock_set(process, self.loop.time())
        self.loop.freeze(process, seconds)

    def _killed(self, process: Process) -> None:
        flying = any(writer.flying for writer in self.writers if writer.process is process)
        self.faults.counts["killed in flight" if flying else "killed at rest"] += 1
        self.history.note(self.loop.time(), process.name, "dies")
        self.cluster.later(self.source.uniform(0.02, 0.6), self.begin)

    async def _set_back(self, at: float) -> None:
        """A node without a synced commit log is killed: it comes up without the last of what it acknowledged."""
        lost = self.source.uniform(0.02, 0.25)
        await asyncio.sleep(max(0.0, at - lost))
        kept = self.cluster.snapshot()
        await asyncio.sleep(lost)
        self.cluster.set_back(kept)
        self.faults.counts["set back"] += 1
        now = self.loop.time()
        self.history.set_back_at = now
        self.history.note(now, "cluster", f"set back by {lost:.3f} s")
        for network in self.networks.values():
            network.cut_until = max(network.cut_until, now + self.source.uniform(0.01, 0.3))


class Writer:
    """A process with its log, its clients and its readers."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self.process = process
        self._history = world.history
        self._source = random.Random(f"{process.name} {world.plan.seed}")
        self._log: CassandraLog | None = None
        self._busy = world.plan.clients
        self._tails = [Tail(process.name, number) for number in range(world.plan.shards)]

    @property
    def idle(self) -> bool:
        """Whether no client of it waits for anything."""
        return self._busy == 0

    @property
    def flying(self) -> bool:
        """Whether a batch of it is in flight."""
        return self._log is not None and any(appender._flying is not None for appender in self._log._appenders)

    @property
    def caught_up(self) -> bool:
        if self._log is None:
            return False
        heads = [self._history.chosen[number].at(self._now) for number in range(self._world.plan.shards)]
        return all(
            each.seen == head and each.watermark == head and len(tail.rows) == head
            for each, tail, head in zip(self._log.shards, self._tails, heads, strict=True)
        )

    @property
    def _now(self) -> float:
        return self._world.loop.time()

    def _clock(self) -> int:
        return EPOCH + int(self._now * 1e6) + self.process.skew

    async def open(self) -> CassandraLog:
        while True:
            try:
                return await open_cassandra_log(
                    ["node"],
                    9042,
                    KEYSPACE,
                    master_key=MASTER_KEY,
                    server_key_fingerprint=FINGERPRINT,
                    aggregates=Aggregates(),
                    clock=self._clock,
                    monotonic=self._world.loop.time,
                    entropy=self._source.randbytes,
                    patience=self._world.plan.patience,
                    cached_states=self._world.plan.cached_states,
                )
            except UnavailableError:
                await asyncio.sleep(0.05)

    async def live(self) -> None:
        try:
            self._log = await self.open()
        except LogError as error:
            self._busy = 0
            if not self._world.plan.sets_back:
                self._history.complaints.append(f"{self.process.name} cannot open the log: {error!r}")
            return
        clients = [self._client(self._log) for _ in range(self._world.plan.clients)]
        await asyncio.gather(*clients, *(self._consume(self._log, tail) for tail in self._tails))

    # Clients

    async def _client(self, log: CassandraLog) -> None:
        while not self._world.over:
            await asyncio.sleep(self._source.expovariate(1 / self._world.plan.pace))
            count = 1 if self._source.random() < 0.7 else self._source.randint(2, 5)
            ops = [op for op in (self._world.take() for _ in range(count)) if op is not None]
            if not ops:
                break
            await asyncio.gather(*(self._wish(log, op) for op in ops))
            if self._source.random() < 0.2:
                await self._look(log)
        self._busy -= 1

    async def _wish(self, log: CassandraLog, op: Op) -> None:
        """Asks until it is told something, a few times."""
        for _ in range(3):
            asked = await self.ask(log, op)
            if asked.answer not in ("unknown", "unavailable") or self._source.random() < 0.3:
                return
            await asyncio.sleep(self._source.random() * 0.2)
            op = self._world.workload.again(op)

    async def ask(self, log: CassandraLog, op: Op) -> Asked:
        asked = Asked(op, self.process.name, self._now)
        self._history.asked.append(asked)
        self._history.note(self._now, self.process.name, f"asks {op}")
        if op.kind == "take":
            self._world.spread(self, op, done=False)
        try:
            outcome = await log.execute(execution(op))
        except Refusal as refusal:
            asked.answer, asked.code = "refused", refusal.code
        except OutcomeUnknownError:
            asked.answer = "unknown"
        except OverloadedError:
            asked.answer = "overloaded"
        except UnavailableError:
            asked.answer = "unavailable"
        except LogError as error:
            asked.answer, asked.code = "log error", repr(error)
        except Exception as error:  # noqa: BLE001 -- the judge is told of it
            asked.answer, asked.code = "failed", repr(error)
        else:
            asked.answer = "appended" if outcome.events else "unchanged"
            asked.events = [_short(recorded) for recorded in outcome.events]
            asked.position = split_sequence(outcome.positions[op.shard])[1]
        asked.answered_at = self._now
        self._history.note(
            self._now, self.process.name, f"told {asked.answer} {asked.code} {op.id[-5:]} {asked.position}"
        )
        if asked.answer == "appended" and op.kind == "take":
            self._world.spread(self, op, done=True)
        return asked

    async def glance(self, number: int) -> None:
        """Somebody else is about to do something there: the head is read meanwhile."""
        await asyncio.sleep(self._source.random() * 4 * self._world.plan.latency)
        if self._log is not None:
            with contextlib.suppress(UnavailableError, LogError):
                await self._log.head(number)

    async def hear(self, op: Op) -> None:
        """Somebody else was told that ``op`` was done, and says so: what is asked here now must rest on it."""
        if self._log is None:
            return
        self._busy += 1
        await self.ask(self._log, self._world.workload.after(op))
        self._busy -= 1

    async def _look(self, log: CassandraLog) -> None:
        stream = self._source.choice(self._world.workload.streams)
        number = self._source.randrange(self._world.plan.shards)
        started = self._now
        kind = self._source.choice(("load", "state", "head"))
        name = str(number) if kind == "head" else stream
        try:
            if kind == "load":
                found: object = [_short(recorded) for recorded in await log.load(stream)]
            elif kind == "state":
                found = _told((await log.states([stream]))[stream])
            else:
                found = split_sequence(await log.head(number))[1]
        except UnavailableError:
            return
        except LogError as error:
            if not self._world.plan.sets_back:
                self._history.complaints.append(f"{self.process.name} cannot read {name[:10]}: {error!r}")
            return
        self._history.seen.append(Seen(kind, self.process.name, name, started, self._now, found))

    # Readers

    async def _consume(self, log: CassandraLog, tail: Tail) -> None:
        """What a projection does: reads all of a shard from its beginning, and waits for more."""
        self._history.tails.append(tail)
        after = 0
        while True:
            try:
                events = await log.read(tail.shard, after, self._source.randint(1, 60))
            except UnavailableError:
                await asyncio.sleep(0.1)
                continue
            except LogError as error:
                if not self._world.plan.sets_back:
                    self._history.complaints.append(f"{self.process.name} cannot read shard {tail.shard}: {error!r}")
                return
            if events:
                tail.rows += [_short(recorded) for recorded in events]
                after = events[-1].sequence
            else:
                await log.wait(tail.shard, after, 1.0)

    async def probe(self) -> None:
        assert self._log is not None
        for number in range(self._world.plan.shards):
            op = Op(
                id=f"probe-{self.process.name}-{number}",
                kind="count",
                shard=number,
                streams=(self._world.workload.tallies[number][0],),
            )
            # Its clock may have to be looked at once more first, or the store to be heard of.
            while (await self.ask(self._log, op)).answer == "unavailable":
                await asyncio.sleep(0.2)
                op = self._world.workload.again(op)

    async def audit(self) -> None:
        log = await self.open()
        texts = {asked.op.id: asked.op.text for asked in self._history.asked if asked.op.kind == "note"}
        for stream in self._world.workload.streams:
            started = self._now
            events = await log.load(stream)
            self._history.seen.append(
                Seen("load", "auditor", stream, started, self._now, [_short(recorded) for recorded in events])
            )
            for recorded in events:
                note = recorded.event
                if (
                    isinstance(note, Noted)
                    and not self._world.plan.sets_back
                    and (note.private is None or note.private.text != texts[recorded.metadata.command_id])
                ):
                    self._history.complaints.append(f"{recorded.event_id} does not open to what was written")
        for number in range(self._world.plan.shards):
            await log.head(number)


def _short(recorded: Recorded) -> tuple[int, str, int, str]:
    return recorded.position, recorded.stream, recorded.version, recorded.event_id


def _told(state: object) -> object:
    match state:
        case Tally(total=total, events=events):
            return total, events
        case Seat(owner=owner):
            return owner
        case Note(texts=texts):
            return len(texts)
    raise AssertionError(state)

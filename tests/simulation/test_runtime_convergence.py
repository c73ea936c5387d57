"""Whatever befalls the workers, the documents come out the same: a seeded simulation over real stores.

Two processes fold one log at once, step by step, in an order that a seed draws. Their calls to the documents fail before or after they took effect,
processes die between any two calls, pause in the middle of one while the other takes their lease over, wake up and write on. Meanwhile families are
rebuilt, by builders that die, or pause and wake up when another has taken over. In the end the documents must equal those of a replay that nothing
happened to.
"""

import asyncio
import itertools
import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from domain.commands import (
    Command,
    CreatePost,
    DeletePost,
    EditPost,
    FollowUser,
    LikePost,
    RegisterAccount,
    Repost,
    UndoRepost,
    UnfollowUser,
    UnlikePost,
)
from domain.context import Context
from domain.envelope import Recorded
from domain.errors import Refusal, UnavailableError
from domain.events import PostLiked, PostUnliked
from domain.handlers import handle
from domain.ids import Namer
from domain.log.port import EventLog
from projections import families
from projections.documents.port import Documents, FencedError, Fidelity, Lease
from projections.feeds import AuthorFilter, author_entries, following_ids
from projections.folding import Family
from projections.home import home_family
from projections.runtime.applying import Folding, Slots
from projections.runtime.comparing import Difference, compare
from projections.runtime.deadletters import dead_letters
from projections.runtime.lanes import followed, lanes
from projections.runtime.leases import Tenure, claim
from projections.runtime.processes import WORKER, Presence
from projections.runtime.progress import Board
from projections.runtime.rebuilding import LEASE, Rebuild
from projections.runtime.replay import checkpoints_of, replay
from projections.runtime.runner import Runner
from projections.runtime.tail import Tail
from projections.runtime.versions import RebuildError, Versions, read_versions
from projections.timelines import HomeLimits, build, get_timelines, timeline_entries
from tests.runtime_kit import (
    SHARDS,
    Faults,
    FaultyDocuments,
    sqlite_documents,
    sqlite_log,
    tally_family,
    trail_family,
)

TTL = 3600.0
"""Leases change hands when the simulation says so, never by the clock."""

POISON_EVERY = 29

HOME_LIMITS = HomeLimits(kept=20, slack=4, filled=5, trim_every=1, step=7, apart=1, ahead=4)


def poisonous(recorded: Recorded) -> bool:
    return recorded.position % POISON_EVERY == 0


SIGNALS = next(family for family in families.ALL if family.name == "signals")
FAMILIES: Sequence[Family] = (
    *(family if family.name != "home" else home_family(HOME_LIMITS) for family in families.ALL),
    trail_family(),
    tally_family(),
    tally_family("poisoned", poison=poisonous),
)
REPLAYED = [family for family in FAMILIES if family.name != "poisoned"]
# Nothing is swept here, so that what is equal only above a horizon must be equal throughout.
COMPARED = [
    replace(collection, fidelity=Fidelity.EXACT)
    for family in REPLAYED
    for collection in family.collections
    if collection.fidelity is not Fidelity.CACHE
]


class Crash(BaseException):
    """The process is gone: nothing may catch this."""


@dataclass
class Plan:
    """What befalls a turn at its ``at``-th call (from 1) of an operation, or of any where that is empty."""

    kind: str
    operation: str
    at: int


class Fate(Faults):
    """One process's faults. Only the turn that the scheduler has just begun has a plan."""

    def __init__(self, fired: Counter[tuple[str, str]]) -> None:
        super().__init__()
        self.fired = fired
        self.plan: Plan | None = None
        self.paused = asyncio.Event()
        self.gate = asyncio.Event()

    async def before(self, operation: str) -> None:
        await super().before(operation)
        if self.plan is None or self.plan.operation not in ("", operation):
            return
        self.plan.at -= 1
        if self.plan.at == 0:
            await self._befall(operation, "before")

    async def after(self, operation: str) -> None:
        if self.plan is not None and self.plan.at == 0:
            await self._befall(operation, "after")

    async def _befall(self, operation: str, when: str) -> None:
        assert self.plan is not None
        kind, _, wanted = self.plan.kind.partition("-")
        if wanted != when:
            return
        self.plan = None
        self.fired[f"{kind} {when}", operation] += 1
        if kind == "crash":
            raise Crash
        if kind == "outage":
            raise UnavailableError("drawn by the seed")
        gate = self.gate = asyncio.Event()
        self.paused.set()
        await gate.wait()


KINDS = ("crash-before", "crash-after", "outage-before", "outage-after", "pause-before", "pause-after")


class SignalsChecked(FaultyDocuments):
    """Checks, wherever a signal is written, that what a live item hydrates from is folded up to it."""

    async def save_checkpoint(self, family: str, shard: int, sequence: int, lease: Lease | None) -> None:
        if family == "signals":
            versions = await read_versions(self._documents)
            for followed in SIGNALS.follows:
                live = self._documents.pinned({followed: versions.of(followed).live})
                assert (await live.load_checkpoints(followed)).get(shard, 0) >= sequence
            if isinstance(self._faults, Fate):
                self._faults.fired["checked", "signals"] += 1
        await super().save_checkpoint(family, shard, sequence, lease)


@dataclass
class Desk:
    """One shard in one process: what it runs there under one lease."""

    tenure: Tenure
    tail: Tail
    tailing: asyncio.Task[None]
    board: Board
    runners: dict[str, Runner]
    paused: dict[str, tuple[asyncio.Task[None], asyncio.Event]] = field(default_factory=dict)


class Process:
    """A worker as far as the scheduler lets it."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.fate = Fate(world.fired)
        self.documents = SignalsChecked(world.documents, self.fate)
        self.presence = Presence(world.documents, WORKER, ttl=TTL, monotonic=lambda: 0.0)
        self.versions = Versions(epoch=-1)
        self.desks: dict[int, Desk] = {}
        self.dead = False
        draw = world.random
        self.events = draw.choice([1, 2, 7, 64])
        self.operations = draw.choice([1, 5, 100, 2000])

    async def sit_down(self, shard: int) -> None:
        tenure = await claim(self.documents, f"shard-{shard}", self.name, TTL, lambda: 0.0)
        if tenure is None:
            return
        self.world.leases[shard] = tenure.lease
        tail = Tail(self.world.log, shard, window=16, idle=0.01)
        desk = Desk(tenure, tail, asyncio.create_task(tail.run()), Board(), {})
        await self.equip(desk)
        self.desks[shard] = desk

    async def equip(self, desk: Desk) -> None:
        """With runners for the versions that it knows of."""
        desk.runners.clear()
        for lane in lanes(self.versions, FAMILIES):
            view = self.documents.pinned({lane.family.name: lane.version})
            folding = Folding(lane.family, view, Slots(), desk.tenure.ensure, operations=self.operations)
            follows = followed(self.versions, lane.family.follows)
            desk.runners[lane.label] = Runner(
                folding,
                desk.tail,
                view,
                desk.tenure,
                desk.board,
                events=self.events,
                label=lane.label,
                follows=follows,
            )
        for runner in desk.runners.values():
            await runner.open()

    async def look(self) -> None:
        """Learns which versions there are, and confirms it; not in the middle of a batch."""
        if any(desk.paused for desk in self.desks.values()):
            return
        await self.presence.renew()
        self.versions = await read_versions(self.world.documents)
        for desk in self.desks.values():
            await self.equip(desk)
        await self.presence.confirm(self.versions.epoch)

    async def get_up(self, shard: int) -> None:
        desk = self.desks.pop(shard)
        for task in (desk.tailing, *(task for task, _ in desk.paused.values())):
            task.cancel()
            with suppress(asyncio.CancelledError, Crash, FencedError, UnavailableError):
                await task

    async def die(self) -> None:
        """Its leases stay until somebody else is given them."""
        self.dead = True
        await self.presence.leave()
        for shard in list(self.desks):
            await self.get_up(shard)

    async def turn(self, shard: int, family: str, plan: Plan | None) -> None:
        """One batch of a family, if it has one to take and is not paused in one already."""
        desk = self.desks[shard]
        # The one seed decides everything: a tail that is still reading must not.
        head = await self.world.log.head(shard)
        if head:
            await desk.tail.events(head - 1, 1)
        if family not in desk.runners or family in desk.paused or not self._has_work(desk, shard, family):
            return
        self.fate.plan = plan
        self.fate.paused.clear()
        task = asyncio.create_task(desk.runners[family].turn())
        paused = asyncio.create_task(self.fate.paused.wait())
        await asyncio.wait({task, paused}, return_when=asyncio.FIRST_COMPLETED)
        self.fate.plan = None
        if task.done():
            paused.cancel()
            await self.settle(shard, task)
        else:
            desk.paused[family] = task, self.fate.gate

    def _has_work(self, desk: Desk, shard: int, family: str) -> bool:
        at = desk.board.progress[family, shard].checkpoint
        follows = desk.runners[family]._follows
        bound = min((desk.board.progress[name, shard].checkpoint for name in follows), default=desk.tail.seen)
        return at < min(bound, desk.tail.seen)

    async def wake(self, shard: int, family: str) -> None:
        task, gate = self.desks[shard].paused.pop(family)
        gate.set()
        self.world.fired["woken", "zombie" if self.world.owner(shard) is not self else "owner"] += 1
        await self.settle(shard, task)

    async def settle(self, shard: int, task: "asyncio.Task[None]") -> None:
        try:
            await task
        except UnavailableError:
            pass
        except FencedError:
            self.world.fired["fenced", "turn"] += 1
            await self.get_up(shard)
        except Crash:
            await self.die()


class World:
    def __init__(self, log: EventLog, documents: Documents, seed: int) -> None:
        self.log = log
        self.documents = documents
        self.random = random.Random(seed)
        self.fired: Counter[tuple[str, str]] = Counter()
        self.leases: dict[int, Lease] = {}
        self.deck: list[Plan] = []
        self.numbers = itertools.count(1)
        self.processes = [self.process(), self.process()]
        self.history = History(log, self.random)
        self.builders: list[Builder] = []

    def process(self) -> Process:
        return Process(self, f"worker-{next(self.numbers)}")

    def owner(self, shard: int) -> Process | None:
        """Who was given the shard last."""
        return next(
            (p for p in self.processes if shard in p.desks and p.desks[shard].tenure.lease == self.leases[shard]), None
        )

    async def run(self, steps: int) -> None:
        for _ in range(steps):
            await self.step()
        await self.finish()

    async def step(self) -> None:
        draw = self.random
        if draw.random() < 0.25:
            await self.history.go_on()
        if draw.random() < 0.05 and self.history.people:
            await build(self.documents, draw.choice(self.history.people), "reader", time.time_ns() // 1000, HOME_LIMITS)
        if draw.random() < 0.3:
            await self.build()
        slot = draw.randrange(len(self.processes))
        process, shard = self.processes[slot], draw.randrange(SHARDS)
        await self.work(process, shard)
        if process.dead:
            self.processes[slot] = self.process()

    async def work(self, process: "Process", shard: int) -> None:
        draw = self.random
        if draw.random() < 0.1 or process.versions.epoch < 0:
            await process.look()
        if shard not in process.desks:
            if draw.random() < 0.1 and shard in self.leases:
                # The lease runs out, whatever its holder believes.
                await self.documents.release_lease(self.leases[shard])
            await process.sit_down(shard)
            return
        desk = process.desks[shard]
        asleep = bool(desk.paused) and self.owner(shard) is not process
        if asleep and draw.random() < 0.8:
            # It has not noticed yet that its lease has gone: another works meanwhile.
            return
        if desk.paused and (asleep or draw.random() < 0.3):
            await process.wake(shard, draw.choice(sorted(desk.paused)))
        else:
            plan = self.plan() if draw.random() < 0.5 else None
            kept = None if plan is None else replace(plan)
            labels = sorted(desk.runners)
            await process.turn(shard, draw.choice(labels + ["poisoned"] * (len(labels) // 2)), plan)
            if plan is not None and kept is not None and plan.at > 0:
                # It has met no such call: some later turn will.
                self.deck.append(kept)

    async def build(self) -> None:
        """A builder goes a little way; another comes in its place, while it is dead or only asleep, or for another family."""
        draw = self.random
        builder = self.builders[-1] if self.builders else None
        if builder is None or builder.done:
            if self.history.people and draw.random() < 0.2:
                await self.hire(draw.choice(REPLAYED))
            return
        if draw.random() < 0.03:
            kind = draw.choice(["crashed", "asleep"])
            self.fired["builder", kind] += 1
            if kind == "crashed":
                await builder.die()
            await self.hire(builder.family)
            return
        await builder.go_on(draw.choice([1, 3, 10, 30]))
        if builder.done:
            self.fired["builder", builder.ending()] += 1

    async def hire(self, family: Family) -> None:
        if self.builders:
            # Ended, dead or asleep.
            await self.documents.release_lease(self.builders[-1].lease)
        self.builders.append(await Builder.come(self, family, f"builder-{next(self.numbers)}"))

    async def wake_builders(self, last: Process) -> None:
        """The last one goes on to its end, and whoever slept wakes up then."""
        for builder in reversed(self.builders):
            while not builder.done:
                await builder.go_on(50)
                if builder is not self.builders[-1]:
                    # It has done what harm it could, and looks at its clock.
                    builder.now = TTL
                await last.look()
                for shard in range(SHARDS):
                    for label in sorted(last.desks[shard].runners):
                        await last.turn(shard, label, None)
            if builder is self.builders[-1]:
                self.fired["builder", builder.ending()] += 1
            else:
                # Whatever it met was another's, even documents that had been dropped.
                await builder.die()

    def plan(self) -> Plan:
        """Each kind comes to each operation, in an order that the seed draws."""
        draw = self.random
        if not self.deck:
            operations = ["apply", "put", "save_checkpoint", ""]
            self.deck = [Plan(kind, what, draw.choice([1, 1, 1, 2, 3])) for kind in KINDS for what in operations]
            draw.shuffle(self.deck)
        return self.deck.pop(0)

    async def finish(self) -> None:
        """All who are paused wake up, all who worked are gone, and a last process folds what is left in peace."""
        for process in self.processes:
            for shard, desk in list(process.desks.items()):
                for name in list(desk.paused):
                    if shard in process.desks:
                        await process.wake(shard, name)
            await process.die()
        last = self.process()
        await last.look()
        for shard in range(SHARDS):
            if shard in self.leases:
                await self.documents.release_lease(self.leases[shard])
            await last.sit_down(shard)
        await self.wake_builders(last)
        for shard in range(SHARDS):
            head = await self.log.head(shard)
            desk = last.desks[shard]
            while any(desk.board.progress[label, shard].checkpoint < head for label in desk.runners):
                for label in sorted(desk.runners):
                    await last.turn(shard, label, None)
                await asyncio.sleep(0)
        await last.die()
        await self.documents.refresh()


class Gate(Faults):
    """Lets calls pass one at a time, as many as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: deque[asyncio.Event] = deque()
        self.open = False

    async def before(self, operation: str) -> None:
        await super().before(operation)
        if not self.open:
            turn = asyncio.Event()
            self.waiting.append(turn)
            await turn.wait()


class Builder:
    """A rebuild of one family, call by call."""

    def __init__(self, world: World, family: Family, lease: Lease) -> None:
        self.family = family
        self.lease = lease
        self.gate = Gate()
        documents = FaultyDocuments(world.documents, self.gate)
        self.now = 0.0
        tenure = Tenure(documents, lease, TTL, 0.0, lambda: self.now)
        work = Rebuild(world.log, documents, [family], tenure, clock=lambda: 0, period=0.0, grace=0.0, still=1e9)
        self._task = asyncio.create_task(work.run())

    @staticmethod
    async def come(world: World, family: Family, name: str) -> "Builder":
        lease = await world.documents.claim_lease(LEASE, name, TTL)
        assert lease is not None
        return Builder(world, family, lease)

    @property
    def done(self) -> bool:
        return self._task.done()

    async def go_on(self, calls: int) -> None:
        for _ in range(calls):
            while not self.gate.waiting and not self.done:  # noqa: ASYNC110 -- what it awaits between two calls sets no event
                await asyncio.sleep(0)
            if self.done:
                return
            self.gate.waiting.popleft().set()

    async def die(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def ending(self) -> str:
        """How it came out: switched, or fenced off by another's."""
        if self._task.cancelled():
            return "dead"
        error = self._task.exception()
        if isinstance(error, FencedError | RebuildError):
            return "fenced"
        if error is not None:
            raise error
        (outcome,) = self._task.result()
        assert outcome.verdict is None or outcome.verdict.differences == []
        return "switched"


class History:
    """What people do, as commands on the log."""

    def __init__(self, log: EventLog, draw: random.Random) -> None:
        self._log = log
        self._draw = draw
        self._now = itertools.count(1_700_000_000_000_000, 250_000)
        self._numbers = itertools.count(1)
        self.people: list[str] = []
        self._posts: list[str] = []

    async def go_on(self) -> None:
        """A few commands; those that are refused are part of life."""
        for _ in range(self._draw.randint(1, 6)):
            with suppress(Refusal):
                await self._act()

    async def _act(self) -> None:
        if len(self.people) < 8:
            number = next(self._numbers)
            who = RegisterAccount(handle=f"person_{number}", email=f"p{number}@example.org", password_hash="")
            self.people.append(await self._do(None, who))
            return
        actor = self._draw.choice(self.people)
        command = self._command()
        made = await self._do(actor, command)
        if isinstance(command, CreatePost):
            self._posts.append(made)

    def _command(self) -> Command:
        draw, other = self._draw, self._draw.choice(self.people)
        text = f"on {draw.choice(['#tea', '#rain', '#tea and #rain', 'nothing'])} {next(self._numbers)}"
        if not self._posts or draw.random() < 0.2:
            reply_to = draw.choice(self._posts) if self._posts and draw.random() < 0.5 else None
            return CreatePost(text=text, reply_to=reply_to)
        post = draw.choice(self._posts[-12:])
        if draw.random() < 0.5:
            # Some streams are long, so that a good deal follows what is parked in them.
            hot = draw.choice(self._posts[:3])
            return draw.choice([LikePost(post=hot), UnlikePost(post=hot)])
        choices: list[Command] = [
            EditPost(post=post, text=text),
            DeletePost(post=post),
            LikePost(post=post),
            LikePost(post=post),
            UnlikePost(post=post),
            Repost(post=post),
            UndoRepost(post=post),
            FollowUser(user=other),
            FollowUser(user=other),
            UnfollowUser(user=other),
        ]
        return draw.choice(choices)

    async def _do(self, actor: str | None, command: Command) -> str:
        context = Context(
            namer=NAMER,
            entropy=self._draw.randbytes,
            now=next(self._now),
            command_id=f"command-{next(self._numbers)}",
            actor=actor,
        )
        return (await handle(self._log, command, context)).id


NAMER = Namer(b"k" * 32)

EVERYTHING = {
    *((f"{kind} {when}", "apply") for kind in ("crash", "outage", "pause") for when in ("before", "after")),
    *((f"{kind} {when}", "put") for kind in ("crash", "outage", "pause") for when in ("before", "after")),
    *((f"{kind} {when}", "save_checkpoint") for kind in ("crash", "outage", "pause") for when in ("before", "after")),
    ("woken", "zombie"),
    ("woken", "owner"),
    ("fenced", "turn"),
    ("checked", "signals"),
    ("poison", "parked"),
    ("timeline", "kept"),
    ("builder", "switched"),
    ("builder", "crashed"),
    ("builder", "asleep"),
}
"""Each of these must have happened to many, or the simulation shows nothing."""


async def simulate(stack: AsyncExitStack, folder: Path, seed: int, steps: int) -> World:
    """A world at its end, its documents compared with those of an undisturbed replay."""
    collections = [collection for family in FAMILIES for collection in family.collections]
    log = await stack.enter_async_context(sqlite_log(folder / f"log-{seed}.db"))
    live = await stack.enter_async_context(sqlite_documents(folder / f"live-{seed}.db", collections))
    replayed = await stack.enter_async_context(sqlite_documents(folder / f"replayed-{seed}.db", collections))
    world = World(log, live, seed)
    await world.run(steps)
    await replay(log, replayed, REPLAYED, await checkpoints_of(live, REPLAYED))
    differences: list[Difference] = [difference async for difference in compare(live, replayed, COMPARED)]
    assert differences == [], f"seed {seed}"
    world.fired["timeline", "kept"] += await check_timelines(live, world.history.people, seed)
    world.fired["poison", "parked"] += await check_against_the_log(log, live, seed)
    return world


async def check_against_the_log(log: EventLog, live: Documents, seed: int) -> int:
    """Against what a few lines without batches, checkpoints or stores make of the log; says how many events are parked."""
    whole, spared = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    letters: dict[int, list[int]] = {shard: [] for shard in range(SHARDS)}
    for shard in range(SHARDS):
        parked: set[str] = set()
        for recorded in await log.read(shard, 0, 100_000):
            if isinstance(recorded.event, PostLiked | PostUnliked):
                count(whole, recorded.event)
                if poisonous(recorded):
                    parked.add(recorded.stream)
                if recorded.stream not in parked:
                    count(spared, recorded.event)
            if recorded.stream in parked:
                letters[shard].append(recorded.sequence)
    assert await tallies(live, "tallies") == whole, f"seed {seed}"
    assert await tallies(live, "poisoned") == spared, f"seed {seed}"
    for shard, expected in letters.items():
        found = await dead_letters(live, "poisoned", shard, limit=10_000)
        assert [letter["position"] for letter in found] == expected, f"seed {seed}"
    return sum(map(len, letters.values()))


async def check_timelines(live: Documents, people: Sequence[str], seed: int) -> int:
    """Home's promise: what a followed author has posted above a timeline's floor has a row. Says how many rows were promised."""
    promised = 0
    for owner, timeline in (await get_timelines(live, people)).items():
        rows = {entry.item for entry in await timeline_entries(live, owner, after=None, limit=10_000)}
        for author in [owner, *await following_ids(live, owner)]:
            entries = await author_entries(live, author, AuthorFilter.POSTS_AND_REPLIES, after=None, limit=10_000)
            due = {entry.item for entry in entries if entry.key >= timeline.floor}
            assert due <= rows, f"seed {seed}"
            promised += len(due)
    return promised


def count(counts: Counter[tuple[str, str]], event: PostLiked | PostUnliked) -> None:
    counts[event.post, "likes"] += 1 if isinstance(event, PostLiked) else -1
    counts[event.post, "events"] += 1


async def tallies(live: Documents, family: str) -> Counter[tuple[str, str]]:
    (collection,) = next(f for f in FAMILIES if f.name == family).collections
    found = await live.scan(collection, limit=10_000)
    fields = ((document, field) for document in found for field in ("likes", "events"))
    return Counter({(document.id, field): int(str(document.fields[field])) for document, field in fields})


@pytest.mark.parametrize(
    ("seeds", "steps", "due"),
    [
        pytest.param(range(2), 200, set(), id="few", marks=pytest.mark.slow),
        pytest.param(range(2, 12), 600, EVERYTHING, id="many", marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
async def test_the_documents_are_the_same_whatever_befell_the_workers(
    seeds: range, steps: int, due: set[tuple[str, str]], tmp_path: Path
) -> None:
    fired: Counter[tuple[str, str]] = Counter()
    for seed in seeds:
        async with AsyncExitStack() as stack:
            fired += (await simulate(stack, tmp_path, seed, steps)).fired
    assert {what for what in due if not fired[what]} == set()

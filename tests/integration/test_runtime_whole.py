"""The runtime as the composition root runs it: in the background, over stores that go away, beside others of its kind."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import REGISTRY as PROMETHEUS

from domain.commands import Command, RegisterAccount
from domain.context import Context
from domain.envelope import Recorded
from domain.errors import UnavailableError
from domain.events import REGISTRY, AccountRegistered, ClaimConfirmed, Event, PostLiked, event
from domain.handlers import handle
from domain.ids import Namer, account_stream, claim_stream
from domain.log.generations import close_generation
from domain.log.port import EventLog
from domain.log.sqlite.generation import open_sqlite_generation
from domain.policies import POLICIES, Policy
from projections.documents.port import Documents
from projections.folding import Deferred, Family, Operation, on
from projections.runtime import Cause, CheckpointError, Runtime, Sweeper, Tuning
from projections.runtime.deadletters import dead_letters
from projections.runtime.identity import require_same_log
from projections.runtime.lag import ProjectionStatus, Stillness, projection_status
from projections.runtime.progress import State
from projections.runtime.reactors import reactor_name
from projections.runtime.waiting import Waiting
from tests.runtime_kit import (
    SHARDS,
    TALLIES,
    TRAIL,
    Faults,
    FaultyDocuments,
    FaultyLog,
    account,
    append,
    like,
    mongo_documents,
    sqlite_documents,
    sqlite_log,
    tally_family,
    trail_family,
    unlike,
)

POST, FAR = account(1, 1), account(900, 2)
"""In shard 0 and in shard 1."""
ADA, BEN, CY = (account(512, n) for n in range(3))
QUICK = Tuning(ttl=1.0, idle=0.05, measure=0.05, watch=0.05)
COLLECTIONS = [TALLIES, TRAIL]


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.cluster)])
async def documents(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Documents]:
    store = (
        sqlite_documents(tmp_path / "documents.db", COLLECTIONS)
        if request.param == "sqlite"
        else mongo_documents(request.getfixturevalue("mongodb_url"), COLLECTIONS)
    )
    async with store as opened:
        yield opened


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EventLog]:
    async with sqlite_log(tmp_path / "log.db") as opened:
        yield opened


@pytest.fixture
async def start() -> AsyncIterator[Callable[[Runtime], asyncio.Future[Runtime]]]:
    """Starts runtimes, and stops at the end those that still run."""
    started: list[Runtime] = []

    async def begin(runtime: Runtime) -> Runtime:
        await runtime.start()
        started.append(runtime)
        return runtime

    yield lambda runtime: asyncio.ensure_future(begin(runtime))
    for runtime in started:
        await runtime.stop()


Start = Callable[[Runtime], "asyncio.Future[Runtime]"]


async def until(true: Callable[[], bool]) -> None:
    """Polls; the test's own timeout ends what never comes."""
    while not true():  # noqa: ASYNC110 -- what is waited for sets no event
        await asyncio.sleep(0.01)


async def folded(log: EventLog, documents: Documents, *families: str) -> None:
    """Waits until the families have folded all that is in the log now."""
    waiting = Waiting(documents)
    heads = {shard: head for shard in range(SHARDS) if (head := await log.head(shard))}
    while not await waiting.reached(families, heads):
        pass
    await waiting.close()


async def likes(documents: Documents, post: str) -> object:
    return (await documents.get(TALLIES, [post])).get(post, {}).get("likes", 0)


class Switch(Faults):
    """While it is off, every call of the store fails."""

    def __init__(self) -> None:
        super().__init__()
        self.on = True

    async def before(self, operation: str) -> None:
        await super().before(operation)
        if not self.on:
            self.fired["off", operation] += 1
            raise UnavailableError("switched off")


async def test_events_become_documents(log: EventLog, documents: Documents, start: Start) -> None:
    runtime = await start(Runtime(log, documents, [tally_family(), trail_family()], tuning=QUICK))
    for post in (POST, FAR):
        await like(log, post, ADA)
        await like(log, post, BEN)
    await unlike(log, FAR, ADA)
    await folded(log, documents, "tallies", "trail")
    assert [await likes(documents, post) for post in (POST, FAR)] == [2, 1]
    assert len(await documents.scan(TRAIL, limit=100)) == 5 + 4
    await until(lambda: len(runtime.status().progress) == 2 * SHARDS)
    assert {progress.state for progress in runtime.status().progress.values()} == {State.LIVE}
    for status in await projection_status(log, documents, runtime.names):
        assert (status.state, status.lag_events, status.lag_seconds, status.dead_letters) == (State.LIVE, 0, 0.0, 0)


async def test_outages_of_either_store_pass_without_a_trace(log: EventLog, documents: Documents, start: Start) -> None:
    of_log, of_documents = Switch(), Switch()
    through = FaultyLog(log, of_log), FaultyDocuments(documents, of_documents)
    runtime = await start(Runtime(*through, [tally_family()], tuning=QUICK))
    await like(log, POST, ADA)
    await folded(log, documents, "tallies")
    for switch in (of_log, of_documents):
        switch.on = False
        await like(log, POST, BEN if switch is of_log else CY)
        await until(lambda switch=switch: sum(switch.fired.values()) > 3)  # type: ignore[misc]
        switch.on = True
        await folded(log, documents, "tallies")
    assert await likes(documents, POST) == 3
    assert of_documents.fired["off", "claim_lease"] or of_documents.fired["off", "apply"]
    assert {progress.state for progress in runtime.status().progress.values()} == {State.LIVE}


async def test_a_poison_event_degrades_its_family_alone(log: EventLog, documents: Documents, start: Start) -> None:
    def poison(recorded: Recorded) -> bool:
        return isinstance(recorded.event, PostLiked) and recorded.event.actor == BEN

    runtime = await start(Runtime(log, documents, [tally_family(poison=poison), trail_family()], tuning=QUICK))
    for actor in (ADA, BEN, CY):
        await like(log, POST, actor)
    await folded(log, documents, "tallies", "trail")
    assert await likes(documents, POST) == 2
    states = {(one.name, one.shard): one for one in await projection_status(log, documents, runtime.names)}
    assert (states["tallies", 0].state, states["tallies", 0].dead_letters) == (State.DEGRADED, 1)
    assert {one.state for key, one in states.items() if key != ("tallies", 0)} == {State.LIVE}
    assert runtime.status().progress["tallies", 0].state is State.DEGRADED


def gauge(name: str, family: str, shard: int) -> float | None:
    labels = {"family": family, "shard": str(shard)}
    return PROMETHEUS.get_sample_value(f"tidings_projection_{name}", labels)


async def test_metrics_tell_of_the_shards_that_are_held(log: EventLog, documents: Documents, start: Start) -> None:
    begun, end = asyncio.Event(), asyncio.Event()

    async def hold(_: Documents, __: Sequence[Recorded]) -> None:
        begun.set()
        await end.wait()

    def fold(_: Recorded, __: PostLiked) -> list[Operation]:
        return [Deferred(hold)]

    held = Family("held", (), dict((on(PostLiked, fold),)))
    runtime = await start(Runtime(log, documents, [held, tally_family()], tuning=QUICK))
    for actor in (ADA, BEN):
        await like(log, POST, actor)
    await begun.wait()
    await until(lambda: gauge("checkpoint", "tallies", 0) == 2)
    await until(lambda: gauge("lag_events", "held", 0) == 2)
    await until(lambda: (gauge("lag_seconds", "held", 0) or 0) > 0)
    assert gauge("lag_seconds", "tallies", 0) == 0
    end.set()
    await until(lambda: gauge("lag_events", "held", 0) == 0)
    await until(lambda: gauge("lag_seconds", "held", 0) == 0)
    await runtime.stop()
    assert gauge("checkpoint", "tallies", 0) is None


async def test_an_unknown_event_halts_its_shard_until_a_program_comes_that_knows_it(
    log: EventLog, documents: Documents, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    @event(f"test.halting_{os.urandom(4).hex()}")
    class Newer(Event, frozen=True, kw_only=True):
        pass

    # On an empty log: families that come later are filled first.
    await (await start(Runtime(log, documents, [tally_family(), trail_family()], tuning=QUICK))).stop()
    await like(log, POST, ADA)
    await append(log, "shard-0", Newer())
    await like(log, POST, BEN)
    await like(log, FAR, BEN)
    monkeypatch.delitem(REGISTRY, (Newer.name, 1))
    old = await start(Runtime(log, documents, [tally_family(), trail_family()], tuning=QUICK))
    waiting = Waiting(documents)
    assert await waiting.reached(["tallies"], {1: await log.head(1)})
    halted: list[ProjectionStatus] = []
    while not halted:
        found = await projection_status(log, documents, old.names)
        halted = [one for one in found if one.state is State.HALTED and one.name == "tallies"]
    (status,) = halted
    assert (status.shard, status.lag_events, status.lag_seconds) == (0, 2, None)
    assert Newer.name in status.reason
    assert await likes(documents, POST) == 1
    await old.stop()
    monkeypatch.setitem(REGISTRY, (Newer.name, 1), Newer)
    new = await start(Runtime(log, documents, [tally_family(), trail_family()], tuning=QUICK))
    await folded(log, documents, "tallies", "trail")
    assert await likes(documents, POST) == 2
    assert {one.state for one in await projection_status(log, documents, new.names)} == {State.LIVE}
    await waiting.close()


class Freeze(Faults):
    """Once frozen, every call waits until it is thawed, like those of a process that is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.thawed = asyncio.Event()
        self.thawed.set()

    async def before(self, operation: str) -> None:
        await super().before(operation)
        if not self.thawed.is_set():
            self.fired["frozen", operation] += 1
            await self.thawed.wait()


@pytest.mark.slow
async def test_a_frozen_worker_is_replaced_and_does_no_harm_when_it_wakes(
    log: EventLog, documents: Documents, start: Start
) -> None:
    freeze = Freeze()
    await start(Runtime(log, FaultyDocuments(documents, freeze), [tally_family()], tuning=QUICK))
    await like(log, POST, ADA)
    await folded(log, documents, "tallies")
    freeze.thawed.clear()
    await like(log, POST, BEN)
    await until(lambda: freeze.fired["frozen", "apply"] > 0)
    second = await start(Runtime(log, documents, [tally_family()], tuning=QUICK))
    await folded(log, documents, "tallies")
    await like(log, POST, CY)
    await folded(log, documents, "tallies")
    assert second.status().progress
    freeze.thawed.set()
    await unlike(log, POST, ADA)
    await folded(log, documents, "tallies")
    assert await likes(documents, POST) == 2
    assert (await documents.get(TALLIES, [POST]))[POST]["events"] == 4


async def test_a_fan_out_that_takes_for_ever_delays_no_other_family(
    log: EventLog, documents: Documents, start: Start
) -> None:
    begun, end = asyncio.Event(), asyncio.Event()

    async def fan_out(_: Documents, __: Sequence[Recorded]) -> None:
        begun.set()
        await end.wait()

    def fold(_: Recorded, __: PostLiked) -> list[Operation]:
        return [Deferred(fan_out)]

    slow = Family("slow", (), dict((on(PostLiked, fold),)))
    await start(Runtime(log, documents, [slow, tally_family()], tuning=replace(QUICK, quick=1, slow=1)))
    for actor in (ADA, BEN):
        await like(log, POST, actor)
        await like(log, FAR, actor)
    await begun.wait()
    await folded(log, documents, "tallies")
    assert await documents.load_checkpoints("slow") == {}
    end.set()
    await folded(log, documents, "slow")


async def test_what_follows_does_not_overtake(log: EventLog, documents: Documents, start: Start) -> None:
    begun, end = asyncio.Event(), asyncio.Event()

    async def hold(_: Documents, __: Sequence[Recorded]) -> None:
        begun.set()
        await end.wait()

    def fold(_: Recorded, __: PostLiked) -> list[Operation]:
        return [Deferred(hold)]

    first = Family("first", (), dict((on(PostLiked, fold),)))
    families = [first, tally_family(), trail_family(follows=("first", "tallies"))]
    await start(Runtime(log, documents, families, tuning=QUICK))
    await like(log, POST, ADA)
    await begun.wait()
    await folded(log, documents, "tallies")
    assert await documents.load_checkpoints("trail") == {}
    assert await documents.scan(TRAIL, limit=1) == []
    end.set()
    await folded(log, documents, "trail")


def test_what_follows_needs_what_it_follows(log: EventLog, documents: Documents) -> None:
    with pytest.raises(ValueError, match="tallies must run"):
        Runtime(log, documents, [trail_family(follows=("tallies",))])


async def test_a_stopped_runtime_leaves_its_shards_to_others_at_once(
    log: EventLog, documents: Documents, start: Start
) -> None:
    long = Tuning(ttl=3600.0, idle=0.05)
    first = await start(Runtime(log, documents, [tally_family()], tuning=long))
    await like(log, POST, ADA)
    await folded(log, documents, "tallies")
    await first.stop()
    await like(log, POST, BEN)
    await start(Runtime(log, documents, [tally_family()], tuning=long))
    await folded(log, documents, "tallies")


@pytest.mark.slow
async def test_a_worker_that_comes_later_gets_its_share(log: EventLog, documents: Documents, start: Start) -> None:
    first = await start(Runtime(log, documents, [tally_family()], tuning=QUICK))
    await until(lambda: len(first.status().looked) == SHARDS)
    second = await start(Runtime(log, documents, [tally_family()], tuning=QUICK))
    await until(lambda: len(second.status().looked) == 1)
    await until(lambda: len(first.status().looked) == 1)
    await like(log, POST, ADA)
    await like(log, FAR, ADA)
    await folded(log, documents, "tallies")


async def test_documents_of_another_log_are_refused(
    log: EventLog, documents: Documents, start: Start, tmp_path: Path
) -> None:
    await like(log, POST, ADA)
    await (await start(Runtime(log, documents, [tally_family()], tuning=QUICK))).stop()
    async with sqlite_log(tmp_path / "other.db") as other:
        with pytest.raises(CheckpointError, match=other.identity.log_id):
            await Runtime(other, documents, [tally_family()]).start()


async def test_documents_ahead_of_their_log_are_refused(log: EventLog, documents: Documents, start: Start) -> None:
    await like(log, POST, ADA)
    await (await start(Runtime(log, documents, [tally_family()], tuning=QUICK))).stop()
    await documents.save_checkpoint("tallies", 0, await log.head(0) + 1, None)
    with pytest.raises(CheckpointError, match="position 2"):
        await Runtime(log, documents, [tally_family()]).start()


async def test_documents_of_what_a_restored_log_lost_are_refused(documents: Documents, tmp_path: Path) -> None:
    """They are ahead of the end of a generation, although the next one has outgrown them."""
    path = tmp_path / "restored.db"
    async with sqlite_log(path) as log:
        await like(log, POST, ADA)
        await require_same_log(log, documents, ["tallies"])
        await close_generation(log, lambda: account(512, 9))
        end = await log.head(0)
    await open_sqlite_generation(path, server_key_fingerprint="test")
    async with sqlite_log(path) as log:
        await like(log, POST, BEN)
        await documents.save_checkpoint("tallies", 0, end, None)
        await require_same_log(log, documents, ["tallies"])
        await documents.save_checkpoint("tallies", 0, end + 1, None)
        with pytest.raises(CheckpointError, match="empty documents"):
            await require_same_log(log, documents, ["tallies"])


async def test_checkpoints_without_a_log_are_refused(log: EventLog, documents: Documents) -> None:
    await like(log, POST, ADA)
    await documents.save_checkpoint("tallies", 0, await log.head(0), None)
    with pytest.raises(CheckpointError, match="unknown"):
        await Runtime(log, documents, [tally_family()]).start()


NAMER = Namer(b"k" * 32)


def context(command_id: str, causation_id: str | None = None) -> Context:
    return Context(
        namer=NAMER,
        entropy=os.urandom,
        now=time.time_ns() // 1000,
        command_id=command_id,
        causation_id=causation_id,
    )


async def register(log: EventLog, name: str) -> AccountRegistered:
    command = RegisterAccount(handle=name, email=f"{name}@example.org", password_hash="")
    made = await handle(log, command, context(f"register-{name}"))
    (registered,) = [e.event for e in made.outcome.events if isinstance(e.event, AccountRegistered)]
    return registered


async def confirmations(log: EventLog, registered: AccountRegistered) -> list[Recorded]:
    return [
        e for e in await log.load(claim_stream(registered.email_claim_stream)) if isinstance(e.event, ClaimConfirmed)
    ]


class Forgetful(Faults):
    """Loses the first checkpoints of a reactor, before or after its command was performed anew."""

    async def before(self, operation: str) -> None:
        await super().before(operation)
        if operation == "save_checkpoint" and self.fired["lost", operation] < 4:
            self.fired["lost", operation] += 1
            raise UnavailableError("lost")


async def test_a_reactor_that_is_given_an_event_again_changes_nothing(
    log: EventLog, documents: Documents, start: Start
) -> None:
    performed: list[Cause] = []

    async def perform(command: Command, cause: Cause) -> object:
        performed.append(cause)
        return await handle(log, command, context(cause.command_id, cause.causation_id))

    registered = await register(log, "ada_1")
    forgetful = Forgetful()
    through = FaultyDocuments(documents, forgetful)
    family = Family("none", (), {})
    # Alone, so that it is this one whose checkpoints are lost.
    policy = POLICIES[0]
    await start(Runtime(log, through, [family], policies=[policy], perform=perform, tuning=QUICK))
    await folded(log, documents, reactor_name(policy))
    (confirmed,) = await confirmations(log, registered)
    cause = next(e for e in await log.load(account_stream(registered.account)) if e.event == registered)
    assert confirmed.metadata.causation_id == cause.event_id
    assert confirmed.metadata.command_id == f"{cause.event_id}.{policy.name}"
    assert forgetful.fired["lost", "save_checkpoint"] == 4
    assert len(performed) > 1
    assert len({one.command_id for one in performed}) == 1


async def test_a_reactor_waits_for_a_log_that_does_not_take_its_command(
    log: EventLog, documents: Documents, start: Start
) -> None:
    switch = Switch()
    switch.on = False
    through = FaultyLog(log, switch)

    async def perform(command: Command, cause: Cause) -> object:
        await switch.before("perform")
        return await handle(through, command, context(cause.command_id))

    registered = await register(log, "ada_1")
    await start(Runtime(log, documents, [Family("none", (), {})], policies=POLICIES, perform=perform, tuning=QUICK))
    await until(lambda: switch.fired["off", "perform"] > 1)
    assert await confirmations(log, registered) == []
    switch.on = True
    await folded(log, documents, *(reactor_name(policy) for policy in POLICIES))
    assert len(await confirmations(log, registered)) == 1


async def test_a_policy_that_fails_parks_like_a_fold(log: EventLog, documents: Documents, start: Start) -> None:
    def react(recorded: Recorded) -> Sequence[Command]:
        if isinstance(recorded.event, PostLiked) and recorded.event.actor == BEN:
            raise ValueError("a secret")
        return ()

    async def perform(command: Command, cause: Cause) -> object:
        raise AssertionError("no command was asked for")

    await start(
        Runtime(log, documents, [tally_family()], policies=[Policy("test", react)], perform=perform, tuning=QUICK)
    )
    for actor in (ADA, BEN, CY):
        await like(log, POST, actor)
    await unlike(log, POST, BEN)
    await folded(log, documents, "reactor.test", "tallies")
    letters = await dead_letters(documents, "reactor.test", 0)
    assert [letter["stage"] for letter in letters] == ["fold", "parked"]
    assert await likes(documents, POST) == 2


async def test_one_of_several_processes_keeps_house(log: EventLog, documents: Documents, start: Start) -> None:
    runs = {"first": 0, "second": 0}

    def sweeper(who: str) -> Sweeper:
        async def run() -> None:
            runs[who] += 1
            raise OSError("the next run is made all the same")

        return Sweeper("test", 0.02, run)

    first = await start(Runtime(log, documents, [tally_family()], sweepers=[sweeper("first")], tuning=QUICK))
    await until(lambda: runs["first"] > 2)
    await start(Runtime(log, documents, [tally_family()], sweepers=[sweeper("second")], tuning=QUICK))
    before = runs["first"]
    await until(lambda: runs["first"] > before + 2)
    assert runs["second"] == 0
    await first.stop()
    stopped = runs["first"]
    await until(lambda: runs["second"] > 2)
    assert runs["first"] == stopped


async def test_a_lag_that_stands_is_a_fault_and_one_that_shrinks_is_none(log: EventLog, documents: Documents) -> None:
    now = 0.0
    stillness = Stillness(patience=30.0, monotonic=lambda: now)

    async def faults() -> Sequence[str]:
        return stillness.faults(await projection_status(log, documents, ["tallies"]))

    for actor in (ADA, BEN, CY):
        await like(log, POST, actor)
    assert await faults() == []
    now = 29.0
    await documents.save_checkpoint("tallies", 0, await log.head(0) - 1, None)
    assert await faults() == []
    now = 58.0
    assert await faults() == []
    now = 60.0
    (fault,) = await faults()
    assert "tallies of shard 0 stands 1 events behind" in fault
    await documents.save_checkpoint("tallies", 0, await log.head(0), None)
    assert await faults() == []
    now = 600.0
    assert await faults() == []
    assert stillness.faults([], {0: 29.0, 1: 31.0}) == ["the tail of shard 1 has not heard from the log for 31 s"]

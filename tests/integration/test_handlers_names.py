"""Names on real logs: handles change hands through claims in other shards, whoever races, dies between two steps or comes late."""

import asyncio
import itertools
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from domain import deciders
from domain.commands import ChangeHandle, Command, DeactivateAccount, DeleteAccount, RegisterAccount, ReleaseClaim
from domain.context import Context
from domain.deciders.account import Account
from domain.deciders.claim import Claim
from domain.envelope import Recorded
from domain.errors import Code, Refusal
from domain.events import AccountDeleted, ClaimHeld, ClaimVoided
from domain.handlers import Result, handle
from domain.handlers.accounts import find_account
from domain.handlers.result import confirm
from domain.ids import Namer, account_stream, claim_stream
from domain.log.cassandra import open_cassandra_log
from domain.log.port import EventLog, Execution, Outcome, View
from domain.log.sqlite import open_sqlite_log
from domain.names import handle_skeleton
from domain.policies import POLICIES
from tests.log_cassandra_kit import FINGERPRINT, Keyspace, keyspace

S = TypeVar("S")

NAMER = Namer(b"k" * 32)
MASTER_KEY = b"m" * 32
GetTables = Callable[[str], Awaitable[Keyspace]]
MINUTE = 60 * 1_000_000
DAY = 24 * 60 * MINUTE


class BrokenOffError(Exception):
    """The process ended between two steps."""


@dataclass
class World:
    """``logs`` are the handles of two processes on one log; commands go through them in turn."""

    logs: Sequence[EventLog]
    now: int = field(default_factory=lambda: time.time_ns() // 1_000)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def log(self) -> EventLog:
        return self.logs[next(self._numbers) % len(self.logs)]

    def context(self, actor: str | None = None) -> Context:
        command_id = f"command-{next(self._numbers)}"
        return Context(namer=NAMER, entropy=os.urandom, now=self.now, command_id=command_id, actor=actor)

    async def do(self, actor: str | None, command: Command, log: EventLog | None = None) -> Result:
        return await handle(log or self.log, command, self.context(actor))

    async def register(self, name: str, email: str = "") -> str:
        email = email or f"{name}{next(self._numbers)}@example.org"
        return (await self.do(None, RegisterAccount(handle=name, email=email, password_hash="hash"))).id

    async def rename(self, actor: str, name: str, log: EventLog | None = None) -> Result:
        return await self.do(actor, ChangeHandle(handle=name), log)

    async def refused(self, work: Awaitable[object]) -> Code:
        with pytest.raises(Refusal) as refusal:
            await work
        return refusal.value.problems[0].code

    async def state(self, stream: str, kind: type[S], log: EventLog | None = None) -> S:
        """As of now, whichever process has written last."""
        outcome = await confirm(log or self.log, stream, self.context())
        return View(outcome.states).state(stream, kind)

    async def owner(self, name: str) -> str | None:
        """Whoever signs in by this handle."""
        log = self.log
        claim = await self.state(claim_of(name), Claim, log)
        if claim.held:
            await self.state(account_stream(claim.owner), Account, log)
        found = await find_account(log, name, self.context())
        return found.id if found is not None else None

    async def events(self) -> list[Recorded]:
        log = self.log
        found: list[Recorded] = []
        for shard in range(log.identity.shards):
            head, after = await log.head(shard), 0
            while after < head:
                events = await log.read(shard, after, 1_000)
                found += events
                after = events[-1].sequence if events else after
        return found

    async def react(self) -> None:
        """All policies to all events, those that were there before once more."""
        for recorded in await self.events():
            for policy in POLICIES:
                for command in policy.react(recorded):
                    await self.do(None, command)


async def check(world: World) -> None:
    """Names are unique: every account is found by its own handle alone, and what it names it holds."""
    accounts = {r.stream for r in await world.events() if r.stream.startswith("account-")}
    seen: dict[str, str] = {}
    for stream in sorted(accounts):
        account = await world.state(stream, Account)
        if not account.exists or account.private is None:
            continue
        name = account.private.handle
        assert seen.setdefault(handle_skeleton(name), account.id) == account.id
        claim = await world.state(claim_of(name), Claim)
        assert (claim.owner, claim.claim_id) == (account.id, account.handle_claim)
        assert await world.owner(name) == account.id


def claim_of(name: str) -> str:
    return claim_stream(NAMER.claim_id("handle", handle_skeleton(name)))


@asynccontextmanager
async def on_files(folder: Path) -> AsyncIterator[World]:
    logs = [
        await open_sqlite_log(
            folder / "log.db", master_key=MASTER_KEY, server_key_fingerprint="test", aggregates=deciders
        )
        for _ in range(2)
    ]
    try:
        yield World(logs)
    finally:
        for log in logs:
            await log.close()


@asynccontextmanager
async def on_cassandra(tables: Keyspace) -> AsyncIterator[World]:
    async with tables.store() as store, AsyncExitStack() as stack:
        logs = []
        for _ in range(2):
            log = await open_cassandra_log(
                [store.host],
                store.port,
                store.keyspace,
                master_key=MASTER_KEY,
                server_key_fingerprint=FINGERPRINT,
                aggregates=deciders,
            )
            stack.push_async_callback(log.close)
            logs.append(log)
        yield World(logs)


@pytest.fixture(scope="module")
async def get_tables() -> AsyncIterator[GetTables]:
    """One keyspace for all tests, made when it is first asked for."""
    async with AsyncExitStack() as stack:
        made: list[Keyspace] = []

        async def get(address: str) -> Keyspace:
            if not made:
                made.append(await stack.enter_async_context(keyspace(address)))
            return made[0]

        yield get


@pytest.fixture(params=["sqlite", pytest.param("cassandra", marks=pytest.mark.cluster)])
async def world(request: pytest.FixtureRequest, tmp_path: Path, get_tables: GetTables) -> AsyncIterator[World]:
    if request.param == "sqlite":
        opened = on_files(tmp_path)
    else:
        opened = on_cassandra(await get_tables(request.getfixturevalue("cassandra_address")))
    async with opened as made:
        yield made


class Halting:
    """A log whose caller is held up before its ``at``-th command (from 1)."""

    def __init__(self, log: EventLog, at: int, hold_up: Callable[[], Awaitable[None]]) -> None:
        self._log = log
        self._left = at
        self._hold_up = hold_up

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def execute(self, execution: Execution) -> Outcome:
        self._left -= 1
        if self._left == 0:
            await self._hold_up()
        return await self._log.execute(execution)


async def break_off() -> None:
    raise BrokenOffError


NAMING = 3
"""Of a change of handle: the account is confirmed, the claim held, the account's event appended."""


async def test_a_new_handle_is_the_accounts_and_the_old_one_rests(world: World) -> None:
    ann, bob = await world.register("ann"), await world.register("bob")
    assert (await world.rename(ann, "@Anna")).changed
    assert (await world.owner("anna"), await world.owner("ann")) == (ann, None)
    # Before a reactor was there, and however long that takes.
    for wait in (0, 11 * MINUTE):
        world.now += wait
        assert await world.refused(world.rename(bob, "ann")) == Code.DUPLICATE
    await world.react()
    await world.react()
    for wait in (0, 29 * DAY):
        world.now += wait
        assert await world.refused(world.rename(bob, "ann")) == Code.DUPLICATE
        assert await world.refused(world.register("ann")) == Code.DUPLICATE
    world.now += DAY
    await world.rename(bob, "ann")
    await world.react()
    assert await world.owner("ann") == bob
    await check(world)


async def test_a_handle_that_was_given_up_rests_though_no_reactor_has_been_there(world: World) -> None:
    ann, bob = await world.register("ann"), await world.register("bob")
    for name in ("anna", "hannah"):
        await world.rename(ann, name)
    world.now += 11 * MINUTE
    # Held without a confirmation, and named by its owner no more.
    assert await world.refused(world.rename(bob, "anna")) == Code.DUPLICATE
    await world.react()
    assert await world.refused(world.rename(bob, "anna")) == Code.DUPLICATE
    await check(world)


@pytest.mark.parametrize("reacted", [True, False])
async def test_who_gave_a_handle_up_can_take_it_back(world: World, reacted: bool) -> None:
    ann, bob = await world.register("ann"), await world.register("bob")
    for name in ("anna", "ann", "anna"):
        await world.rename(ann, name)
        if reacted:
            await world.react()
    await world.react()
    await check(world)
    assert await world.refused(world.rename(bob, "anna")) == Code.DUPLICATE
    assert await world.refused(world.rename(bob, "ann")) == Code.DUPLICATE
    assert await world.owner("anna") == ann


async def test_ones_own_look_alike_is_the_same_name(world: World) -> None:
    ann, bob = await world.register("ann_10"), await world.register("bob")
    before = sum(isinstance(r.event, ClaimHeld) for r in await world.events())
    assert (await world.rename(ann, "ann_lo")).changed
    await world.react()
    assert not (await world.rename(ann, "ann_lo")).changed
    assert sum(isinstance(r.event, ClaimHeld) for r in await world.events()) == before
    assert (await world.owner("ann_lo"), await world.owner("ann_10")) == (ann, None)
    for name in ("ann_10", "ann_1o", "ann_l0"):
        assert await world.refused(world.rename(bob, name)) == Code.DUPLICATE
    await check(world)


@pytest.mark.parametrize(
    ("name", "code"),
    [("ab", Code.TOO_SHORT), ("x" * 31, Code.TOO_LONG), ("two words", Code.INVALID), ("a\0b", Code.INVALID)],
)
async def test_what_is_no_handle_is_refused(world: World, name: str, code: Code) -> None:
    ann = await world.register("ann")
    assert await world.refused(world.rename(ann, name)) == code


async def test_nobody_lays_up_handles(world: World) -> None:
    ann = await world.register("ann")
    most = world.context().limits.handle_changes
    for number in range(most):
        await world.rename(ann, f"ann_{number}")
    assert await world.refused(world.rename(ann, "one_more")) == Code.LIMIT_REACHED
    assert not (await world.state(claim_of("one_more"), Claim)).held
    world.now += 31 * DAY
    await world.rename(ann, "one_more")


async def test_of_many_who_want_a_handle_at_once_one_gets_it(world: World) -> None:
    people = [await world.register(f"person_{letter}") for letter in "abcdefgh"]
    tries = [world.rename(person, "prize") for person in people] + [world.register("prize") for _ in range(4)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert all(result.code == Code.DUPLICATE for result in results if isinstance(result, Refusal))
    await world.react()
    await check(world)


async def test_one_person_in_two_places_ends_with_one_handle(world: World) -> None:
    ann = await world.register("ann")
    results = await asyncio.gather(
        *(world.rename(ann, name) for name in ("north", "south", "north", "n0rth")), return_exceptions=True
    )
    assert any(isinstance(result, Result) for result in results)
    assert {result.code for result in results if isinstance(result, Refusal)} <= {Code.CONFLICT, Code.DUPLICATE}
    await world.react()
    await check(world)


async def test_a_change_that_broke_off_is_taken_up_by_its_repeat(world: World) -> None:
    ann, bob = await world.register("ann"), await world.register("bob")
    with pytest.raises(BrokenOffError):
        await world.rename(ann, "anna", Halting(world.log, NAMING, break_off))
    held = await world.state(claim_of("anna"), Claim)
    assert held.owner == ann
    assert await world.owner("anna") is None
    assert await world.refused(world.rename(bob, "anna")) == Code.DUPLICATE
    await world.rename(ann, "anna")
    assert (await world.state(claim_of("anna"), Claim)).claim_id == held.claim_id
    await world.react()
    await check(world)


@pytest.mark.parametrize("taker", ["another", "a newcomer"])
async def test_an_abandoned_handle_can_be_taken_over_and_the_slow_one_is_fenced_off(world: World, taker: str) -> None:
    ann, bob = await world.register("ann"), await world.register("bob")
    halted, slow = asyncio.Event(), asyncio.Event()

    async def stop() -> None:
        halted.set()
        await slow.wait()

    first = asyncio.create_task(world.rename(ann, "prize", Halting(world.log, NAMING, stop)))
    await halted.wait()
    world.now = (await world.state(claim_of("prize"), Claim)).held_at + 9 * MINUTE
    assert await world.refused(world.rename(bob, "prize")) == Code.DUPLICATE
    world.now += 2 * MINUTE
    if taker == "another":
        await world.rename(bob, "prize")
    else:
        bob = await world.register("prize")
    slow.set()
    assert await world.refused(first) == Code.CONFLICT
    assert [r.stream for r in await world.events() if isinstance(r.event, ClaimVoided)] == [account_stream(ann)]
    await world.react()
    assert (await world.owner("prize"), await world.owner("ann")) == (bob, ann)
    await check(world)


async def test_a_handle_that_was_fenced_off_from_its_holder_can_still_be_its(world: World) -> None:
    ann, bob = await world.register("ann"), await world.register("bob")
    with pytest.raises(BrokenOffError):
        await world.rename(ann, "prize", Halting(world.log, NAMING, break_off))
    world.now += 11 * MINUTE
    with pytest.raises(BrokenOffError):
        # The fence stands, and whoever set it did not come to hold the name.
        await world.rename(bob, "prize", Halting(world.log, 4, break_off))
    await world.rename(ann, "prize")
    await world.react()
    assert await world.owner("prize") == ann
    await check(world)


async def test_a_request_that_is_repeated_after_the_deletion_makes_another_account(world: World) -> None:
    command = RegisterAccount(handle="ann", email="ann@example.org", password_hash="hash", idempotency_key="once")
    ann = (await world.do(None, command)).id
    (deleted,) = (await world.do(ann, DeleteAccount(verified="hash"))).outcome.events
    event = deleted.event
    assert isinstance(event, AccountDeleted)
    assert await world.refused(world.do(None, command)) == Code.DUPLICATE
    for claim, claim_id, rests in (
        (event.handle_claim_stream, event.handle_claim, True),
        (event.email_claim_stream, event.email_claim, False),
    ):
        release = ReleaseClaim(
            claim_stream=claim, owner=ann, claim_id=claim_id, given_up_at=deleted.recorded_at, rests=rests
        )
        assert (await world.do(None, release)).changed
        assert not (await world.do(None, release)).changed
    assert await world.refused(world.do(None, command)) == Code.DUPLICATE
    world.now += 31 * DAY
    again = await world.do(None, command)
    assert again.id != ann
    repeat = await world.do(None, command)
    assert (repeat.id, repeat.repeat) == (again.id, True)
    await check(world)


async def test_who_may_not_act_holds_no_handle(world: World) -> None:
    ann = await world.register("ann")
    await world.do(ann, DeactivateAccount())
    assert await world.refused(world.rename(ann, "anna")) == Code.FORBIDDEN
    assert not (await world.state(claim_of("anna"), Claim)).held


@pytest.mark.parametrize("seed", range(6))
async def test_names_stay_unique_whatever_befalls_those_who_want_them(tmp_path: Path, seed: int) -> None:
    """Few names, many who want them through two processes; some die between two steps, some are slow, reactors come when they come."""
    rng = random.Random(seed)
    names = ["north", "n0rth", "south", "east", "west"]
    async with on_files(tmp_path) as world:
        people = [await world.register(f"person_{letter}") for letter in "abc"]

        async def falter() -> None:
            if rng.random() < 0.5:
                raise BrokenOffError
            await asyncio.sleep(rng.random() / 100)

        async def want() -> None:
            log = Halting(world.log, rng.randrange(1, 8), falter)
            if rng.random() < 0.2:
                command = RegisterAccount(handle=rng.choice(names), email=f"{rng.random()}@e.org", password_hash="")
                people.append((await world.do(None, command, log)).id)
            else:
                await world.rename(rng.choice(people), rng.choice(names), log)

        for _ in range(25):
            results = await asyncio.gather(*(want() for _ in range(4)), return_exceptions=True)
            assert all(r is None or isinstance(r, Refusal | BrokenOffError) for r in results), results
            world.now += rng.choice([0, MINUTE, 11 * MINUTE, 31 * DAY])
            if rng.random() < 0.3:
                await world.react()
        await world.react()
        await check(world)

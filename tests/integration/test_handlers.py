"""The handlers on a real log: what several commands, and several at once, add up to."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from domain import deciders
from domain.commands import (
    Command,
    CreatePost,
    DeletePost,
    EditPost,
    FollowUser,
    LikePost,
    OpenSession,
    RefreshSession,
    RegisterAccount,
    Repost,
    SignOut,
    UndoRepost,
    UnfollowUser,
    UnlikePost,
)
from domain.context import Context
from domain.deciders.account import Account
from domain.deciders.claim import Claim
from domain.errors import Code, Refusal
from domain.events import AccountRegistered, PostCreated
from domain.handlers import Result, handle
from domain.handlers.accounts import find_account
from domain.handlers.result import state_of
from domain.ids import Namer, account_stream, claim_stream, mint_id, post_stream
from domain.log.port import EventLog, Execution, Outcome
from domain.log.sqlite import open_sqlite_log
from domain.policies import confirm_email_claim

SECOND = 2
MINUTE = 60 * 1_000_000
NAMER = Namer(b"k" * 32)


class World:
    """A log with people who can act on it; ``now`` moves by hand."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.now = 1_700_000_000_000_000
        self._numbers = itertools.count()

    def context(self, actor: str | None = None) -> Context:
        return Context(
            namer=NAMER, entropy=os.urandom, now=self.now, command_id=f"command-{next(self._numbers)}", actor=actor
        )

    async def do(self, actor: str | None, command: Command) -> Result:
        return await handle(self.log, command, self.context(actor))

    async def register(self, handle_: str, *, email: str | None = None, key: str | None = None) -> str:
        email = email or f"{handle_}@example.org"
        command = RegisterAccount(handle=handle_, email=email, password_hash="hash", idempotency_key=key)
        return (await self.do(None, command)).id

    async def heads(self) -> dict[int, int]:
        return {shard: await self.log.head(shard) for shard in range(self.log.identity.shards)}

    async def refused(self, actor: str | None, command: Command) -> Code:
        """The code of the refusal; nothing may have been appended."""
        before = await self.heads()
        with pytest.raises(Refusal) as refusal:
            await self.do(actor, command)
        assert await self.heads() == before
        return refusal.value.problems[0].code


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    log = await open_sqlite_log(
        tmp_path / "log.db", master_key=b"m" * 32, server_key_fingerprint=NAMER.fingerprint(), aggregates=deciders
    )
    world = World(log)
    yield world
    await log.close()


async def test_an_account_is_found_by_its_handle_and_its_address(world: World) -> None:
    ada = await world.register("Ada_1")
    for name in ("ada_1", "@ADA_1", "ada_1@example.org", "ADA_1@Example.org"):
        found = await find_account(world.log, name, world.context())
        assert found is not None
        assert found.id == ada
    for name in ("adal", "ada", "ada@example.org", "nobody"):
        assert await find_account(world.log, name, world.context()) is None


async def test_names_are_unique(world: World) -> None:
    await world.register("ada_1")
    taken = RegisterAccount(handle="adal", email="x@example.org", password_hash="")
    assert await world.refused(None, replace_email(taken, "ada_1@example.org")) == Code.DUPLICATE
    # A look-alike's handle is taken too.
    assert await world.refused(None, replace_handle(taken, "ada_l")) == Code.DUPLICATE
    assert (await world.register("other", email="x@example.org")) != ""


def replace_email(command: RegisterAccount, email: str) -> RegisterAccount:
    return RegisterAccount(handle="somebody", email=email, password_hash=command.password_hash)


def replace_handle(command: RegisterAccount, handle_: str) -> RegisterAccount:
    return RegisterAccount(handle=handle_, email=command.email, password_hash=command.password_hash)


async def test_of_many_who_want_one_handle_one_gets_it(world: World) -> None:
    tries = [world.register("ada", email=f"ada{n}@example.org") for n in range(20)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, str) for result in results) == 1
    assert all(isinstance(r, str) or (isinstance(r, Refusal) and r.code == Code.DUPLICATE) for r in results)


async def test_of_many_who_want_one_address_one_gets_it(world: World) -> None:
    tries = [world.register(f"ada_x{n}", email="ada@example.org") for n in range(20)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, str) for result in results) == 1


async def test_a_repeated_registration_is_one(world: World) -> None:
    results = await asyncio.gather(*(world.register("ada", key="once") for _ in range(10)))
    assert len(set(results)) == 1
    again = await world.do(
        None, RegisterAccount(handle="ada", email="ada@example.org", password_hash="x", idempotency_key="once")
    )
    assert (again.id, again.repeat, again.changed) == (results[0], True, False)
    other = RegisterAccount(handle="adam", email="ada@example.org", password_hash="x", idempotency_key="once")
    assert await world.refused(None, other) == Code.IDEMPOTENCY_MISMATCH


class BrokenOffError(Exception):
    """The process ended between two steps."""


class Halting:
    """A real log whose caller is held up before its second command."""

    def __init__(self, log: EventLog, hold_up: Callable[[], Awaitable[None]]) -> None:
        self._log = log
        self._hold_up = hold_up
        self._calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def execute(self, execution: Execution) -> Outcome:
        self._calls += 1
        if self._calls == SECOND:
            await self._hold_up()
        return await self._log.execute(execution)


async def break_off() -> None:
    raise BrokenOffError


async def test_a_registration_that_broke_off_is_taken_up_by_its_own_repeat(world: World) -> None:
    claim = claim_stream(NAMER.claim_id("email", "ada@example.org"))

    command = RegisterAccount(handle="ada", email="ada@example.org", password_hash="x", idempotency_key="k")
    with pytest.raises(BrokenOffError):
        await handle(Halting(world.log, break_off), command, world.context())
    held = await state_of(world.log, claim, Claim)
    assert held.held
    assert (
        await world.refused(None, RegisterAccount(handle="bob", email="ada@example.org", password_hash="x"))
        == Code.DUPLICATE
    )
    assert (await world.do(None, command)).id == held.owner


async def test_an_abandoned_address_can_be_taken_over_and_the_slow_one_is_fenced_off(world: World) -> None:
    claim, halted, slow = claim_stream(NAMER.claim_id("email", "ada@example.org")), asyncio.Event(), asyncio.Event()

    async def stop() -> None:
        halted.set()
        await slow.wait()

    command = RegisterAccount(handle="ada", email="ada@example.org", password_hash="x")
    first = asyncio.create_task(handle(Halting(world.log, stop), command, world.context()))
    await halted.wait()
    # recorded_at is the log's own clock; the claim is as old as the difference to what the second registration calls now.
    world.now = (await state_of(world.log, claim, Claim)).held_at + 9 * MINUTE
    assert (
        await world.refused(None, RegisterAccount(handle="bob", email="ada@example.org", password_hash="x"))
        == Code.DUPLICATE
    )
    world.now += 2 * MINUTE
    bob = await world.register("bob", email="ada@example.org")
    slow.set()
    with pytest.raises(Refusal) as refusal:
        await first
    assert refusal.value.code == Code.CONFLICT
    found = await find_account(world.log, "ada@example.org", world.context())
    assert found is not None
    assert found.id == bob


async def test_the_reactor_confirms_a_claim_once(world: World) -> None:
    ada = await world.register("ada")
    (registered,) = await world.log.load(account_stream(ada))
    (command,) = confirm_email_claim(registered)
    assert (await world.do(None, command)).changed
    assert not (await world.do(None, command)).changed
    assert (await state_of(world.log, claim_stream(NAMER.claim_id("email", "ada@example.org")), Claim)).confirmed


async def test_sessions_rotate_and_end(world: World) -> None:
    ada = await world.register("ada")
    session = (await world.do(None, OpenSession(account=ada, token_hash="one"))).id
    refresh = RefreshSession(session=session, presented_hash="one", token_hash="two")
    assert (await world.do(None, refresh)).changed
    with pytest.raises(Refusal):
        await world.do(None, refresh)
    assert (
        await world.refused(None, RefreshSession(session=session, presented_hash="two", token_hash="x"))
        == Code.UNAUTHENTICATED
    )
    other = (await world.do(None, OpenSession(account=ada, token_hash="one"))).id
    assert (await world.do(ada, SignOut(session=other))).changed
    assert not (await world.do(ada, SignOut(session=other))).changed


async def test_a_post_resolves_its_mentions(world: World) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    result = await world.do(ada, CreatePost(text="@BOB meet @nobody #Now"))
    event = result.outcome.events[0].event
    assert isinstance(event, PostCreated)
    assert (event.mentions, event.tags) == ((bob,), ("now",))
    assert [(facet.kind, facet.target) for facet in event.facets] == [("mention", bob), ("tag", "now")]


async def test_a_post_under_one_key_is_one_post(world: World) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    results = await asyncio.gather(*(world.do(ada, CreatePost(text="hi", idempotency_key="k")) for _ in range(10)))
    assert len({result.id for result in results}) == 1
    assert sum(result.changed for result in results) == 1
    assert await world.refused(ada, CreatePost(text="ho", idempotency_key="k")) == Code.IDEMPOTENCY_MISMATCH
    assert (await world.do(bob, CreatePost(text="ho", idempotency_key="k"))).id != results[0].id


async def test_a_thread_keeps_its_root(world: World) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    root = (await world.do(ada, CreatePost(text="one"))).id
    reply = (await world.do(bob, CreatePost(text="two", reply_to=root))).id
    answer = (await world.do(ada, CreatePost(text="three", reply_to=reply))).outcome.events[0].event
    assert isinstance(answer, PostCreated)
    assert (answer.reply_to, answer.reply_to_author, answer.root) == (reply, bob, root)


UNKNOWN = mint_id(17, os.urandom)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (CreatePost(text=""), Code.TOO_SHORT),
        (CreatePost(text=" \n "), Code.TOO_SHORT),
        (CreatePost(text="x" * 501), Code.TOO_LONG),
        (CreatePost(text="é" * 2_501), Code.TOO_LONG),
        (CreatePost(text="a\x00b"), Code.INVALID),
        (CreatePost(text="\ud800"), Code.INVALID),
        (CreatePost(text=" ".join(f"#t{n}" for n in range(31))), Code.TOO_MANY),
        (CreatePost(text=" ".join(f"@ada_{n}" for n in range(31))), Code.TOO_MANY),
        (CreatePost(text="x", language="english"), Code.INVALID),
        (CreatePost(text="x", visibility="SECRET"), Code.INVALID),
        (CreatePost(text="x", content_warning="x" * 201), Code.TOO_LONG),
        (CreatePost(text="x", idempotency_key=""), Code.INVALID),
        (CreatePost(text="x", idempotency_key="k" * 129), Code.TOO_LONG),
        (CreatePost(text="x", reply_to="nonsense"), Code.NOT_FOUND),
        (CreatePost(text="x", reply_to=UNKNOWN), Code.NOT_FOUND),
        (EditPost(post=UNKNOWN, text="x"), Code.NOT_FOUND),
        (DeletePost(post=UNKNOWN), Code.NOT_FOUND),
        (DeletePost(post="../../etc"), Code.NOT_FOUND),
        (LikePost(post=UNKNOWN), Code.NOT_FOUND),
        (UnlikePost(post=UNKNOWN), Code.NOT_FOUND),
        (Repost(post=UNKNOWN), Code.NOT_FOUND),
        (UndoRepost(post=UNKNOWN), Code.NOT_FOUND),
        (FollowUser(user=UNKNOWN), Code.NOT_FOUND),
        (UnfollowUser(user=UNKNOWN), Code.NOT_FOUND),
        (SignOut(session="x"), Code.NOT_FOUND),
        (RefreshSession(session="x", presented_hash="", token_hash=""), Code.UNAUTHENTICATED),
    ],
)
async def test_bad_input_changes_nothing(world: World, command: Command, code: Code) -> None:
    ada = await world.register("ada")
    assert await world.refused(ada, command) == code


@pytest.mark.parametrize(
    "command", [CreatePost(text="x"), LikePost(post=UNKNOWN), FollowUser(user=UNKNOWN), SignOut(session=UNKNOWN)]
)
async def test_guests_are_unauthenticated(world: World, command: Command) -> None:
    assert await world.refused(None, command) == Code.UNAUTHENTICATED


async def test_an_actor_that_does_not_exist_is_unauthenticated(world: World) -> None:
    assert await world.refused(UNKNOWN, CreatePost(text="x")) == Code.UNAUTHENTICATED


async def test_what_is_deleted_takes_no_reply_like_or_repost(world: World) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    post = (await world.do(ada, CreatePost(text="x"))).id
    await world.do(bob, LikePost(post=post))
    await world.do(ada, DeletePost(post=post))
    for command in (CreatePost(text="y", reply_to=post), LikePost(post=post), Repost(post=post)):
        assert await world.refused(bob, command) == Code.NOT_FOUND
    assert (await world.do(bob, UnlikePost(post=post))).changed


async def test_likes_follows_and_reposts_are_idempotent_by_state(world: World) -> None:
    ada, bob = await world.register("ada"), await world.register("bob")
    post = (await world.do(ada, CreatePost(text="x"))).id
    for command in (LikePost(post=post), Repost(post=post), FollowUser(user=ada)):
        results = await asyncio.gather(*(world.do(bob, command) for _ in range(5)))
        assert sum(result.changed for result in results) == 1
    for undoing in (UnlikePost(post=post), UndoRepost(post=post), UnfollowUser(user=ada)):
        results = await asyncio.gather(*(world.do(bob, undoing) for _ in range(5)))
        assert sum(result.changed for result in results) == 1


async def test_nobody_follows_themselves(world: World) -> None:
    ada = await world.register("ada")
    assert await world.refused(ada, FollowUser(user=ada)) == Code.INVALID


async def test_a_followers_post_is_for_followers(world: World) -> None:
    ada, bob, eve = [await world.register(name) for name in ("ada", "bob", "eve")]
    await world.do(bob, FollowUser(user=ada))
    post = (await world.do(ada, CreatePost(text="x", visibility="FOLLOWERS"))).id
    assert (await world.do(bob, LikePost(post=post))).changed
    assert (await world.do(bob, CreatePost(text="y", reply_to=post))).changed
    assert await world.refused(bob, Repost(post=post)) == Code.FORBIDDEN
    for command in (LikePost(post=post), CreatePost(text="y", reply_to=post), Repost(post=post)):
        assert await world.refused(eve, command) == Code.NOT_FOUND


async def test_what_people_type_is_forgotten_with_their_key(world: World) -> None:
    ada = await world.register("ada")
    post = (await world.do(ada, CreatePost(text="secret #kept"))).id
    await world.log.destroy_key(ada)
    account = await state_of(world.log, account_stream(ada), Account)
    assert (account.id, account.private) == (ada, None)
    events = [recorded.event for recorded in await world.log.load(post_stream(post))]
    assert [(e.private, e.tags) for e in events if isinstance(e, PostCreated)] == [(None, ("kept",))]
    (registered,) = await world.log.load(account_stream(ada))
    assert isinstance(registered.event, AccountRegistered)
    assert registered.event.private is None

"""What follows from a deletion, step by step: whatever dies between two steps and however often it is told, everything is done once and in order."""

import asyncio
import itertools
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from domain.commands import (
    BlockUser,
    BookmarkPost,
    ChangePassword,
    Command,
    CreatePost,
    DeleteAccount,
    EndSession,
    FollowUser,
    LikePost,
    MuteUser,
    OpenSession,
    RefreshSession,
    RegisterAccount,
    Repost,
    UpdateProfile,
    Withdraw,
)
from domain.context import Context
from domain.deciders.account import Account
from domain.deciders.claim import Claim
from domain.envelope import Recorded
from domain.errors import Code, Refusal
from domain.events import AccountDeleted, AccountSessionsEnded, PostLiked, SubjectForgotten
from domain.handlers import Result, handle
from domain.handlers.result import state_of
from domain.ids import Namer, account_stream, claim_stream, reaction_stream
from domain.log.port import EventLog
from projections import families
from projections.documents.port import Documents
from projections.footprints import streams_of
from projections.runtime import cascades
from projections.runtime.applying import Folding, Slots
from projections.runtime.cascades import CASCADES
from projections.runtime.deadletters import Parking, dead_letters
from projections.runtime.reactors import Cascade, Cause, Reacting
from tests.runtime_kit import append, mongo_documents, sqlite_documents, sqlite_log

NAMER = Namer(b"k" * 32)
COLLECTIONS = [collection for family in families.ALL for collection in family.collections]
END_SESSIONS, END_ACCOUNT = [
    next(cascade for cascade in CASCADES if cascade.name == name) for name in ("end-sessions", "end-account")
]


class Crash(BaseException):
    """The process is gone: nothing may catch this."""


class Mortal:
    """A log whose caller dies before it destroys a key, and once more right after."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._lives = iter(["before", "after"])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def destroy_key(self, subject: str) -> None:
        death = next(self._lives, "")
        if death == "before":
            raise Crash
        await self._log.destroy_key(subject)
        if death == "after":
            raise Crash


@dataclass
class World:
    """A log, the documents that are folded from it all the while, and one worker's reactors. ``sent`` are the commands, as often as they were."""

    log: EventLog
    documents: Documents
    now: int = field(default_factory=lambda: time.time_ns() // 1_000)
    sent: list[Command] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def do(self, actor: str | None, command: Command, command_id: str = "") -> Result:
        command_id = command_id or f"command-{next(self._numbers)}"
        context = Context(namer=NAMER, entropy=os.urandom, now=self.now, command_id=command_id, actor=actor)
        return await handle(self.log, command, context)

    async def register(self, name: str) -> str:
        return (await self.do(None, RegisterAccount(handle=name, email=f"{name}@example.org", password_hash="hash"))).id

    async def events(self) -> list[Recorded]:
        shards = [await self.log.read(shard, 0, 10_000) for shard in range(self.log.identity.shards)]
        return [recorded for events in shards for recorded in events]

    async def told(self, kind: type[AccountDeleted | AccountSessionsEnded]) -> Recorded:
        return next(recorded for recorded in await self.events() if isinstance(recorded.event, kind))

    async def fold(self) -> None:
        for family in families.ALL:
            consumer = Folding(family, self.documents, Slots(), lambda: None)
            saved = await self.documents.load_checkpoints(family.name)
            for shard in range(self.log.identity.shards):
                events: Sequence[Recorded] = await self.log.read(shard, saved.get(shard, 0), 10_000)
                while events:
                    upto = await consumer.consume(events, Parking(self.documents, family.name, shard))
                    await self.documents.save_checkpoint(family.name, shard, upto, None)
                    events = [recorded for recorded in events if recorded.sequence > upto]

    async def perform(self, command: Command, cause: Cause) -> object:
        self.sent.append(command)
        return await self.do(None, command, cause.command_id)

    async def react(self, cascade: Cascade, recorded: Recorded) -> None:
        reacting = Reacting(cascade, self.perform, self.log, self.documents, Slots(), lambda: None)
        await reacting.consume([recorded], Parking(self.documents, reacting.name, recorded.shard))
        assert await dead_letters(self.documents, reacting.name, recorded.shard) == []


@asynccontextmanager
async def folding(world: World) -> AsyncIterator[None]:
    """The workers of all families, who do not die with the reactors' one."""

    async def run() -> None:
        while True:
            await world.fold()
            await asyncio.sleep(0.005)

    task = asyncio.create_task(run())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await world.fold()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks again here where a slow machine has taken its time."""
    monkeypatch.setattr(cascades, "PATIENCE", 60.0)
    monkeypatch.setattr(cascades, "LOOK", 0.001)


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.cluster)])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    store = (
        sqlite_documents(tmp_path / "documents.db", COLLECTIONS)
        if request.param == "sqlite"
        else mongo_documents(request.getfixturevalue("mongodb_url"), COLLECTIONS)
    )
    async with store as documents, sqlite_log(tmp_path / "log.db") as log:
        yield World(log, documents)


async def lived(world: World) -> tuple[str, str]:
    """Ann, who has done everything that there is to be taken back, and Bob; she is deleted."""
    ann, bob, dan = [await world.register(name) for name in ("ann", "bob", "dan")]
    await world.do(dan, UpdateProfile(locked=True))
    post = (await world.do(bob, CreatePost(text="Something"))).id
    own = (await world.do(ann, CreatePost(text="An answer", reply_to=post))).id
    for actor, command in (
        (ann, FollowUser(user=bob)),
        (bob, FollowUser(user=ann)),
        (ann, FollowUser(user=dan)),
        (ann, LikePost(post=post)),
        (ann, Repost(post=post)),
        (ann, BookmarkPost(post=post)),
        (bob, LikePost(post=own)),
        (ann, BlockUser(user=dan)),
        (ann, MuteUser(user=bob)),
        (None, OpenSession(account=ann, token_hash="one", user_agent="here")),
        (None, OpenSession(account=ann, token_hash="two", user_agent="there")),
    ):
        await world.do(actor, command)
    assert (await world.do(ann, DeleteAccount(verified="hash"))).changed
    return ann, bob


ONCE = {
    "session.revoked": 2,
    "follow.unfollowed": 2,
    "follow.request_withdrawn": 1,
    "post.deleted": 1,
    "reaction.unliked": 1,
    "repost.undone": 1,
    "bookmark.removed": 1,
    "claim.released": 2,
    "account.forgotten": 1,
}


async def since(world: World, deleted: Recorded) -> list[Recorded]:
    return [r for r in await world.events() if r.recorded_at > deleted.recorded_at]


def kinds(events: Sequence[Recorded]) -> dict[str, int]:
    own = {"block", "mute"}
    return dict(Counter(r.event.name for r in events if r.stream.partition("-")[0] not in own))


async def is_over(world: World, ann: str) -> None:
    assert [streams async for streams in streams_of(world.documents, ann)] == []
    email, handle_ = [
        await state_of(world.log, claim_stream(NAMER.claim_id(kind, name)), Claim)
        for kind, name in (("email", "ann@example.org"), ("handle", "ann"))
    ]
    assert (email.held, email.rests(world.now, "")) == (False, False)
    assert (handle_.held, handle_.rests(world.now, "")) == (False, True)
    state = await state_of(world.log, account_stream(ann), Account)
    assert (state.private, state.forgotten) == (None, True)
    with pytest.raises(Refusal) as refusal:
        await world.do(ann, CreatePost(text="from beyond"))
    assert refusal.value.code == Code.UNAUTHENTICATED


async def test_all_is_taken_back_once_and_the_key_goes_last(world: World) -> None:
    ann, _ = await lived(world)
    deleted = await world.told(AccountDeleted)
    async with folding(world):
        await world.react(END_ACCOUNT, deleted)
    events = await since(world, deleted)
    assert kinds(events) == ONCE
    last = max(events, key=lambda r: r.recorded_at)
    assert isinstance(last.event, SubjectForgotten)
    await is_over(world, ann)


async def test_told_again_and_again_it_does_nothing_more(world: World) -> None:
    await lived(world)
    deleted = await world.told(AccountDeleted)
    async with folding(world):
        for _ in range(3):
            await world.react(END_ACCOUNT, deleted)
    assert kinds(await since(world, deleted)) == ONCE


async def test_whoever_dies_at_any_step_all_is_done_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, _ = await lived(world)
    deleted = await world.told(AccountDeleted)
    world.log = Mortal(world.log)
    lives: Counter[str] = Counter()
    deaths = 0

    async def perform(command: Command, cause: Cause) -> object:
        """Dies before each command, and after it, the first two times."""
        lives[cause.command_id] += 1
        if lives[cause.command_id] == 1:
            raise Crash
        done = await world.do(None, command, cause.command_id)
        if lives[cause.command_id] == 2:
            raise Crash
        return done

    # One after the other, or most would die together.
    monkeypatch.setattr("projections.runtime.reactors.TOGETHER", 1)
    async with folding(world):
        while True:
            reacting = Reacting(END_ACCOUNT, perform, world.log, world.documents, Slots(), lambda: None)
            try:
                await reacting.consume([deleted], Parking(world.documents, reacting.name, deleted.shard))
                break
            except Crash:
                deaths += 1
    assert deaths > 2 * 12
    assert kinds(await since(world, deleted)) == ONCE
    await is_over(world, ann)


async def test_what_was_under_way_elsewhere_is_taken_back_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob = await lived(world)
    deleted = await world.told(AccountDeleted)
    post = (await world.do(bob, CreatePost(text="Late"))).id
    late = PostLiked(post=post, author=bob, actor=ann)

    async def perform(command: Command, cause: Cause) -> object:
        """While all that was known is being taken back, a process that has not seen the deletion yet still records a like."""
        if isinstance(command, Withdraw) and command.stream.startswith("post-"):
            await append(world.log, reaction_stream(post, ann), late)
        return await World.perform(world, command, cause)

    monkeypatch.setattr(world, "perform", perform)
    async with folding(world):
        await world.react(END_ACCOUNT, deleted)
    assert kinds(await since(world, deleted))["reaction.unliked"] == 2
    await is_over(world, ann)


async def test_only_what_a_deleted_account_did_is_taken_back(world: World) -> None:
    ann, bob = await world.register("ann"), await world.register("bob")
    await world.do(ann, FollowUser(user=bob))
    await world.fold()
    (streams,) = [streams async for streams in streams_of(world.documents, ann)]
    for stream in streams:
        with pytest.raises(Refusal) as refusal:
            await world.do(None, Withdraw(account=ann, stream=stream))
        assert refusal.value.code == Code.FORBIDDEN


async def test_sessions_that_ended_together_get_their_ends_and_the_others_none(world: World) -> None:
    ann = await world.register("ann")
    kept, *ended = [
        (await world.do(None, OpenSession(account=ann, token_hash=f"{n}", user_agent="x"))).id for n in range(4)
    ]
    await world.do(ann, ChangePassword(password_hash="another", verified="hash", kept=kept))
    later = (await world.do(None, OpenSession(account=ann, token_hash="later"))).id
    with pytest.raises(Refusal):
        await world.do(None, RefreshSession(session=ended[0], presented_hash="1", token_hash="x"))
    told = await world.told(AccountSessionsEnded)
    for _ in range(2):
        await world.fold()
        await world.react(END_SESSIONS, told)
    revoked = [r.stream.partition("-")[2] for r in await world.events() if r.event.name == "session.revoked"]
    assert sorted(revoked) == sorted(ended)
    for session in (kept, later):
        assert not (await world.do(None, EndSession(session=session, account=ann, reason="x"))).changed

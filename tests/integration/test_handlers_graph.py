"""Follows, requests, blocks and mutes on a real log: what several commands add up to, and what a reactor that comes late may still do."""

import itertools
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from domain import deciders
from domain.commands import (
    AcceptFollow,
    AcceptPendingFollow,
    BlockUser,
    BookmarkPost,
    Command,
    CreatePost,
    DeletePost,
    EditPost,
    FollowUser,
    LikePost,
    MuteUser,
    RegisterAccount,
    RejectFollow,
    RemoveFollower,
    Repost,
    UnblockUser,
    UndoRepost,
    UnfollowUser,
    UnlikePost,
    UnmuteUser,
)
from domain.context import Context
from domain.deciders import account as accounts
from domain.deciders.account import Account
from domain.deciders.follow import Follow
from domain.deciders.post import Post
from domain.envelope import Recorded
from domain.errors import Code, Refusal
from domain.events import AccountBeganBlocking, AccountUnlocked, Followed, Media, PostPrivate, Unfollowed
from domain.handlers import Result, handle
from domain.handlers.posts import VISIBILITIES
from domain.handlers.result import shard, state_of
from domain.ids import Namer, account_stream, follow_stream, mint_id, post_stream, stream_shard
from domain.log.port import Draft, EventLog, Execution, View
from domain.log.sqlite import open_sqlite_log
from domain.policies import end_blockers_follow
from tests.runtime_kit import Faults, FaultyLog

NAMER = Namer(b"k" * 32)
NOBODY = mint_id(7, lambda n: bytes(range(n)))


class World:
    """A log with people who can act on it."""

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

    async def done(self, actor: str | None, command: Command) -> Sequence[Recorded]:
        """What was appended."""
        return (await self.do(actor, command)).outcome.events

    async def register(self, handle_: str) -> str:
        command = RegisterAccount(handle=handle_, email=f"{handle_}@example.org", password_hash="hash")
        return (await self.do(None, command)).id

    async def lock(self, account: str, locked: bool) -> Recorded:
        stream, context = account_stream(account), self.context(account)

        def decide(view: View) -> Sequence[Draft]:
            return context.drafts(stream, accounts.lock(view.state(stream, Account), locked))

        outcome = await self.log.execute(Execution(shard(self.log, account), (stream,), decide, context.metadata()))
        return outcome.events[0]

    async def follow_of(self, follower: str, followee: str) -> Follow:
        return await state_of(self.log, follow_stream(follower, followee), Follow)

    async def refused(self, actor: str | None, command: Command) -> tuple[Code, tuple[str, ...]]:
        """Code and field of the refusal; nothing may have been appended."""
        before = await self.heads()
        with pytest.raises(Refusal) as refusal:
            await self.do(actor, command)
        assert await self.heads() == before
        return refusal.value.problems[0].code, refusal.value.problems[0].field

    async def heads(self) -> Sequence[int]:
        return [await self.log.head(number) for number in range(self.log.identity.shards)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    log = await open_sqlite_log(
        tmp_path / "log.db", master_key=b"m" * 32, server_key_fingerprint=NAMER.fingerprint(), aggregates=deciders
    )
    yield World(log)
    await log.close()


@pytest.fixture
async def people(world: World) -> tuple[str, str]:
    """Ann and Bob, in different shards."""
    return await world.register("ann"), await world.register("bob")


def kinds(events: Sequence[Recorded]) -> list[str]:
    return [recorded.event.name for recorded in events]


async def test_ann_and_bob_live_in_different_shards(people: tuple[str, str]) -> None:
    ann, bob = people
    assert stream_shard(account_stream(ann), 8) != stream_shard(account_stream(bob), 8)


async def test_a_block_and_what_it_severs_are_one_batch(world: World, people: tuple[str, str]) -> None:
    ann, bob = people
    await world.do(bob, FollowUser(user=ann))
    await world.do(ann, FollowUser(user=bob))
    began, *events = await world.done(ann, BlockUser(user=bob))
    assert began.event == AccountBeganBlocking(account=ann)
    assert kinds(events) == ["block.blocked", "follow.unfollowed"]
    assert len({recorded.attempt_id for recorded in (began, *events)}) == 1
    assert events[1].event == Unfollowed(follower=bob, followee=ann)
    assert (await world.follow_of(ann, bob)).active
    [command] = end_blockers_follow(events[0])
    assert kinds(await world.done(None, command)) == ["follow.unfollowed"]
    assert await world.done(None, command) == ()
    assert not (await world.follow_of(ann, bob)).active
    assert await world.done(ann, BlockUser(user=bob)) == ()


async def test_a_reactor_that_comes_late_severs_no_later_follow(world: World, people: tuple[str, str]) -> None:
    ann, bob = people
    await world.do(ann, FollowUser(user=bob))
    [_, blocked] = await world.done(ann, BlockUser(user=bob))
    [late] = end_blockers_follow(blocked)
    await world.do(ann, UnblockUser(user=bob))
    # The follow that was to be ended, then ended by hand and begun anew.
    assert await world.done(None, late) == ()
    await world.do(ann, UnfollowUser(user=bob))
    await world.do(ann, FollowUser(user=bob))
    assert await world.done(None, late) == ()
    assert (await world.follow_of(ann, bob)).active


async def test_a_reactor_of_an_earlier_block_leaves_a_later_one_to_its_own(
    world: World, people: tuple[str, str]
) -> None:
    ann, bob = people
    [_, first] = await world.done(ann, BlockUser(user=bob))
    await world.do(ann, UnblockUser(user=bob))
    await world.do(ann, FollowUser(user=bob))
    [second] = await world.done(ann, BlockUser(user=bob))
    assert await world.done(None, end_blockers_follow(first)[0]) == ()
    assert kinds(await world.done(None, end_blockers_follow(second)[0])) == ["follow.unfollowed"]


async def test_a_first_block_that_comes_meanwhile_is_not_missed(world: World, people: tuple[str, str]) -> None:
    ann, bob = people
    post = (await world.do(ann, CreatePost(text="A post"))).id
    log = FaultyLog(world.log, Meanwhile(world, 0, [(ann, BlockUser(user=bob))]))
    with pytest.raises(Refusal) as refusal:
        await handle(log, LikePost(post=post), world.context(bob))
    assert refusal.value.code is Code.CONFLICT
    assert await world.refused(bob, LikePost(post=post)) == (Code.BLOCKED, ("postId",))


class Meanwhile(Faults):
    """Something happens before one of the log's executions, counted from 0."""

    def __init__(self, world: World, at: int, deeds: Sequence[tuple[str, Command]]) -> None:
        super().__init__()
        self._world, self._left, self._deeds = world, at, deeds

    async def before(self, operation: str) -> None:
        if operation == "execute":
            self._left -= 1
            if self._left == -1:
                for actor, command in self._deeds:
                    await self._world.do(actor, command)


async def test_an_edit_keeps_what_it_does_not_name_as_it_stands_then(world: World, people: tuple[str, str]) -> None:
    ann, _ = people
    picture = Media(url="https://pictures.tidings.example/1.png", mime_type="image/png", alt="A cat")
    post = (await world.do(ann, CreatePost(text="One"))).id
    first = EditPost(post=post, text="Two", content_warning="Cats", media=(picture,))
    log = FaultyLog(world.log, Meanwhile(world, 0, [(ann, first)]))
    await handle(log, EditPost(post=post, text="Three"), world.context(ann))
    standing = (await state_of(world.log, post_stream(post), Post)).private
    assert standing == PostPrivate(text="Three", content_warning="Cats", media=(picture,))
    # Nor is a post left with nothing to be seen.
    log = FaultyLog(world.log, Meanwhile(world, 0, [(ann, EditPost(post=post, text="Four", media=()))]))
    with pytest.raises(Refusal) as refusal:
        await handle(log, EditPost(post=post, text=""), world.context(ann))
    assert refusal.value.code is Code.TOO_SHORT


async def test_an_edit_tells_nothing_of_the_post_of_somebody_else(world: World, people: tuple[str, str]) -> None:
    ann, bob = people
    picture = Media(url="https://pictures.tidings.example/1.png", mime_type="image/png", alt="A cat")
    for media in ((), (picture,)):
        post = (await world.do(ann, CreatePost(text="One", visibility="FOLLOWERS", media=media))).id
        with pytest.raises(Refusal) as refusal:
            await handle(world.log, EditPost(post=post, text=""), world.context(bob))
        assert refusal.value.code is Code.NOT_FOUND


@pytest.mark.parametrize("at", range(4))
async def test_a_reactor_that_is_paused_anywhere_severs_no_later_follow(
    world: World, people: tuple[str, str], at: int
) -> None:
    ann, bob = people
    await world.do(ann, FollowUser(user=bob))
    [_, blocked] = await world.done(ann, BlockUser(user=bob))
    [late] = end_blockers_follow(blocked)
    deeds = [(ann, UnblockUser(user=bob)), (ann, UnfollowUser(user=bob)), (ann, FollowUser(user=bob))]
    await handle(FaultyLog(world.log, Meanwhile(world, at, deeds)), late, world.context())
    # Where nothing happened meanwhile, the follow that the block ends has ended.
    assert (await world.follow_of(ann, bob)).active is (at < 3)


async def test_a_block_turns_requests_down_both_ways(world: World, people: tuple[str, str]) -> None:
    ann, bob = people
    for one in people:
        await world.lock(one, True)
    await world.do(bob, FollowUser(user=ann))
    await world.do(ann, FollowUser(user=bob))
    _, *events = await world.done(ann, BlockUser(user=bob))
    assert kinds(events) == ["block.blocked", "follow.request_rejected"]
    [withdrawn] = await world.done(None, end_blockers_follow(events[0])[0])
    assert withdrawn.event.name == "follow.request_withdrawn"
    assert not (await world.follow_of(bob, ann)).requested


async def test_nothing_goes_through_a_block(world: World, people: tuple[str, str]) -> None:
    ann, bob = people
    post = (await world.do(ann, CreatePost(text="Before"))).id
    theirs = (await world.do(bob, CreatePost(text="Also before"))).id
    for one, other, id_ in ((bob, ann, post), (ann, bob, theirs)):
        await world.do(one, LikePost(post=id_))
        await world.do(one, Repost(post=id_))
        # A second like would change nothing, and is refused all the same.
        await world.do(ann, BlockUser(user=bob))
        name = "ann" if other == ann else "bob"
        assert await world.refused(one, FollowUser(user=other)) == (Code.BLOCKED, ("userId",))
        assert await world.refused(one, LikePost(post=id_)) == (Code.BLOCKED, ("postId",))
        assert await world.refused(one, Repost(post=id_)) == (Code.BLOCKED, ("postId",))
        assert await world.refused(one, BookmarkPost(post=id_)) == (Code.BLOCKED, ("postId",))
        assert await world.refused(one, CreatePost(text="Hm", reply_to=id_)) == (Code.BLOCKED, ("replyTo",))
        assert await world.refused(one, CreatePost(text="Hm", quote=id_)) == (Code.BLOCKED, ("quote",))
        assert await world.refused(one, CreatePost(text=f"Hm, @{name}")) == (Code.BLOCKED, ("text",))
        # What was done before can be taken back.
        assert await world.done(one, UnlikePost(post=id_)) != ()
        assert await world.done(one, UndoRepost(post=id_)) != ()
        await world.do(ann, UnblockUser(user=bob))
        await world.do(one, LikePost(post=id_))


async def test_who_was_mentioned_before_a_block_stays_so_in_an_edit(world: World, people: tuple[str, str]) -> None:
    ann, bob = people
    post = (await world.do(bob, CreatePost(text="Hello @ann"))).id
    plain = (await world.do(bob, CreatePost(text="Hello"))).id
    await world.do(ann, BlockUser(user=bob))
    assert await world.done(bob, EditPost(post=post, text="Hello again @ann")) != ()
    assert await world.refused(bob, EditPost(post=plain, text="Hello @ann")) == (Code.BLOCKED, ("text",))


async def test_behind_a_block_all_posts_look_the_same(world: World, people: tuple[str, str]) -> None:
    ann, bob = people
    posts = [(await world.do(ann, CreatePost(text="A post", visibility=kind))).id for kind in VISIBILITIES]
    await world.do(ann, DeletePost(post=posts[0]))
    await world.do(ann, BlockUser(user=bob))
    for post in posts:
        assert await world.refused(bob, LikePost(post=post)) == (Code.BLOCKED, ("postId",))
    assert await world.refused(bob, LikePost(post=NOBODY)) == (Code.NOT_FOUND, ("postId",))


async def test_a_locked_account_lets_in_whom_it_accepts(world: World, people: tuple[str, str]) -> None:
    ann, bob = people
    await world.lock(ann, True)
    assert kinds(await world.done(bob, FollowUser(user=ann))) == ["follow.requested"]
    assert await world.refused(ann, AcceptFollow(user=NOBODY)) == (Code.NOT_FOUND, ("userId",))
    events = await world.done(ann, AcceptFollow(user=bob))
    assert kinds(events) == ["follow.request_accepted", "follow.followed"]
    assert await world.done(ann, AcceptFollow(user=bob)) == ()
    assert await world.done(ann, RejectFollow(user=bob)) == ()
    assert kinds(await world.done(ann, RemoveFollower(user=bob))) == ["follow.unfollowed"]
    assert await world.refused(ann, AcceptFollow(user=bob)) == (Code.NOT_FOUND, ("userId",))
    await world.do(bob, FollowUser(user=ann))
    assert kinds(await world.done(ann, RejectFollow(user=bob))) == ["follow.request_rejected"]
    await world.do(bob, FollowUser(user=ann))
    assert kinds(await world.done(bob, UnfollowUser(user=ann))) == ["follow.request_withdrawn"]


async def test_a_request_of_who_has_blocked_since_is_not_accepted(world: World, people: tuple[str, str]) -> None:
    ann, bob = people
    await world.lock(ann, True)
    await world.do(bob, FollowUser(user=ann))
    await world.do(bob, BlockUser(user=ann))
    assert await world.refused(ann, AcceptFollow(user=bob)) == (Code.BLOCKED, ("userId",))
    unlocked = (await world.lock(ann, False)).sequence
    assert await world.done(None, AcceptPendingFollow(follower=bob, followee=ann, unlocked=unlocked)) == ()


async def test_an_unlocking_accepts_who_asked_before_it_and_nobody_later(world: World, people: tuple[str, str]) -> None:
    ann, bob = people
    eve = await world.register("eve")
    await world.lock(ann, True)
    await world.do(bob, FollowUser(user=ann, reposts=False))
    unlocked = await world.lock(ann, False)
    assert unlocked.event == AccountUnlocked(account=ann)
    await world.lock(ann, True)
    await world.do(eve, FollowUser(user=ann))
    pending = [AcceptPendingFollow(follower=one, followee=ann, unlocked=unlocked.sequence) for one in (bob, eve)]
    events = await world.done(None, pending[0])
    assert events[-1].event == Followed(follower=bob, followee=ann, reposts=False)
    assert await world.done(None, pending[0]) == ()
    assert await world.done(None, pending[1]) == ()
    await world.do(bob, UnfollowUser(user=ann))
    await world.do(bob, FollowUser(user=ann))
    # The redelivery meets a request that is not the one of then.
    assert await world.done(None, pending[0]) == ()


async def test_a_mute_ends_in_the_future(world: World, people: tuple[str, str]) -> None:
    ann, bob = people
    for until in (world.now, world.now - 1, 0, -(10**15)):
        assert await world.refused(ann, MuteUser(user=bob, until=until)) == (Code.INVALID, ("until",))
    assert await world.done(ann, MuteUser(user=bob, until=world.now + 1)) != ()
    assert await world.done(ann, MuteUser(user=bob)) != ()
    assert await world.done(ann, MuteUser(user=bob)) == ()
    assert await world.done(ann, UnmuteUser(user=bob)) != ()
    assert await world.done(ann, UnmuteUser(user=bob)) == ()


TO_ONESELF = (FollowUser, UnfollowUser, RemoveFollower, AcceptFollow, RejectFollow, BlockUser, UnblockUser, MuteUser)


@pytest.mark.parametrize("kind", [*TO_ONESELF, UnmuteUser])
async def test_nobody_does_it_to_themselves_or_to_nobody(
    world: World, people: tuple[str, str], kind: type[FollowUser]
) -> None:
    ann, _ = people
    assert await world.refused(ann, kind(user=ann)) == (Code.INVALID, ("userId",))
    assert await world.refused(ann, kind(user=NOBODY)) == (Code.NOT_FOUND, ("userId",))
    assert await world.refused(ann, kind(user="nonsense")) == (Code.NOT_FOUND, ("userId",))
    assert (await world.refused(None, kind(user=ann)))[0] is Code.UNAUTHENTICATED

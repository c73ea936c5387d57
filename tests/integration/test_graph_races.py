"""Blocks that race with what they forbid, through two handles on one log as two processes have them: in the shard where they meet, nothing slips through."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from domain import deciders
from domain.commands import (
    AcceptFollow,
    BlockUser,
    Command,
    CreatePost,
    FollowUser,
    LikePost,
    RegisterAccount,
    UnblockUser,
    UnlikePost,
    UpdateProfile,
)
from domain.context import Context
from domain.envelope import Recorded
from domain.errors import Code, Refusal
from domain.events import AccountBlocked, AccountUnblocked, Followed, FollowRequested, PostLiked
from domain.handlers import handle
from domain.ids import Namer, account_stream, stream_shard
from domain.log.cassandra import open_cassandra_log
from domain.log.port import EventLog
from domain.log.sqlite import open_sqlite_log
from tests.log_cassandra_kit import FINGERPRINT, MASTER_KEY, keyspace, read_shard

NAMER = Namer(b"k" * 32)
ROUNDS = 12


@pytest.fixture
async def of_sqlite(tmp_path: Path) -> AsyncIterator[list[EventLog]]:
    async with AsyncExitStack() as stack:
        handles: list[EventLog] = []
        for _ in range(2):
            log = await open_sqlite_log(
                tmp_path / "log.db",
                master_key=MASTER_KEY,
                server_key_fingerprint=FINGERPRINT,
                aggregates=deciders,
            )
            stack.push_async_callback(log.close)
            handles.append(log)
        yield handles


@pytest.fixture
async def of_cassandra(cassandra_address: str) -> AsyncIterator[list[EventLog]]:
    async with keyspace(cassandra_address) as tables, tables.store(), AsyncExitStack() as stack:
        handles: list[EventLog] = []
        for _ in range(2):
            log = await open_cassandra_log(
                tables.hosts,
                tables.port,
                tables.name,
                master_key=MASTER_KEY,
                server_key_fingerprint=FINGERPRINT,
                aggregates=deciders,
            )
            stack.push_async_callback(log.close)
            handles.append(log)
        yield handles


_numbers = itertools.count()


async def do(log: EventLog, actor: str | None, command: Command) -> str | None:
    """The id of what it was about; None where it was refused as it may be."""
    context = Context(
        namer=NAMER, entropy=os.urandom, now=1_700_000_000_000_000, command_id=f"c{next(_numbers)}", actor=actor
    )
    try:
        return (await handle(log, command, context)).id
    except Refusal as refusal:
        if refusal.problems[0].code not in (Code.BLOCKED, Code.NOT_FOUND, Code.CONFLICT):
            raise
        return None


async def register(log: EventLog, name: str) -> str:
    account = await do(log, None, RegisterAccount(handle=name, email=f"{name}@example.org", password_hash="hash"))
    assert account is not None
    return account


async def test_nothing_slips_through_a_block_on_sqlite(of_sqlite: list[EventLog]) -> None:
    await race(*of_sqlite)


async def test_nothing_slips_through_a_block_on_cassandra(of_cassandra: list[EventLog]) -> None:
    await race(*of_cassandra)


async def race(one: EventLog, other: EventLog) -> None:
    ann, bob = await register(one, "ann"), await register(one, "bob")
    post = await do(one, ann, CreatePost(text="A post"))
    assert post is not None
    for number in range(ROUNDS):
        await do(one, ann, UpdateProfile(locked=number % 3 == 0))
        await asyncio.gather(
            do(other, bob, FollowUser(user=ann)),
            do(other, bob, LikePost(post=post)),
            do(one, ann, BlockUser(user=bob)),
            do(other, bob, FollowUser(user=ann, notify=True)),
            do(other, ann, AcceptFollow(user=bob)),
        )
        await do(other, bob, UnlikePost(post=post))
        await do(one, ann, UnblockUser(user=bob))
    recorded = await read_shard(one, stream_shard(account_stream(ann), one.identity.shards))
    assert sum(isinstance(event.event, AccountBlocked) for event in recorded) == ROUNDS
    check(recorded, ann, bob)


def check(recorded: list[Recorded], ann: str, bob: str) -> None:
    """In the order of Ann's shard."""
    blocked = False
    for one in recorded:
        match one.event:
            case AccountBlocked(actor=actor) if actor == ann:
                blocked = True
            case AccountUnblocked(actor=actor) if actor == ann:
                blocked = False
            case Followed(follower=follower) | FollowRequested(follower=follower) if follower == bob:
                assert not blocked
            case PostLiked(actor=actor) if actor == bob:
                assert not blocked

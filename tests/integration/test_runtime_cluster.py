"""The runtime on the cluster's stores: two workers fold one log, share its shards and leave nothing behind."""

import asyncio
import itertools
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain import deciders
from domain.log.cassandra import migrate_cassandra, open_cassandra_log
from domain.log.cassandra.driver import connect
from domain.log.cassandra.schema import keys_keyspace
from domain.log.port import EventLog
from projections.documents.port import Documents
from projections.runtime import Runtime, Tuning
from projections.runtime.comparing import compare
from projections.runtime.lag import projection_status
from projections.runtime.progress import State
from projections.runtime.replay import checkpoints_of, replay
from projections.runtime.waiting import Waiting
from tests.runtime_kit import (
    SHARDS,
    TALLIES,
    TRAIL,
    account,
    like,
    mongo_documents,
    sqlite_documents,
    tally_family,
    trail_family,
    unlike,
)

COLLECTIONS = [TALLIES, TRAIL]
FAMILIES = [tally_family(), trail_family(follows=("tallies",))]
POSTS = [account(slot, n) for n, slot in enumerate((1, 2, 900, 901))]
ACTORS = [account(512, n) for n in range(10)]


SERVER_KEY = "test"


@pytest.fixture
async def log(cassandra_address: str) -> AsyncIterator[EventLog]:
    """In a keyspace of its own, which is dropped."""
    host, _, port = cassandra_address.rpartition(":")
    name, at = f"runtime_{os.urandom(6).hex()}", int(port)
    await migrate_cassandra([host], name, port=at, server_key_fingerprint=SERVER_KEY, shards=SHARDS, segment_size=64)
    log = await open_cassandra_log(
        [host], at, name, master_key=bytes(32), server_key_fingerprint=SERVER_KEY, aggregates=deciders
    )
    try:
        yield log
    finally:
        await log.close()
        bridge = await connect([host], at)
        await bridge.define(f"DROP KEYSPACE {one}" for one in (name, keys_keyspace(name)))
        await bridge.close()


@pytest.fixture
async def documents(mongodb_url: str) -> AsyncIterator[Documents]:
    async with mongo_documents(mongodb_url, COLLECTIONS) as opened:
        yield opened


async def live(log: EventLog, seed: int, steps: int) -> None:
    """People like and unlike, several at once."""
    draw = random.Random(seed)
    for _ in range(steps):
        pairs = draw.sample(list(itertools.product(POSTS, ACTORS)), 8)
        await asyncio.gather(*(draw.choice([like, unlike])(log, post, actor) for post, actor in pairs))


async def test_workers_fold_a_cluster_log_as_a_replay_does(log: EventLog, documents: Documents, tmp_path: Path) -> None:
    tuning = Tuning(ttl=2.0, idle=0.1, events=16)
    first, second = (Runtime(log, documents, FAMILIES, tuning=tuning) for _ in range(2))
    await live(log, 1, 10)
    await first.start()
    await live(log, 2, 10)
    await second.start()
    await live(log, 3, 10)
    await first.stop()
    await live(log, 4, 10)
    waiting = Waiting(documents)
    heads = {shard: await log.head(shard) for shard in range(SHARDS)}
    assert all(heads.values())
    while not await waiting.reached([family.name for family in FAMILIES], heads):
        pass
    await waiting.close()
    statuses = await projection_status(log, documents, second.names)
    assert {(one.state, one.lag_events, one.dead_letters) for one in statuses} == {(State.LIVE, 0, 0)}
    await second.stop()
    async with sqlite_documents(tmp_path / "replayed.db", COLLECTIONS) as replayed:
        await replay(log, replayed, FAMILIES, await checkpoints_of(documents, FAMILIES))
        assert [one async for one in compare(documents, replayed, COLLECTIONS)] == []
        assert len(await replayed.scan(TRAIL, limit=1000)) > 100

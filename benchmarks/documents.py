"""fanout.* and projection.*: what the worker writes into MongoDB, against unguarded bulk upserts of the same documents through motor."""

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import UpdateOne

from api.demo.seeder import Seeder
from api.demo.world import build_world
from benchmarks._result import Result, result
from domain import deciders
from domain.context import Context
from domain.envelope import split_sequence
from domain.ids import Namer, mint_id
from domain.log.port import EventLog
from domain.log.sqlite import open_sqlite_log
from projections import families
from projections.documents.mongo import open_mongo_documents
from projections.documents.port import Change, Doc, Documents, Value
from projections.feeds import EDGES, FeedEntry, follow_id
from projections.keys import sort_key
from projections.pushing import Item, push
from projections.runtime import COLLECTIONS, Runtime
from projections.timelines import DEFAULT_LIMITS, build
from tests.servers import Addresses

FOLLOWERS = 1_500
POSTS = 40
BULK = 1_000
LIKES = 12_000
WRITES_OF_A_LIKE = 4
"""Documents that a like changes: the post's counts, the viewer's edge, a signal and a receipt."""

NOW = 1_700_000_000_000_000


async def run(addresses: Addresses, scale: bool) -> Mapping[str, Result]:
    """``scale`` makes ten times as many events."""
    return {
        "fanout.entries": await _fan_out(addresses),
        "projection.events": await _projection(addresses, LIKES * (10 if scale else 1)),
    }


@asynccontextmanager
async def database(addresses: Addresses) -> AsyncIterator[tuple[Documents, Any]]:
    """A document store and a raw motor database beside it, both of one new name, dropped at the end."""
    name = f"bench_{secrets.token_hex(4)}"
    base, _, query = addresses.mongodb.partition("?")
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(addresses.mongodb)
    documents = await open_mongo_documents(f"{base.rstrip('/')}/{name}?{query}")
    try:
        collections = [collection for family in families.ALL for collection in family.collections]
        await documents.prepare([*collections, *COLLECTIONS])
        yield documents, client[name]
    finally:
        await documents.close()
        await client.drop_database(name)
        client.close()


async def _fan_out(addresses: Addresses) -> Result:
    """One author's posts into the timelines of followers who were all here lately."""
    author = mint_id(1, os.urandom)
    owners = [mint_id(number % 1024, os.urandom) for number in range(FOLLOWERS)]
    async with database(addresses) as (documents, raw):
        edges = [_edge(author, owner, position) for position, owner in enumerate(owners, 1)]
        for start in range(0, len(edges), BULK):
            await documents.apply(EDGES, edges[start : start + BULK])
        await asyncio.gather(*(build(documents, owner, "bench", NOW) for owner in owners))
        entries = [_entry(author, number) for number in range(POSTS + 5)]
        for entry in entries[:5]:
            await push(documents, [Item(entry, 1, NOW)], DEFAULT_LIMITS)
        latencies = []
        began = time.perf_counter()
        for entry in entries[5:]:
            at = time.perf_counter()
            await push(documents, [Item(entry, 1, NOW)], DEFAULT_LIMITS)
            latencies.append(time.perf_counter() - at)
        value = FOLLOWERS * POSTS / (time.perf_counter() - began)
        rows = [{"owner": owner, "key": entry.key, "post": entry.post} for entry in entries[5:15] for owner in owners]
        floor = await _bulk_upserts(raw, rows)
    return result(value, floor, "rows/s", latencies)


def _edge(author: str, owner: str, position: int) -> Doc:
    edge = follow_id(owner, author)
    fields: dict[str, Value] = {
        "follower": owner,
        "followee": author,
        "active": True,
        "key": sort_key(NOW, edge),
        "reposts": True,
    }
    return Doc(edge, 0, ((position, (Change(set=fields),)),))


def _entry(author: str, number: int) -> FeedEntry:
    post = mint_id(1, os.urandom)
    return FeedEntry(author=author, item=post, key=sort_key(NOW + number, post), post=post, post_author=author)


async def _bulk_upserts(raw: Any, rows: Sequence[Mapping[str, object]]) -> float:
    """Rows a second of plain upserts, a thousand a bulk, by the driver alone."""
    began = time.perf_counter()
    for start in range(0, len(rows), BULK):
        step = rows[start : start + BULK]
        updates = [UpdateOne({"_id": f"{start}-{n}"}, {"$set": row}, upsert=True) for n, row in enumerate(step)]
        await raw.floor.bulk_write(updates, ordered=False)
    return len(rows) / (time.perf_counter() - began)


async def _projection(addresses: Addresses, likes: int) -> Result:
    """All families over a log that is mostly likes; the floor writes as many documents as those likes change."""
    with tempfile.TemporaryDirectory() as directory:
        log = await _log_of_likes(Path(directory), likes)
        async with database(addresses) as (documents, raw):
            heads = {shard: await log.head(shard) for shard in range(log.identity.shards)}
            events = sum(split_sequence(head)[1] for head in heads.values())
            runtime = Runtime(log, documents, families.ALL)
            began = time.perf_counter()
            await runtime.start()
            await _projected(documents, heads)
            value = events / (time.perf_counter() - began)
            await runtime.stop()
            rows = [{"position": n, "actor": f"a{n}", "post": f"p{n % 997}"} for n in range(likes)] * WRITES_OF_A_LIKE
            floor = await _bulk_upserts(raw, rows) / WRITES_OF_A_LIKE
        await log.close()
    return result(value, floor, "events/s")


async def _log_of_likes(directory: Path, likes: int) -> EventLog:
    namer = Namer(b"benchmark" * 4)
    log = await open_sqlite_log(
        directory / "log.db", master_key=b"m" * 32, server_key_fingerprint=namer.fingerprint(), aggregates=deciders
    )
    context = Context(namer=namer, entropy=os.urandom, now=time.time_ns() // 1_000, command_id="bench")
    world = build_world(accounts=200, posts=likes // 12, likes=likes, reposts=0)
    await Seeder(log, context, world, seed=1, password_hash="", progress=_silent).run()
    return log


def _silent(_phase: str, _done: int) -> None:
    """No bar while measuring."""


async def _projected(documents: Documents, heads: Mapping[int, int]) -> None:
    async with asyncio.timeout(600):
        for family in families.ALL:
            while True:
                checkpoints = await documents.load_checkpoints(family.name)
                if all(checkpoints.get(shard, 0) >= head for shard, head in heads.items()):
                    break
                await asyncio.sleep(0.02)

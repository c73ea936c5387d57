"""A document store of one's own for a benchmark, and what the driver alone does beside it."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import UpdateOne

from api.demo.seeder import Seeder
from api.demo.world import build_world
from domain import deciders
from domain.context import Context
from domain.ids import Namer
from domain.log.port import EventLog
from domain.log.sqlite import open_sqlite_log
from projections import families
from projections.documents.mongo import open_mongo_documents
from projections.documents.port import Documents
from projections.folding import Family
from projections.runtime import COLLECTIONS
from projections.runtime.identity import require_same_log
from tests.servers import Addresses

BULK = 1_000
WRITES_OF_A_LIKE = 7
"""Documents that a like changes: the edge and the relation of who likes, a footprint, a note, a signal, a receipt; and the counts of the post, some at a time."""

_NAMER = Namer(b"benchmark" * 4)


@asynccontextmanager
async def database(addresses: Addresses) -> AsyncIterator[tuple[Documents, Any, str]]:
    """A document store, a raw motor database beside it, both of one new name, dropped at the end; and its URL."""
    name = f"bench_{secrets.token_hex(4)}"
    base, _, query = addresses.mongodb.partition("?")
    url = f"{base.rstrip('/')}/{name}?{query}"
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(addresses.mongodb)
    documents = await open_mongo_documents(url)
    try:
        collections = [collection for family in families.ALL for collection in family.collections]
        await documents.prepare([*collections, *COLLECTIONS])
        yield documents, client[name], url
    finally:
        await documents.close()
        await client.drop_database(name)
        client.close()


async def bulk_upserts(raw: Any, rows: Sequence[Mapping[str, object]]) -> float:
    """Rows a second of plain upserts, a thousand a bulk, by the driver alone."""
    began = time.perf_counter()
    for start in range(0, len(rows), BULK):
        step = rows[start : start + BULK]
        updates = [UpdateOne({"_id": f"{start}-{n}"}, {"$set": row}, upsert=True) for n, row in enumerate(step)]
        await raw.floor.bulk_write(updates, ordered=False)
    return len(rows) / (time.perf_counter() - began)


async def open_log(directory: Path) -> EventLog:
    return await open_sqlite_log(
        directory / "log.db", master_key=b"m" * 32, server_key_fingerprint=_NAMER.fingerprint(), aggregates=deciders
    )


async def log_of_likes(directory: Path, likes: int) -> EventLog:
    """A log of a small world that is mostly likes."""
    log = await open_log(directory)
    context = Context(namer=_NAMER, entropy=os.urandom, now=time.time_ns() // 1_000, command_id="bench")
    world = build_world(accounts=200, posts=likes // 12, likes=likes, reposts=0)
    await Seeder(log, context, world, seed=1, password_hash="", progress=_silent).run()
    return log


def _silent(_phase: str, _done: int) -> None:
    """No bar while measuring."""


async def entered(log: EventLog, documents: Documents, some: Sequence[Family]) -> None:
    """As if the families had been folded here before, so that workers go on instead of filling them anew."""
    await require_same_log(log, documents, [family.name for family in some])
    for family in some:
        await documents.save_checkpoint(family.name, 0, 0, None)


async def projected(documents: Documents, some: Sequence[Family], heads: Mapping[int, int]) -> None:
    """Until the families have come to the heads."""
    async with asyncio.timeout(600):
        for family in some:
            while True:
                checkpoints = await documents.load_checkpoints(family.name)
                if all(checkpoints.get(shard, 0) >= head for shard, head in heads.items()):
                    break
                await asyncio.sleep(0.02)

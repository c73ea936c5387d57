"""projection.*: what workers fold into MongoDB, against unguarded bulk upserts of as many documents through motor."""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks._documents import WRITES_OF_A_LIKE, bulk_upserts, database, entered, log_of_likes, projected
from benchmarks._result import Result, result
from domain.envelope import split_sequence
from domain.log.port import EventLog
from projections import families, posts
from projections.documents.port import Change, Doc, Documents
from projections.folding import Family
from projections.runtime import Runtime
from tests.servers import Addresses

LIKES = 8_000
WORKERS_LIKES = 16_000
FEW, MANY = 10_000, 1_000_000
"""Documents that stand in a collection while some of them are changed."""
CHANGED = 1_000
ROUNDS = 30


async def run(addresses: Addresses, scale: bool) -> Mapping[str, Result]:
    """``scale`` makes ten times as many events, and compares a small collection with a large one."""
    with tempfile.TemporaryDirectory() as directory:
        log = await log_of_likes(Path(directory), LIKES * (10 if scale else 1))
        home = [family for family in families.ALL if family.name == "home"]
        results = {
            "projection.events": await _projection(addresses, log, families.ALL),
            "projection.home": await _projection(addresses, log, home),
        }
        await log.close()
    results["projection.workers_2_vs_1"] = await _workers(addresses)
    if scale:
        results["projection.many_documents_vs_few"] = await _sizes(addresses)
    return results


async def _projection(addresses: Addresses, log: EventLog, some: Sequence[Family]) -> Result:
    """The families over a log that is mostly likes; the floor writes as many documents as those likes change."""
    heads = {shard: await log.head(shard) for shard in range(log.identity.shards)}
    events = sum(split_sequence(head)[1] for head in heads.values())
    async with database(addresses) as (documents, raw, _):
        await entered(log, documents, some)
        runtime = Runtime(log, documents, some)
        began = time.perf_counter()
        await runtime.start()
        await projected(documents, some, heads)
        value = events / (time.perf_counter() - began)
        await runtime.stop()
        rows = [{"position": n, "actor": f"a{n}", "post": f"p{n % 997}"} for n in range(LIKES)] * WRITES_OF_A_LIKE
        return result(value, await bulk_upserts(raw, rows) / WRITES_OF_A_LIKE, "events/s")


async def _workers(addresses: Addresses) -> Result:
    """Two processes against one, on as many cores as they share with the servers."""
    with tempfile.TemporaryDirectory() as directory:
        log = await log_of_likes(Path(directory), WORKERS_LIKES)
        one, two = [await _folded_by(addresses, log, Path(directory), count) for count in (1, 2)]
        await log.close()
    return result(two, one, "events/s")


async def _folded_by(addresses: Addresses, log: EventLog, directory: Path, count: int) -> float:
    """Events a second, counted from where a tenth is folded, so that no process's start is measured."""
    heads = {shard: await log.head(shard) for shard in range(log.identity.shards)}
    events = sum(split_sequence(head)[1] for head in heads.values())
    async with database(addresses) as (documents, _, url):
        await entered(log, documents, families.ALL)
        async with _processes(directory, url, count):
            while (first := await _folded(documents)) < events // 10:
                await asyncio.sleep(0.02)
            began = time.perf_counter()
            await projected(documents, families.ALL, heads)
            return (events - first) / (time.perf_counter() - began)


async def _folded(documents: Documents) -> int:
    """Events that the slowest family has taken in."""
    saved = [await documents.load_checkpoints(family.name) for family in families.ALL]
    return min(sum(split_sequence(sequence)[1] for sequence in own.values()) for own in saved)


@asynccontextmanager
async def _processes(directory: Path, url: str, count: int) -> AsyncIterator[None]:
    command = (sys.executable, "-m", "benchmarks._worker", str(directory), url)
    workers = [await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL) for _ in range(count)]
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            await worker.wait()


async def _sizes(addresses: Addresses) -> Result:
    """Guarded changes a second to a thousand documents at a time, spread over a million and over ten thousand."""
    many, few = [await _changes(addresses, size) for size in (MANY, FEW)]
    return result(many, few, "changes/s")


async def _changes(addresses: Addresses, size: int) -> float:
    async with database(addresses) as (documents, raw, _):
        stored = raw["posts.posts.v1"]
        for start in range(0, size, 10_000):
            made = [
                {"_id": _name(n), "author": f"a{n % 997}", "counts": {}, "_p": {"0": 1}}
                for n in range(start, start + 10_000)
            ]
            await stored.insert_many(made, ordered=False)
        like = (Change(inc={"counts.likes": 1}),)
        began = time.perf_counter()
        for turn in range(ROUNDS):
            chosen = {(turn * CHANGED + n) * 7_919 % size for n in range(CHANGED)}
            await documents.apply(posts.POSTS, [Doc(_name(n), 0, ((2 + turn, like),)) for n in sorted(chosen)])
        return ROUNDS * CHANGED / (time.perf_counter() - began)


def _name(number: int) -> str:
    """Scattered, as ids are."""
    return f"{number * 2_654_435_761 % 2**32:026}"

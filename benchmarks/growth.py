"""log.memory, log.append_grown, log.load_grown: what a process holds, and what appending and loading cost, after a million events against after a hundred thousand.

All along, every event is also read as a consumer reads it. Streams have the same length throughout, so that only the log grows.
"""

import asyncio
import gc
import os
import secrets
import statistics
import time
from collections.abc import Mapping, Sequence

from benchmarks._floor import dropped
from benchmarks._result import Result, result
from benchmarks.log import append, opened
from benchmarks.memory import resident
from domain.ids import mint_id
from domain.log.cassandra import CassandraLog, migrate_cassandra
from tests.servers import Addresses

BLOCK = 100_000
BLOCKS = 10
STREAMS = 2_000
"""Of a block: each has 50 events."""
CACHED_STATES = 1_000
"""Few, so that the cache is as full after the first block as after the last."""
LOADS = 300
PAGE = 1_000


async def run(addresses: Addresses, scale: bool) -> Mapping[str, Result]:
    """Nothing without ``scale``."""
    if not scale:
        return {}
    keyspace = f"bench_{secrets.token_hex(4)}"
    host, _, port = addresses.cassandra.partition(":")
    await migrate_cassandra([host], keyspace, port=int(port), server_key_fingerprint="bench")
    try:
        async with opened(addresses, keyspace, cached_states=CACHED_STATES) as log:
            return await _grown(log)
    finally:
        await asyncio.to_thread(dropped, addresses, keyspace)


async def _grown(log: CassandraLog) -> Mapping[str, Result]:
    held: list[float] = []
    rates: list[float] = []
    loads: list[list[float]] = []
    # Up to which sequence each shard has been read, and how many events that were.
    read = [(0, 0)] * log.identity.shards
    for _ in range(BLOCKS):
        streams = [f"said-{mint_id(n % 1024, os.urandom)}" for n in range(STREAMS)]
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            group.create_task(append(log, streams, BLOCK))
            tailing = [group.create_task(_tail(log, shard, read)) for shard in range(len(read))]
            group.create_task(_ended(read, BLOCK * (len(held) + 1), tailing))
        rates.append(BLOCK / (time.perf_counter() - began))
        loads.append(await _loads(log, streams[:LOADS]))
        gc.collect()
        held.append(resident(os.getpid()))
    return {
        "log.memory": result(held[-1], held[0], "MiB"),
        "log.append_grown": result(statistics.median(rates[-3:]), statistics.median(rates[:3]), "events/s"),
        "log.load_grown": result(
            statistics.median(loads[-1]) * 1_000, statistics.median(loads[0]) * 1_000, "ms", loads[-1]
        ),
    }


async def _tail(log: CassandraLog, shard: int, read: list[tuple[int, int]]) -> None:
    """Reads the shard for ever."""
    while True:
        after, count = read[shard]
        run = await log.read(shard, after, PAGE)
        if run:
            # Segments are filled up with events of the log's own.
            own = sum(each.stream.startswith("said-") for each in run)
            read[shard] = (run[-1].sequence, count + own)
        else:
            await log.wait(shard, after, 1)


async def _ended(read: Sequence[tuple[int, int]], total: int, tailing: Sequence["asyncio.Task[None]"]) -> None:
    while sum(count for _, count in read) < total:
        await asyncio.sleep(0.1)
    for task in tailing:
        task.cancel()


async def _loads(log: CassandraLog, streams: Sequence[str]) -> list[float]:
    latencies: list[float] = []
    for stream in streams:
        began = time.perf_counter()
        events = await log.load(stream)
        latencies.append(time.perf_counter() - began)
        if len(events) != BLOCK // STREAMS:
            raise RuntimeError(f"{stream} has {len(events)} events")
    return latencies

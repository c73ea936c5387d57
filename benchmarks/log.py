"""log.*: appends against plain inserts and against one conditional write per event, and replay against reading raw rows; all in one process.

The floors speak to the driver directly, with callbacks and no event loop: nothing that uses it can be faster in Python. Rounds of both sides
alternate, so that noise meets both, and the median round counts.
"""

import asyncio
import itertools
import os
import random
import secrets
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

from benchmarks._floor import IN_FLIGHT, PAGE, TEXT, Floor, Kind, Said, metadata
from benchmarks._result import Result, result
from domain.envelope import Recorded
from domain.errors import UnavailableError
from domain.ids import mint_id, stream_shard
from domain.log.cassandra import CassandraLog, migrate_cassandra, open_cassandra_log
from domain.log.cassandra.log import CACHED_STATES
from domain.log.port import Draft, Execution, View
from tests.servers import Addresses

ROUNDS = 3
EVENTS = 6_000
"""Of one round; a warming round comes before."""
SINGLES = 400


class Counting:
    """See domain.log.batching.Aggregates: the state is the number of events."""

    def initial(self, _stream: str) -> object:
        return 0

    def evolve(self, _stream: str, state: object, _recorded: Recorded) -> object:
        return state + 1 if isinstance(state, int) else state

    def edition(self) -> str:
        return "benchmark"


async def run(addresses: Addresses, scale: bool) -> Mapping[str, Result]:
    """``scale`` makes rounds of ten times as many events."""
    events = EVENTS * (10 if scale else 1)
    keyspace = f"bench_{secrets.token_hex(4)}"
    host, _, port = addresses.cassandra.partition(":")
    await migrate_cassandra([host], keyspace, port=int(port), server_key_fingerprint="bench")
    floor = await asyncio.to_thread(Floor, addresses, keyspace)
    existing = _new_streams(2_000)
    try:
        async with opened(addresses, keyspace) as log:
            await append(log, existing, len(existing))
            results = {
                **await _appends(log, floor, existing, events),
                "log.append_1_vs_lwt": await _single(log, floor, existing),
            }
            await _known_to_be_indexed(log)
        # Another handle, as a rebuilding worker has: nothing is in memory.
        async with opened(addresses, keyspace) as log:
            return {**results, "log.replay": await _replay(log, floor)}
    finally:
        await asyncio.to_thread(floor.close, keyspace)


@asynccontextmanager
async def opened(
    addresses: Addresses, keyspace: str, cached_states: int = CACHED_STATES
) -> AsyncIterator[CassandraLog]:
    """A handle on a log."""
    host, _, port = addresses.cassandra.partition(":")
    log = await open_cassandra_log(
        [host],
        int(port),
        keyspace,
        master_key=bytes(32),
        server_key_fingerprint="bench",
        aggregates=Counting(),
        cached_states=cached_states,
    )
    try:
        yield log
    finally:
        await log.close()


def _new_streams(count: int) -> Sequence[str]:
    """In no order of their shards, as commands come: what is in flight is spread over all of them."""
    streams = [f"said-{mint_id(number % 1024, os.urandom)}" for number in range(count)]
    random.shuffle(streams)
    return streams


async def _known_to_be_indexed(log: CassandraLog) -> None:
    """Waits until another process would begin at the head."""
    async with asyncio.timeout(60):
        while any(shard.watermark < shard.seen for shard in log.shards):
            await asyncio.sleep(0.1)


def _saying(stream: str, shards: int) -> Execution:
    drafts = (Draft(stream, Said(text=TEXT)),)

    def decide(view: View) -> Sequence[Draft]:
        assert isinstance(view.state(stream, int), int)
        return drafts

    return Execution(shard=stream_shard(stream, shards), streams=(stream,), decide=decide, metadata=metadata())


async def _execute(log: CassandraLog, execution: Execution) -> None:
    """Until it is appended: a node that stalls for a second is called away, and the command not sent."""
    while True:
        try:
            await log.execute(execution)
        except UnavailableError:
            await asyncio.sleep(0.05)
        else:
            return


async def append(log: CassandraLog, streams: Sequence[str], count: int, in_flight: int = IN_FLIGHT) -> list[float]:
    """Latencies of ``count`` commands of one event; ends when the index holds them too."""
    chosen: Iterator[str] = itertools.islice(itertools.cycle(streams), count)
    shards, latencies = log.identity.shards, []

    async def client() -> None:
        for stream in chosen:
            began = time.perf_counter()
            await _execute(log, _saying(stream, shards))
            latencies.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(client())
    await log.indexed()
    return latencies


async def _appends(log: CassandraLog, floor: Floor, existing: Sequence[str], events: int) -> Mapping[str, Result]:
    async def append_existing() -> list[float]:
        return await append(log, existing, events)

    async def append_new() -> list[float]:
        return await append(log, _new_streams(events), events)

    async def insert() -> list[float]:
        return await asyncio.to_thread(floor.insert, events, Kind.PLAIN)

    async def compare_and_set() -> list[float]:
        return await asyncio.to_thread(floor.insert, events // 4, Kind.LWT)

    async def compare_and_set_columns() -> list[float]:
        return await asyncio.to_thread(floor.insert, events // 4, Kind.COLUMNS)

    rates = await _rates([append_existing, append_new, insert, compare_and_set, compare_and_set_columns])
    (appended, latencies), (new, new_latencies), (inserted, _), (conditional, _), (columns, _) = rates
    return {
        "log.append_256_vs_insert": result(appended, inserted, "events/s", latencies),
        "log.append_256_vs_lwt": result(appended, conditional, "events/s", latencies),
        "log.append_256_vs_lwt_columns": result(appended, columns, "events/s", latencies),
        "log.append_new_256": result(new, inserted, "events/s", new_latencies),
    }


async def _rates(sides: Sequence[Callable[[], Awaitable[list[float]]]]) -> list[tuple[float, list[float]]]:
    """For each side the median round's rate, and the latencies of all rounds."""
    rates: list[list[float]] = [[] for _ in sides]
    latencies: list[list[float]] = [[] for _ in sides]
    for number in range(ROUNDS + 1):
        for side, measure in enumerate(sides):
            began = time.perf_counter()
            measured = await measure()
            if number:
                rates[side].append(len(measured) / (time.perf_counter() - began))
                latencies[side] += measured
    return [(statistics.median(rate), each) for rate, each in zip(rates, latencies, strict=True)]


async def _single(log: CassandraLog, floor: Floor, existing: Sequence[str]) -> Result:
    """Medians of one command at a time, and of one conditional insert at a time."""
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(ROUNDS):
        ours += await append(log, existing, SINGLES // ROUNDS, in_flight=1)
        theirs += await asyncio.to_thread(floor.insert, SINGLES // ROUNDS, Kind.LWT, in_flight=1)
    return result(statistics.median(ours) * 1_000, statistics.median(theirs) * 1_000, "ms", ours)


async def _replay(log: CassandraLog, floor: Floor) -> Result:
    """All shards from the first event on."""
    identity = log.identity

    async def replay() -> list[float]:
        return [0.0] * sum([await _read(log, shard) for shard in range(identity.shards)])

    async def select() -> list[float]:
        counts = [await asyncio.to_thread(floor.read, n, identity.segment_size) for n in range(identity.shards)]
        return [0.0] * sum(counts)

    (replayed, _), (selected, _) = await _rates([replay, select])
    return result(replayed, selected, "events/s")


async def _read(log: CassandraLog, shard: int) -> int:
    after = count = 0
    while run := await log.read(shard, after, PAGE):
        after = run[-1].sequence
        count += len(run)
    return count

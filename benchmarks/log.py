"""log.*: appends against plain inserts and against one conditional write per event, and replay against reading raw rows; all in one process.

The floors speak to the driver directly, with callbacks and no event loop: nothing that uses it can be faster in Python. Rounds of both sides
alternate, so that noise meets both, and the median round counts.
"""

import asyncio
import itertools
import os
import secrets
import socket
import statistics
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import FallthroughRetryPolicy
from cassandra.query import tuple_factory

from benchmarks._result import Result, result
from domain.envelope import Metadata, Recorded
from domain.errors import UnavailableError
from domain.events import Event, event
from domain.ids import mint_id, stream_shard
from domain.log.cassandra import CassandraLog, migrate_cassandra, open_cassandra_log
from domain.log.cassandra.log import CACHED_STATES
from domain.log.cassandra.packing import pack
from domain.log.codec import encode
from domain.log.port import Draft, Execution, View
from tests.servers import Addresses

IN_FLIGHT = 256
ROUNDS = 5
EVENTS = 6_000
"""Of one round; a warming round comes before."""
SINGLES = 400
PAGE = 1_000
TEXT = "x" * 280
"""Makes the payload 300 bytes."""


@event("bench.said")
class Said(Event, frozen=True, kw_only=True):
    """An event of 300 bytes."""

    text: str


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
    floor = await asyncio.to_thread(_Floor, addresses, keyspace)
    existing = [f"said-{mint_id(number % 1024, os.urandom)}" for number in range(2_000)]
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


class _Floor:
    """The driver as it is, on two tables whose rows are the log's."""

    def __init__(self, addresses: Addresses, keyspace: str) -> None:
        host, _, port = addresses.cassandra.partition(":")
        profile = ExecutionProfile(
            retry_policy=FallthroughRetryPolicy(),
            consistency_level=ConsistencyLevel.LOCAL_QUORUM,
            serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
            row_factory=tuple_factory,
            request_timeout=60,
        )
        self._cluster = Cluster(
            [host],
            port=int(port),
            protocol_version=4,
            sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        )
        self._session = self._cluster.connect(keyspace)
        self._session.default_fetch_size = None
        for name, columns, key in (
            ("plain", "generation int, shard int, position bigint, body blob", "(generation, shard), position"),
            ("conditional", "stream text, version int, body blob", "(stream), version"),
        ):
            self._session.execute(f"CREATE TABLE {name} ({columns}, PRIMARY KEY ({key}))", timeout=60)
        self._plain = self._session.prepare("INSERT INTO plain (generation, shard, position, body) VALUES (?, ?, ?, ?)")
        self._conditional = self._session.prepare(
            "INSERT INTO conditional (stream, version, body) VALUES (?, ?, ?) IF NOT EXISTS"
        )
        self._rows = self._session.prepare(
            f"SELECT body FROM {keyspace}.event_log"
            " WHERE generation = ? AND shard = ? AND segment = ? AND position > ? LIMIT ?"
        )
        self._positions = itertools.count(1)

    def insert(self, count: int, *, conditional: bool, in_flight: int = IN_FLIGHT) -> list[float]:
        """Latencies; conditional inserts go to a partition each."""
        statement = self._conditional if conditional else self._plain
        slots, latencies = threading.Semaphore(in_flight), []
        for _ in range(count):
            slots.acquire()
            bound, began = statement.bind(self._row(conditional)), time.perf_counter()

            def done(_rows: object, began: float = began) -> None:
                latencies.append(time.perf_counter() - began)
                slots.release()

            # A time-out of a node that stalled counts as done: the round has paid for it.
            self._session.execute_async(bound).add_callbacks(done, done)
        for _ in range(in_flight):
            slots.acquire()
        return latencies

    def _row(self, conditional: bool) -> Sequence[object]:
        position = next(self._positions)
        recorded = Recorded(
            event_id=f"{_ATTEMPT}-{position}",
            stream=f"said-{mint_id(position % 1024, os.urandom)}",
            version=1,
            event=Said(text=TEXT),
            metadata=_metadata(),
            occurred_at=time.time_ns() // 1000,
            recorded_at=time.time_ns() // 1000,
            attempt_id=_ATTEMPT,
            generation=1,
            shard=position % 8,
            position=position,
        )
        row = encode(recorded, subject=None, key=None)
        key = (row.stream, row.version) if conditional else (row.generation, row.shard, row.position)
        return [*key, pack(row)]

    def read(self, shard: int, segment_size: int) -> int:
        """Reads a shard's raw rows, page after page; how many there are."""
        position = 0
        while True:
            limit = min(PAGE, segment_size - position % segment_size)
            rows = list(self._session.execute(self._rows, (1, shard, position // segment_size, position, limit)))
            position += len(rows)
            if len(rows) < limit:
                return position

    def close(self, keyspace: str) -> None:
        _drop(self._session, keyspace)
        self._cluster.shutdown()


def dropped(addresses: Addresses, keyspace: str) -> None:
    """Drops a log's keyspaces."""
    host, _, port = addresses.cassandra.partition(":")
    with Cluster([host], port=int(port)) as cluster:
        _drop(cluster.connect(), keyspace)


def _drop(session: Session, keyspace: str) -> None:
    for name in (keyspace, f"{keyspace}_keys"):
        session.execute(f"DROP KEYSPACE {name}", timeout=60)


_ATTEMPT = mint_id(0, os.urandom)


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


async def _known_to_be_indexed(log: CassandraLog) -> None:
    """Waits until another process would begin at the head."""
    async with asyncio.timeout(60):
        while any(shard.watermark < shard.seen for shard in log.shards):
            await asyncio.sleep(0.1)


def _metadata() -> Metadata:
    command = mint_id(0, os.urandom)
    return Metadata(command_id=command, actor=command, correlation_id=command)


def _saying(stream: str, shards: int) -> Execution:
    drafts = (Draft(stream, Said(text=TEXT)),)

    def decide(view: View) -> Sequence[Draft]:
        assert isinstance(view.state(stream, int), int)
        return drafts

    return Execution(shard=stream_shard(stream, shards), streams=(stream,), decide=decide, metadata=_metadata())


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


async def _appends(log: CassandraLog, floor: _Floor, existing: Sequence[str], events: int) -> Mapping[str, Result]:
    async def append_existing() -> list[float]:
        return await append(log, existing, events)

    async def append_new() -> list[float]:
        return await append(log, [f"said-{mint_id(n % 1024, os.urandom)}" for n in range(events)], events)

    async def insert() -> list[float]:
        return await asyncio.to_thread(floor.insert, events, conditional=False)

    async def compare_and_set() -> list[float]:
        return await asyncio.to_thread(floor.insert, events // 4, conditional=True)

    rates = await _rates([append_existing, append_new, insert, compare_and_set])
    (appended, latencies), (new, new_latencies), (inserted, _), (conditional, _) = rates
    return {
        "log.append_256_vs_insert": result(appended, inserted, "events/s", latencies),
        "log.append_256_vs_lwt": result(appended, conditional, "events/s", latencies),
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


async def _single(log: CassandraLog, floor: _Floor, existing: Sequence[str]) -> Result:
    """Medians of one command at a time, and of one conditional insert at a time."""
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(ROUNDS):
        ours += await append(log, existing, SINGLES // ROUNDS, in_flight=1)
        theirs += await asyncio.to_thread(floor.insert, SINGLES // ROUNDS, conditional=True, in_flight=1)
    return result(statistics.median(ours) * 1_000, statistics.median(theirs) * 1_000, "ms", ours)


async def _replay(log: CassandraLog, floor: _Floor) -> Result:
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

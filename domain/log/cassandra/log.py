"""The event log on Cassandra: the port, put together from its parts, and its life from opening to closing."""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Final

import structlog

from domain.envelope import Recorded, sequence
from domain.errors import UnavailableError
from domain.ids import Entropy
from domain.log.batching import Aggregates
from domain.log.cassandra.appender import Appender
from domain.log.cassandra.appointments import CassandraAppointments, open_appointments
from domain.log.cassandra.clock import open_clock_guard
from domain.log.cassandra.copier import Copier
from domain.log.cassandra.dispatch import PATIENCE, QUEUE, Dispatcher
from domain.log.cassandra.driver import Bridge, connect
from domain.log.cassandra.follower import Follower
from domain.log.cassandra.index import Progress, open_index, open_progress
from domain.log.cassandra.keeper import Keeper
from domain.log.cassandra.keys import open_key_store
from domain.log.cassandra.reading import Reader
from domain.log.cassandra.schema import Meta, read_meta, require_data_centre, require_fingerprint, require_name
from domain.log.cassandra.shard import Shard
from domain.log.cassandra.snapshots import open_snapshots
from domain.log.cassandra.table import LogTable, Place, open_table
from domain.log.port import Execution, LogIdentity, Outcome
from domain.log.sealing import KeyCache, KeyRing, MasterKeys

CLOSE_SECONDS: Final = 5.0
CACHED_STATES: Final = 20_000
"""Of a shard."""
_PULSE_SECONDS: Final = 0.2

_log = structlog.get_logger("tidings.log")


def _now() -> int:
    return time.time_ns() // 1000


async def open_cassandra_log(
    hosts: Sequence[str],
    port: int,
    keyspace: str,
    *,
    master_key: bytes,
    server_key_fingerprint: str,
    aggregates: Aggregates,
    retired_master_keys: Sequence[bytes] = (),
    data_centre: str | None = None,
    clock: Callable[[], int] = _now,
    monotonic: Callable[[], float] = time.monotonic,
    entropy: Entropy = os.urandom,
    patience: float = PATIENCE,
    queue_limit: int = QUEUE,
    cached_states: int = CACHED_STATES,
) -> "CassandraLog":
    """Opens the log that ``migrate_cassandra`` has made. ``clock`` gives microseconds since the epoch; ``patience`` bounds a command's wait, in
    seconds; at most ``queue_limit`` commands of a shard are open, and ``cached_states`` of its states are kept.

    Raises UnavailableError with the address where no node answers within a few seconds, LogError where there is no schema, or the log was made under
    another SERVER_KEY or MASTER_KEY, or is written in another data centre.
    """
    require_name(keyspace)
    bridge = await connect(hosts, port, data_centre=data_centre)
    try:
        meta = await read_meta(bridge, keyspace)
        require_fingerprint(meta, server_key_fingerprint)
        require_data_centre(meta, bridge.data_centre)
        keys = await open_key_store(bridge, keyspace, MasterKeys(master_key, retired_master_keys))
        await keys.check()
        ring = KeyRing(keys, KeyCache(monotonic))
        table = await open_table(bridge, keyspace, meta)
        index = await open_index(bridge, keyspace)
        snapshots = await open_snapshots(bridge, keyspace)
        progress = await open_progress(bridge, keyspace)
        guard = await open_clock_guard(bridge, clock)
        before = await _heads_before(meta, table, progress)
        shards = [
            Shard(
                Place(meta.current.number, n),
                table,
                index,
                snapshots,
                progress,
                ring,
                aggregates,
                cache_size=cached_states,
                before=before.get(n, 0),
            )
            for n in range(meta.current.shards)
        ]
        await asyncio.gather(*(shard.start() for shard in shards))
        await asyncio.gather(*(shard.catch_up() for shard in shards))
    except BaseException:
        await bridge.close()
        raise
    me = entropy(8).hex()
    copiers = [Copier(index) for _ in shards]
    followers = [Follower(shard) for shard in shards]
    keepers = [Keeper(shard, copier, me, clock) for shard, copier in zip(shards, copiers, strict=True)]
    appenders = [
        Appender(bridge, shard, copier, follower, ring, guard, aggregates, meta.identity, entropy)
        for shard, copier, follower in zip(shards, copiers, followers, strict=True)
    ]
    dispatcher = Dispatcher(appenders, ring, patience=patience, queue_limit=queue_limit)
    reader = Reader(meta, table, shards, ring)
    background = [
        guard.watch(),
        *(copier.run() for copier in copiers),
        *(follower.run() for follower in followers),
        *(keeper.run() for keeper in keepers),
        *(appender.run() for appender in appenders),
    ]
    return CassandraLog(
        bridge, keyspace, meta, shards, appenders, copiers, followers, dispatcher, reader, ring, background
    )


async def _heads_before(meta: Meta, table: LogTable, progress: Progress) -> Mapping[int, int]:
    """The newest sequence of each shard in the generations before the one that is written."""
    heads: dict[int, int] = {}
    for generation in meta.generations[:-1]:
        for number in range(generation.shards):
            place = Place(generation.number, number)
            head = await table.head(place, (await progress.read(place)).watermark)
            if head:
                heads[number] = sequence(generation.number, head)
    return heads


class CassandraLog:
    """An ``EventLog``; made by :func:`open_cassandra_log`."""

    def __init__(
        self,
        bridge: Bridge,
        keyspace: str,
        meta: Meta,
        shards: Sequence[Shard],
        appenders: Sequence[Appender],
        copiers: Sequence[Copier],
        followers: Sequence[Follower],
        dispatcher: Dispatcher,
        reader: Reader,
        ring: KeyRing,
        background: Sequence[Coroutine[object, object, None]],
    ) -> None:
        self._bridge = bridge
        self._keyspace = keyspace
        self._identity = meta.identity
        self.shards = shards
        self._appenders = appenders
        self._copiers = copiers
        self._followers = followers
        self._dispatcher = dispatcher
        self._reader = reader
        self._ring = ring
        self._closing = False
        self._tasks = [asyncio.create_task(each) for each in (*background, self._pulse())]
        for task in self._tasks:
            task.add_done_callback(_report)

    @property
    def identity(self) -> LogIdentity:
        return self._identity

    async def execute(self, execution: Execution) -> Outcome:
        self._require_open()
        return await self._dispatcher.execute(execution)

    async def states(self, streams: Sequence[str]) -> Mapping[str, object]:
        self._require_open()
        return await self._reader.states(streams)

    async def load(self, stream: str, *, version: int | None = None, until: int | None = None) -> tuple[Recorded, ...]:
        self._require_open()
        return await self._reader.load(stream, version, until)

    async def read(self, shard: int, after: int, limit: int) -> tuple[Recorded, ...]:
        self._require_open()
        return await self._reader.read(shard, after, limit)

    async def head(self, shard: int) -> int:
        self._require_open()
        return await self._reader.head(shard)

    async def wait(self, shard: int, after: int, timeout: float) -> None:
        self._require_open()
        await self._reader.wait(shard, after, timeout)

    async def destroy_key(self, subject: str) -> None:
        self._require_open()
        await self._ring.destroy(subject)
        for shard in self.shards:
            shard.view.drop_subject(subject)

    async def indexed(self) -> None:
        """Returns when all that this process has appended so far is in the index."""
        await asyncio.gather(*(copier.idle() for copier in self._copiers))

    def appends(self, shard: int) -> bool:
        """Whether this process could append to the shard now."""
        return not self._closing and self._appenders[shard].obstacle() is None

    def ease(self, shards: Collection[int]) -> None:
        """Follows these shards at leisure, for their commands go to another process; the others as closely as ever."""
        for shard, follower in zip(self.shards, self._followers, strict=True):
            follower.eased = shard.place.shard in shards

    async def appointments(self) -> CassandraAppointments:
        """The leases of the generation that is written, over this log's session."""
        return await open_appointments(self._bridge, self._keyspace, self._identity.generation)

    def _require_open(self) -> None:
        if self._closing:
            raise UnavailableError("the log is closed")

    async def _pulse(self) -> None:
        """Bounds waits: each command's by its deadline, and while the store is away everyone's, for then nothing is sent."""
        while True:
            await asyncio.sleep(_PULSE_SECONDS)
            now = time.monotonic()
            for appender in self._appenders:
                appender.expire(now)
            if self._bridge.away:
                self._bridge.give_up()
                for appender in self._appenders:
                    appender.turn_away(self._bridge.unavailable())

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._drain()
        except TimeoutError:
            pass
        left = [command for appender in self._appenders for command in appender.abandon()]
        if left:
            _log.error("closed over commands of which the outcome is unknown", commands=left)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._bridge.close()

    async def _drain(self) -> None:
        await asyncio.gather(*(appender.idle() for appender in self._appenders))
        # What is left uncopied the next owner of the shard mends.
        if not self._bridge.away:
            await self.indexed()
            await asyncio.gather(*(shard.kept() for shard in self.shards))


def _report(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("a part of the log has stopped", part=repr(task.get_coro()), exc_info=task.exception())

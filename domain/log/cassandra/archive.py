"""The log on Cassandra as a whole (domain.log.archive). An import appends as an appender does, by conditional batches, and owns the index while it lasts."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from domain.envelope import sequence, split_sequence
from domain.errors import LogError, TransferError, UnavailableError
from domain.ids import Entropy
from domain.log.archive import Command, Extent, StoredKey, batches, moved
from domain.log.archive import Place as Layout
from domain.log.batching import Base, log_stream
from domain.log.cassandra.attempt import Attempt
from domain.log.cassandra.driver import Bridge, Query, bind, connect
from domain.log.cassandra.index import OWNER_SECONDS, Mark, Progress, StreamIndex, chunks, open_index, open_progress
from domain.log.cassandra.keys import KeyRow
from domain.log.cassandra.schema import (
    Meta,
    keys_keyspace,
    read_meta,
    require_data_centre,
    require_fingerprint,
    require_name,
)
from domain.log.cassandra.table import PAGE, LogTable, Place, open_table
from domain.log.codec import StoredEvent
from domain.log.port import LogIdentity

_RENEW_SECONDS: Final = OWNER_SECONDS / 4


async def open_cassandra_archive(
    hosts: Sequence[str],
    port: int,
    keyspace: str,
    *,
    server_key_fingerprint: str,
    data_centre: str | None = None,
    entropy: Entropy = os.urandom,
) -> "CassandraArchive":
    """The log that ``migrate_cassandra`` has made. Errors as of ``open_cassandra_log``."""
    require_name(keyspace)
    bridge = await connect(hosts, port, data_centre=data_centre)
    try:
        meta = await read_meta(bridge, keyspace)
        require_fingerprint(meta, server_key_fingerprint)
        require_data_centre(meta, bridge.data_centre)
        return CassandraArchive(
            bridge,
            meta,
            await open_table(bridge, keyspace, meta),
            await open_index(bridge, keyspace),
            await open_progress(bridge, keyspace),
            await _prepared(bridge, keyspace),
            entropy,
        )
    except BaseException:
        await bridge.close()
        raise


@dataclass(frozen=True, slots=True)
class _Statements:
    first: Query[KeyRow]
    following: Query[KeyRow]
    insert: Query[tuple[bool]]
    destroy: Query[tuple[bool]]
    rewrap: Query[tuple[bool]]
    release: Query[tuple[bool]]


async def _prepared(bridge: Bridge, keyspace: str) -> _Statements:
    table = f"{keys_keyspace(keyspace)}.subject_keys"
    columns = "subject, key, destroyed"
    # Names come from the code and the migrated schema, values are always bound.
    return _Statements(
        first=await bridge.prepare(f"SELECT {columns} FROM {table} LIMIT ?"),
        following=await bridge.prepare(f"SELECT {columns} FROM {table} WHERE token(subject) > token(?) LIMIT ?"),
        insert=await bridge.prepare(f"INSERT INTO {table} (subject, key) VALUES (?, ?) IF NOT EXISTS"),
        destroy=await bridge.prepare(
            f"UPDATE {table} SET destroyed = true, key = null WHERE subject = ? IF destroyed = null"
        ),
        rewrap=await bridge.prepare(f"UPDATE {table} SET key = ? WHERE subject = ? IF key = ?"),
        release=await bridge.prepare(
            f"UPDATE {keyspace}.log_meta SET owner = null WHERE name = ? AND generation = ? IF owner = ?"
        ),
    )


class CassandraArchive:
    """An ``Archive``; made by :func:`open_cassandra_archive`."""

    def __init__(
        self,
        bridge: Bridge,
        meta: Meta,
        table: LogTable,
        index: StreamIndex,
        progress: Progress,
        statements: _Statements,
        entropy: Entropy,
    ) -> None:
        self._bridge = bridge
        self._meta = meta
        self._table = table
        self._index = index
        self._progress = progress
        self._statements = statements
        self._me = entropy(8).hex()
        self._entropy = entropy
        self._writers: dict[int, _Writer] = {}

    @property
    def identity(self) -> LogIdentity:
        return self._meta.identity

    @property
    def server_key_fingerprint(self) -> str:
        return self._meta.server_key_fingerprint

    async def extent(self) -> Extent:
        places = [
            Place(generation.number, shard)
            for generation in self._meta.generations
            for shard in range(generation.shards)
        ]
        heads = await asyncio.gather(*(self._head(place) for place in places))
        found = list(zip(places, heads, strict=True))
        ends = {place.shard: sequence(place.generation, head) for place, head in found if head}
        return Extent(ends, sum(heads))

    async def _head(self, place: Place) -> int:
        return await self._table.head(place, (await self._progress.read(place)).watermark)

    async def rows(self, shard: int, after: int, limit: int) -> Sequence[StoredEvent]:
        begun, position = split_sequence(after)
        for generation in self._meta.generations:
            if generation.number < begun or shard >= generation.shards:
                continue
            place = Place(generation.number, shard)
            rows = await self._table.after(place, position if generation.number == begun else 0, limit)
            if rows:
                return rows
        return ()

    async def restore(self, commands: Mapping[int, Sequence[Command]]) -> None:
        """All shards at once, each batch by batch."""
        if not self._writers:
            await self._claim()
        await asyncio.gather(*(self._writers[shard].append(own, self._entropy) for shard, own in commands.items()))

    async def _claim(self) -> None:
        writers = {
            shard: _Writer(self._table, self._index, self._progress, self._meta, shard, self._me)
            for shard in range(self.identity.shards)
        }
        await asyncio.gather(*(writer.begin() for writer in writers.values()))
        self._writers = writers

    async def finish(self) -> None:
        """The index is complete, whatever an earlier run left out."""
        if not self._writers:
            await self._claim()
        await asyncio.gather(*(writer.finish() for writer in self._writers.values()))

    async def keys(self, after: str | None, limit: int) -> Sequence[StoredKey]:
        rows = await (
            self._bridge.execute(self._statements.first, (limit,))
            if after is None
            else self._bridge.execute(self._statements.following, (after, limit))
        )
        return [StoredKey(subject, None if destroyed else wrapped) for subject, wrapped, destroyed in rows]

    async def restore_keys(self, keys: Sequence[StoredKey]) -> None:
        await asyncio.gather(*(self._restore_key(key) for key in keys))

    async def _restore_key(self, key: StoredKey) -> None:
        if key.wrapped is None:
            await self._bridge.apply(bind(self._statements.destroy, (key.subject,)))
        else:
            await self._bridge.apply(bind(self._statements.insert, (key.subject, key.wrapped)))

    async def rewrap(self, changes: Sequence[tuple[StoredKey, bytes]]) -> int:
        statements = [bind(self._statements.rewrap, (wrapped, key.subject, key.wrapped)) for key, wrapped in changes]
        return sum(await asyncio.gather(*(self._bridge.apply(statement) for statement in statements)))

    async def close(self) -> None:
        try:
            writers, self._writers = self._writers, {}
            if not self._bridge.away:
                await asyncio.gather(*(self._release(shard) for shard in writers))
        finally:
            await self._bridge.close()

    async def _release(self, shard: int) -> None:
        values = (f"shard-{shard}", self.identity.generation, self._me)
        # Not released, it expires.
        with suppress(UnavailableError):
            await self._bridge.apply(bind(self._statements.release, values))


class _Writer:
    """Appends to one shard of the generation that is written, and keeps its index complete behind it."""

    def __init__(
        self, table: LogTable, index: StreamIndex, progress: Progress, meta: Meta, shard: int, me: str
    ) -> None:
        self._table = table
        self._index = index
        self._progress = progress
        self._me = me
        self._spot = Place(meta.current.number, shard)
        base = Base(
            shard=shard,
            shards=meta.current.shards,
            generation=meta.current.number,
            segment_size=meta.current.segment_size,
            seen=0,
            recorded_at=0,
            now=0,
        )
        self._layout = Layout(base, 0)
        self._last: StoredEvent | None = None
        self._mark = Mark(0, None)
        self._claimed_at = 0.0

    async def begin(self) -> None:
        """Takes the shard's index over, and completes it up to the head."""
        self._mark = await self._progress.read(self._spot)
        await self._own()
        if self._mark.watermark:
            await self._moved_to(await self._row(self._mark.watermark))
        while rows := await self._table.after(self._spot, self._layout.base.seen, PAGE):
            await self._indexed(rows)
            await self._moved_to(rows[-1])

    async def _row(self, position: int) -> StoredEvent:
        row = await self._table.row(self._spot, position)
        if row is None:
            raise LogError(f"shard {self._spot.shard} has no row {position}, which its index is said to hold")
        return row

    async def _moved_to(self, last: StoredEvent) -> None:
        newest = await self._index.newest(log_stream(self._spot.shard), 1)
        self._last = last
        self._layout = Layout(moved(self._layout, last, 0).base, newest[-1].version if newest else 0)

    async def _own(self) -> None:
        """Claims the index, or renews the claim. What a killed process holds is waited for: it expires."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._mark.owner == self._me and now - self._claimed_at < _RENEW_SECONDS:
            return
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(TransferError),
            wait=wait_fixed(0.2),
            stop=stop_after_delay(OWNER_SECONDS + 1),
            reraise=True,
        ):
            with attempt:
                now = loop.time()
                held = self._mark.owner == self._me
                # A claim that has expired meanwhile is made anew.
                if not (
                    await self._progress.claim(self._spot, self._me, renew=held)
                    or await self._progress.claim(self._spot, self._me, renew=not held)
                ):
                    raise TransferError(
                        f"another process keeps shard {self._spot.shard} of this log: an import runs alone, stop what serves it"
                    )
        self._claimed_at = now
        self._mark = Mark(self._mark.watermark, self._me)

    async def append(self, commands: Sequence[Command], entropy: Entropy) -> None:
        for rows in batches(commands, self._layout, entropy):
            await self._own()
            if not await Attempt(self._table, self._spot, self._last, rows).settle():
                raise TransferError(
                    f"another process appends to shard {self._spot.shard} of this log: an import runs alone"
                )
            padding = sum(row.stream == log_stream(self._spot.shard) for row in rows)
            self._last, self._layout = rows[-1], moved(self._layout, rows[-1], padding)
            await self._indexed(rows)

    async def _indexed(self, rows: Sequence[StoredEvent]) -> None:
        """Only after the rows are in the index it is said to hold them."""
        for chunk in chunks(rows):
            await self._index.write(chunk)
        await self._own()
        if await self._progress.raise_to(self._spot, self._me, self._mark, rows[-1].position):
            self._mark = Mark(rows[-1].position, self._me)
            return
        # The answer of a write that was sent twice proves nothing.
        self._mark = await self._progress.read(self._spot)
        if self._mark.watermark != rows[-1].position:
            raise UnavailableError(f"the index of shard {self._spot.shard} is not known to be complete; try again")

    async def finish(self) -> None:
        head = await self._table.head(self._spot, self._layout.base.seen)
        if head != self._layout.base.seen:
            raise TransferError(
                f"another process appends to shard {self._spot.shard} of this log: an import runs alone"
            )

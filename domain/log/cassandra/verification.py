"""One verification of a log on Cassandra: the table of the log by itself, the index by itself, and the two against each other.

Both tables are read once, page by page, and compared by sums of hashes over buckets of streams; only the rows of buckets that differ are looked up one by
one. Writers may go on meanwhile: what is verified ends at the heads, and the index must hold what lies below the watermarks, that were read at the start.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from typing import Final

from domain.errors import LogError
from domain.ids import stream_shard
from domain.log.batching import segment_of
from domain.log.cassandra._together import together
from domain.log.cassandra.breaches import Bound, head_breach, no_event, orphan, stray, wrong_watermark
from domain.log.cassandra.index import StreamIndex
from domain.log.cassandra.keys import CassandraKeyStore
from domain.log.cassandra.mending import copy_up_to
from domain.log.cassandra.packing import pack
from domain.log.cassandra.scanning import PAGE, Entry, Scan, key_of, token_ranges
from domain.log.cassandra.schema import Meta
from domain.log.cassandra.table import Place
from domain.log.checks import Above, ShardCheck, StreamCheck, Sums, bucket_of, unreadable
from domain.log.codec import StoredEvent
from domain.log.findings import Finding, Kind, Report, finding_at
from domain.log.sealing import KeyCache, KeyRing

_AT_ONCE: Final = 4
_RANGES: Final = 64


class Verification:
    """``keys`` are None where MASTER_KEY does not open them. With ``repair`` what is derived is mended where it is found wrong, from the log alone."""

    def __init__(
        self,
        meta: Meta,
        scan: Scan,
        index: StreamIndex,
        keys: CassandraKeyStore | None,
        bounds: Sequence[Bound],
        report: Report,
        *,
        repair: bool,
    ) -> None:
        self._scan = scan
        self._index = index
        self._ring = KeyRing(keys, KeyCache(time.monotonic)) if keys is not None else None
        self._bounds = {bound.place: bound for bound in bounds}
        self._generations = {each.number: each for each in meta.generations}
        self._shards = {bound.place.shard for bound in bounds}
        self._report = report
        self._repair = repair
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._total = sum(bound.head for bound in bounds)
        self._in_log = Sums()
        self._in_index = Sums()
        self._above: dict[str, tuple[int, StoredEvent]] = {}
        self._versions: list[Finding] = []
        self._misindexed: set[str] = set()
        self._newest: dict[Place, int] = {}

    async def run(self) -> None:
        bounds = self._bounds.values()
        await together(self._slotted(self._walk(bound)) for bound in bounds)
        await together(self._slotted(self._walk_index(tokens)) for tokens in token_ranges(_RANGES))
        self._versions += StreamCheck(self._above).rest()
        differing = self._in_log.differing(self._in_index)
        if differing:
            await together(self._slotted(self._look_up(bound, differing)) for bound in bounds)
            await together(self._slotted(self._look_back(tokens, differing)) for tokens in token_ranges(_RANGES))
        # What the index lacks is no gap in the log.
        self._report.add(each for each in self._versions if each.stream not in self._misindexed)
        for bound in bounds:
            await self._watermark(bound)
            await self._above_head(bound)
        await self._strays()

    async def _slotted(self, work: Awaitable[None]) -> None:
        async with self._slots:
            await work

    # The log

    async def _walk(self, bound: Bound) -> None:
        place = bound.place
        generation = self._generations[place.generation]
        size = generation.segment_size
        check = ShardCheck(place.generation, place.shard, shards=generation.shards, segment_size=size)
        above = Above()
        async for segment, rows in self._pages(bound, bound.head):
            self._report.add(unreadable(rows, await self._keys(rows)))
            for row in rows:
                self._report.add(check.feed(row))
                if row.position <= bound.through:
                    self._in_log.add(row.stream, pack(row))
                else:
                    self._versions += above.feed(row)
            if not rows or rows[-1].position == min((segment + 1) * size, bound.head):
                self._report.add([each async for each in self._wrong_head(bound, segment, size)])
            self._report.advance("log", len(rows), self._total)
        self._above.update(above.first)
        self._report.add(check.end(bound.head, closed=bound.ended))

    async def _pages(self, bound: Bound, through: int) -> AsyncIterator[tuple[int, list[StoredEvent]]]:
        """The rows up to ``through``, holes and all, each page with its segment."""
        place = bound.place
        size = self._generations[place.generation].segment_size
        position = 0
        while position < through:
            segment = segment_of(position + 1, size)
            upper = min((segment + 1) * size, through)
            found = await self._scan.rows(place, position, upper)
            rows: list[StoredEvent] = []
            for at, row in found:
                if row is not None and (row.generation, row.shard, row.position) == (place.generation, place.shard, at):
                    rows.append(row)
                else:
                    self._report.add([no_event(place, at, row)])
            yield segment, rows
            position = found[-1][0] if len(found) == PAGE else upper

    async def _keys(self, rows: Sequence[StoredEvent]) -> Mapping[str, bytes | None]:
        subjects = {row.subject for row in rows if row.subject is not None}
        if self._ring is None:
            return dict.fromkeys(subjects)
        try:
            return await self._ring.keys(subjects)
        except LogError:
            return await self._keys_one_by_one(subjects, self._ring)

    async def _keys_one_by_one(self, subjects: Collection[str], ring: KeyRing) -> Mapping[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        for subject in sorted(subjects):
            try:
                found.update(await ring.keys((subject,)))
            except LogError as error:
                found[subject] = None
                self._report.add(
                    [Finding(kind=Kind.KEY, expected=f"a key of {subject} that unwraps", found=str(error))]
                )
        return found

    async def _wrong_head(self, bound: Bound, segment: int, size: int) -> AsyncIterator[Finding]:
        """The head that a segment records is its last row's position and attempt. Of the newest segment it may have moved since the start."""
        head, attempt = await self._scan.segment_head(bound.place, segment)
        end = (segment + 1) * size
        full = bound.head >= end
        if head is None or (full and head != end) or not segment * size < head <= end:
            expected = f"head {end} in segment {segment}" if full else f"a head in segment {segment}"
            yield head_breach(bound.place, min(end, bound.head), expected, f"head {head}")
            return
        row = await self._scan.row(bound.place, head)
        if row is None or row.attempt_id != attempt:
            found = row.attempt_id if row is not None else "no row"
            yield head_breach(bound.place, head, f"a last row of attempt {attempt}", found)

    async def _above_head(self, bound: Bound) -> None:
        """Rows above the head are no part of the log; what was appended meanwhile has moved the head."""
        found = await self._scan.rows(bound.place, bound.head, self._scan.segment_end(bound.place, bound.head + 1))
        head = await self._scan.head(bound.place, bound.head) if found else bound.head
        beyond = [position for position, _ in found if position > head]
        self._report.add(head_breach(bound.place, each, f"no row above head {head}", "a row") for each in beyond)

    async def _strays(self) -> None:
        """Partitions in which nobody would look."""
        state: bytes | None = None
        while True:
            partitions, state = await self._scan.partitions(state)
            for generation, shard, segment in partitions:
                known = self._generations.get(generation)
                if known is not None and shard < known.shards and shard not in self._shards:
                    continue
                bound = self._bounds.get(Place(generation, shard))
                if bound is None or known is None or not await self._reached(bound, segment, known.segment_size):
                    self._report.add([stray(generation, shard, segment)])
            if state is None:
                return

    async def _reached(self, bound: Bound, segment: int, size: int) -> bool:
        if segment <= segment_of(bound.head, size):
            return segment >= 0
        return segment <= segment_of(await self._scan.head(bound.place, bound.head), size)

    # The index

    async def _walk_index(self, tokens: tuple[int, int]) -> None:
        check = StreamCheck(self._above)
        async for page in self._entries(tokens):
            young: list[Entry] = []
            entries = [entry for entry in page if not await self._later(entry)]
            for entry in entries:
                bound = self._bound_of(entry)
                if bound is None or entry.position > bound.through:
                    young.append(entry)
                    continue
                self._versions += check.feed(
                    entry.stream, entry.version, entry.generation, bound.place.shard, entry.position
                )
                self._in_index.add(entry.stream, entry.form)
            await together(self._compare(entry) for entry in young)
            self._report.advance("index", len(entries), self._total)
        self._versions += check.end()

    async def _later(self, entry: Entry) -> bool:
        """Whether it was appended since the start: then it is not looked at, or a verification would run after the writers for ever."""
        bound = self._bound_of(entry)
        if bound is None or entry.position <= bound.head:
            return False
        if entry.position > self._newest.get(bound.place, bound.head):
            self._newest[bound.place] = await self._scan.head(bound.place, bound.head)
        return entry.position <= self._newest[bound.place]

    async def _entries(self, tokens: tuple[int, int]) -> AsyncIterator[list[Entry]]:
        """Pages of the index, of the shards that are verified and of those that there are not."""
        state: bytes | None = None
        while True:
            entries, state = await self._scan.entries(tokens, state)
            yield [entry for entry in entries if self._mine(entry)]
            if state is None:
                return

    def _mine(self, entry: Entry) -> bool:
        shard = self._shard_of(entry)
        return shard is None or shard in self._shards

    def _shard_of(self, entry: Entry) -> int | None:
        generation = self._generations.get(entry.generation)
        try:
            return stream_shard(entry.stream, generation.shards) if generation is not None else None
        except (ValueError, IndexError):
            return None

    def _bound_of(self, entry: Entry) -> Bound | None:
        shard = self._shard_of(entry)
        return self._bounds.get(Place(entry.generation, shard)) if shard is not None else None

    async def _compare(self, entry: Entry, *, orphans_only: bool = False) -> None:
        """An index row with the row of the log at its position, which must be the same."""
        shard = self._shard_of(entry)
        row = await self._scan.row(Place(entry.generation, shard), entry.position) if shard is not None else None
        if row is None or key_of(row) != entry.key:
            found = f"event {row.event_id} of {row.stream}" if row is not None else "no such row"
            self._misindexed.add(entry.stream)
            self._report.add([orphan(entry, shard, found)])
            if self._repair:
                await self._scan.forget(entry)
                self._report.repairs["index rows without a log row deleted"] += 1
        elif entry.form != pack(row) and not orphans_only:
            await self._differs(row)

    async def _differs(self, row: StoredEvent) -> None:
        self._misindexed.add(row.stream)
        self._report.add([finding_at(row, Kind.INDEX_DIFFERS, "an index row equal to the log's", "another content")])
        if self._repair:
            await self._index.write([row])
            self._report.repairs["index rows written anew"] += 1

    # The two against each other, where sums differ

    async def _look_up(self, bound: Bound, buckets: Collection[int]) -> None:
        """From the log: rows that the index does not hold as they are."""
        async for _, page in self._pages(bound, bound.through):
            rows = [row for row in page if bucket_of(row.stream) in buckets]
            for row, entry in zip(rows, await self._scan.held(rows), strict=True):
                if entry is None:
                    await self._missing(row)
                elif entry.form != pack(row):
                    await self._differs(row)
            self._report.advance("log again", len(page), self._total)

    async def _missing(self, row: StoredEvent) -> None:
        self._misindexed.add(row.stream)
        self._report.add([finding_at(row, Kind.INDEX_MISSING, "an index row", "none")])
        if self._repair:
            await self._index.write([row])
            self._report.repairs["missing index rows written"] += 1

    async def _look_back(self, tokens: tuple[int, int], buckets: Collection[int]) -> None:
        """From the index: rows that the log does not have. Those that differ were met from the log."""
        async for page in self._entries(tokens):
            entries = [entry for entry in page if bucket_of(entry.stream) in buckets and self._below(entry)]
            await together(self._compare(entry, orphans_only=True) for entry in entries)
            self._report.advance("index again", len(page), self._total)

    def _below(self, entry: Entry) -> bool:
        bound = self._bound_of(entry)
        return bound is not None and entry.position <= bound.through

    async def _watermark(self, bound: Bound) -> None:
        wrong = list(wrong_watermark(bound))
        self._report.add(wrong)
        if wrong and self._repair:
            written = await copy_up_to(self._scan, self._index, bound.place, bound.through, bound.watermark, bound.head)
            self._report.repairs["missing index rows written"] += written
            self._report.repairs["watermarks set"] += 1

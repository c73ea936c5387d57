"""What this process knows of one shard: the rows it has folded, the states that follow from them, and how it learns of more.

``seen`` moves by folding rows, never from the answer of an append (log.md R1).
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from weakref import WeakValueDictionary

import structlog

from domain.envelope import Recorded, sequence
from domain.errors import LogError, UnavailableError
from domain.log.batching import Aggregates, Batch, W, fold
from domain.log.cassandra import metrics
from domain.log.cassandra._together import together
from domain.log.cassandra.index import Progress, StreamIndex
from domain.log.cassandra.loading import Loader
from domain.log.cassandra.snapshots import Snapshots
from domain.log.cassandra.table import PAGE, LogTable, Place
from domain.log.cassandra.tail import Tail
from domain.log.cassandra.view import Entry, View
from domain.log.codec import StoredEvent, decode
from domain.log.sealing import KeyRing

TAIL_ROWS: Final = 50_000
"""Of rows that the index may not hold yet; beyond, commands are turned away."""
RETAINED_ROWS: Final = 2_000
"""Kept for consumers although the index holds them."""
_REBASE_PAGES: Final = 5

_log = structlog.get_logger("tidings.log")


class Shard:
    """One shard of the generation that is written. All methods that wait raise UnavailableError."""

    def __init__(
        self,
        place: Place,
        table: LogTable,
        index: StreamIndex,
        snapshots: Snapshots,
        progress: Progress,
        ring: KeyRing,
        aggregates: Aggregates,
        *,
        cache_size: int,
        before: int,
    ) -> None:
        self.place = place
        self.table = table
        self.index = index
        self.progress = progress
        self.view = View(cache_size)
        self.tail = Tail(None)
        self.watermark = 0
        self.moved = asyncio.Event()
        self.torn: LogError | None = None
        self._ring = ring
        self._aggregates = aggregates
        self._before = before
        self._loader = Loader(place, index, snapshots, ring, aggregates, lambda: self.tail)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._confirming: asyncio.Task[int] | None = None
        self._next: asyncio.Task[int] | None = None
        self._label = str(place.shard)
        self._tail_rows = metrics.TAIL.labels(self._label)
        self._lag = metrics.INDEX_LAG.labels(self._label)

    async def start(self) -> None:
        """Begins at the watermark: all below is in the index."""
        self.watermark = (await self.progress.read(self.place)).watermark
        self.tail = await self._tail_at(self.watermark)
        self._advanced()

    async def _tail_at(self, watermark: int) -> Tail:
        row = await self.table.row(self.place, watermark) if watermark else None
        if row is None and watermark:
            raise LogError(f"shard {self.place.shard} has no row {watermark}, which its index is said to hold")
        return Tail(row)

    @property
    def seen(self) -> int:
        return self.tail.seen

    @property
    def sequence(self) -> int:
        """That of the newest event that was folded; that of the generation before where there is none yet."""
        return sequence(self.place.generation, self.tail.seen) if self.tail.seen else self._before

    @property
    def full(self) -> bool:
        """Whether the index is so far behind that nothing more is taken in."""
        return len(self.tail) >= TAIL_ROWS

    # Folding

    async def catch_up(self) -> bool:
        """Folds what is in the table above ``seen``; says whether there was anything. Stops where the tail is full."""
        moved = False
        pages = 0
        while not self.full:
            rows = await self._following()
            if not rows:
                return moved
            await self._fold(rows)
            moved = True
            if len(rows) < PAGE:
                return moved
            pages += 1
            if pages % _REBASE_PAGES == 0:
                await self._rebase()
        return moved

    async def _following(self) -> Sequence[StoredEvent]:
        """Rows above ``seen``. Read with the row at ``seen``, which must still be the one that was folded: LogError where the store has
        lost what it had acknowledged (a node that was killed before its commit log was synced, a restored backup)."""
        last = self.tail.last
        if last is None:
            return await self.table.after(self.place, 0, PAGE)
        rows = await self.table.after(self.place, last.position - 1, PAGE + 1)
        there = rows[0] if rows else await self.table.next_serial(self.place, last.position - 1)
        if there is None or there.event_id != last.event_id:
            raise self._tear(last)
        return rows[1:]

    def _tear(self, lost: StoredEvent) -> LogError:
        self.torn = LogError(
            f"shard {self.place.shard} has lost event {lost.event_id} at position {lost.position}, which this process had seen: "
            "the store was set back; stop all processes, and go on in a new generation"
        )
        return self.torn

    async def _fold(self, rows: Sequence[StoredEvent]) -> None:
        subjects = {row.subject for row in rows if row.subject is not None and self.view.get(row.stream) is not None}
        keys = await self._ring.keys(subjects)
        for row in rows:
            self._take(row, keys)
        self._advanced()

    def _take(self, row: StoredEvent, keys: Mapping[str, bytes | None]) -> None:
        """Folds a row if it is the next. Others may have folded meanwhile: then it is known, and must be the one that they have folded."""
        last = self.tail.last
        if row.position == self.seen + 1:
            self.tail.add(row)
            self._advance_state(row, keys)
        elif last is not None and row.position == last.position and row.event_id != last.event_id:
            raise self._tear(last)

    def _advance_state(self, row: StoredEvent, keys: Mapping[str, bytes | None]) -> None:
        entry = self.view.get(row.stream)
        if entry is None:
            return
        if row.subject is not None and row.subject not in keys:
            self.view.drop(row.stream)
            return
        subject = row.subject if row.subject is not None and keys[row.subject] is not None else None
        try:
            entry.snapshot = fold(self._aggregates, entry.snapshot, decode(row, keys), subject)
        except Exception:  # noqa: BLE001 -- a decider's defect is no reason either
            # Whoever needs the stream loads it, and meets the error there: no other stream stops for it.
            _log.exception("event cannot be folded", shard=row.shard, position=row.position, stream=row.stream)
            self.view.drop(row.stream)

    def fold_own(self, batch: Batch[W]) -> None:
        """Folds the rows of a batch that was applied. LogError where the store has lost them meanwhile."""
        if self.seen == batch.base.seen:
            for row in batch.rows:
                self.tail.add(row)
            self.view.advance(batch.changed)
        else:
            # The follower was faster: it has read these rows, or some of them, from the table.
            for row in batch.rows:
                self._take(row, self._ring.cached({row.subject} if row.subject else ()))
        self._advanced()

    def _advanced(self) -> None:
        self._trim()
        self.moved.set()
        self.moved = asyncio.Event()

    def set_watermark(self, watermark: int) -> None:
        """``watermark`` was read from the store."""
        self.watermark = max(self.watermark, watermark)
        self._trim()

    def _trim(self) -> None:
        floor = min(self.watermark, self.seen - RETAINED_ROWS)
        if floor - self.tail.floor >= RETAINED_ROWS:
            self.tail.raise_floor(floor)
        self._tail_rows.set(len(self.tail))
        self._lag.set(max(0, self.seen - self.watermark))

    async def _rebase(self) -> None:
        """After a long pause: what the index holds need not be folded row by row."""
        watermark = (await self.progress.read(self.place)).watermark
        if watermark - self.seen < _REBASE_PAGES * PAGE:
            return
        _log.info("view rebased", shard=self.place.shard, seen=self.seen, watermark=watermark)
        metrics.REBASES.labels(self._label).inc()
        tail = await self._tail_at(watermark)
        if self.seen < watermark:
            self.view.clear()
            self.tail = tail
            self.watermark = watermark
            self._advanced()

    # Confirming

    async def confirm(self) -> int:
        """Reads the head after the call, folds up to it, returns it. Callers that come while a read is under way share the next one."""
        if self._next is None:
            self._next = asyncio.create_task(self._confirm_after(self._confirming))
        return await asyncio.shield(self._next)

    async def _confirm_after(self, previous: "asyncio.Task[int] | None") -> int:
        if previous is not None:
            await asyncio.wait({previous})
        self._confirming, self._next = self._next, None
        metrics.CONFIRMATIONS.inc()
        head = await self.table.head(self.place, self.seen)
        while self.seen < head:
            if not await self.catch_up() and self.seen < head:
                raise UnavailableError(
                    f"shard {self.place.shard} cannot be read up to its head {head}, only to {self.seen}"
                )
        return head

    async def head(self) -> int:
        """The newest sequence, read from the store; what lies below is folded, unless the tail is full."""
        position = await (self.table.head(self.place, self.seen) if self.full else self.confirm())
        return sequence(self.place.generation, position) if position else self._before

    # States

    async def events(self, stream: str) -> list[Recorded]:
        """A stream's events, as of a head that is read."""
        await self.confirm()
        return await self._loader.events(stream)

    async def kept(self) -> None:
        """Returns when no snapshot is on its way to the store."""
        await self._loader.idle()

    def acquire_held(self, streams: Iterable[str]) -> list[Entry] | None:
        """As :meth:`acquire`, without waiting; None where something must be loaded."""
        entries: list[Entry] = []
        for stream in streams:
            entry = self.view.pin(stream)
            if entry is not None:
                entries.append(entry)
            if entry is None or not self._opened_still(entry):
                self.release(entries)
                return None
        return entries

    async def acquire(self, streams: Sequence[str]) -> list[Entry]:
        """Entries of the streams, loaded and pinned; to be given back by :meth:`release`. LogError where a stream cannot be folded."""
        held = self.acquire_held(streams)
        if held is not None:
            return held
        entries: list[Entry] = []
        try:
            if len(streams) == 1:
                await self._acquire(streams[0], entries)
            else:
                await together(self._acquire(stream, entries) for stream in streams)
        except BaseException:
            self.release(entries)
            raise
        return entries

    def release(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.view.unpin(entry)

    def _opened_still(self, entry: Entry) -> bool:
        subjects = entry.snapshot.subjects
        if not subjects:
            return True
        cached = self._ring.cached(subjects)
        return all(cached.get(subject) is not None for subject in subjects)

    async def _acquire(self, stream: str, entries: list[Entry]) -> None:
        # Of many commands that need the same cold stream one loads it.
        async with self._locks.setdefault(stream, asyncio.Lock()):
            entry = self.view.pin(stream)
            if entry is not None and not await self._opens(entry):
                self.view.drop(stream)
                entry = None
            if entry is None:
                snapshot = await self._loader.snapshot(stream)
                entry = self.view.pin(stream) or self.view.add(stream, snapshot)
            entries.append(entry)

    async def _opens(self, entry: Entry) -> bool:
        """Whether the keys that its snapshot was opened with are still there; unpins it where not."""
        subjects = entry.snapshot.subjects
        opens = False
        try:
            keys = await self._ring.keys(subjects)
            opens = not entry.dropped and all(keys.get(subject) is not None for subject in subjects)
        finally:
            if not opens:
                self.view.unpin(entry)
        return opens

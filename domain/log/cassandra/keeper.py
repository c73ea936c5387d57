"""Raises a shard's watermark: one process at a time, and only over rows that are in the index, whoever was to copy them."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from domain.errors import UnavailableError
from domain.log.cassandra import metrics
from domain.log.cassandra.copier import Copier
from domain.log.cassandra.index import chunks
from domain.log.cassandra.shard import Shard
from domain.log.codec import StoredEvent

STEP_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 5.0
MEND_AFTER: Final = 2_000_000
"""Microseconds after which a row that is not in the index was left behind by the process that appended it."""
_PAGE: Final = 500
_PAGES: Final = 20

_log = structlog.get_logger("tidings.log")


class Keeper:
    """One shard's in this process, which is called ``me``. It reads the watermark for everyone here, and raises it while it is the owner."""

    def __init__(self, shard: Shard, copier: Copier, me: str, clock: Callable[[], int]) -> None:
        self._shard = shard
        self._copier = copier
        self._me = me
        self._clock = clock

    async def run(self) -> None:
        while True:
            try:
                await self.step()
            except UnavailableError as error:
                _log.debug("watermark not raised", shard=self._shard.place.shard, error=str(error))
            shard = self._shard
            if shard.seen > shard.watermark:
                await asyncio.sleep(STEP_SECONDS)
                continue
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await shard.moved.wait()
                await asyncio.sleep(STEP_SECONDS)
            except TimeoutError:
                pass

    async def step(self) -> None:
        """Reads the mark; as the owner, mends the index and raises it. Raises UnavailableError."""
        shard = self._shard
        mark = await shard.progress.read(shard.place)
        shard.set_watermark(mark.watermark)
        self._copier.forget(mark.watermark)
        if shard.seen <= mark.watermark or mark.owner not in (None, self._me):
            return
        if not await shard.progress.claim(shard.place, self._me, renew=mark.owner is not None):
            return
        complete = await self._complete_through(mark.watermark)
        if complete > mark.watermark and await shard.progress.raise_to(shard.place, self._me, mark, complete):
            shard.set_watermark(complete)
            self._copier.forget(complete)

    async def _complete_through(self, watermark: int) -> int:
        """The position up to which all rows are in the index, which it makes so where a row was left behind."""
        position = watermark
        for _ in range(_PAGES):
            position = self._copier.copied_through(position)
            rows = await self._foreign(position)
            if not rows:
                break
            complete = await self._mended(rows)
            position += complete
            if complete < len(rows):
                break
        return self._copier.copied_through(position)

    async def _foreign(self, position: int) -> Sequence[StoredEvent]:
        """Rows after ``position`` up to those that this process will copy, or has copied."""
        shard = self._shard
        if position >= shard.tail.floor:
            rows = shard.tail.after(position, _PAGE)
        else:
            rows = await shard.table.after(shard.place, position, _PAGE)
        pending = self._copier.pending_from()
        for count, row in enumerate(rows):
            if row.position == pending or self._copier.copied_through(row.position - 1) >= row.position:
                return rows[:count]
        return rows

    async def _mended(self, rows: Sequence[StoredEvent]) -> int:
        """How many of the rows, from the first on, are in the index now."""
        missing = await self._shard.index.missing(rows)
        if not missing:
            return len(rows)
        horizon = self._clock() - MEND_AFTER
        left = [row for row in missing if row.recorded_at < horizon]
        for chunk in chunks(left):
            await self._shard.index.write(chunk)
            metrics.INDEX_MENDED.inc(len(chunk))
        if left:
            _log.info("index mended", shard=self._shard.place.shard, events=len(left), first=left[0].position)
        young = next((row for row in missing if row.recorded_at >= horizon), None)
        return len(rows) if young is None else young.position - rows[0].position

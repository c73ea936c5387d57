"""Copies the rows that this process appended into the index, in order and off the callers' path."""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from domain.errors import UnavailableError
from domain.log.cassandra.index import StreamIndex, chunks
from domain.log.codec import StoredEvent

BACKLOG_ROWS: Final = 4_096
"""Beyond this the appender waits: the index must not fall behind for good."""
LINGER_ROWS: Final = 48
LINGER_SECONDS: Final = 0.02


class Copier:
    """One shard's. ``done`` are runs of positions that it has written, in order: they are in the index, as surely as if read there."""

    def __init__(self, index: StreamIndex) -> None:
        self._index = index
        self._pending: deque[StoredEvent] = deque()
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._done: list[tuple[int, int]] = []

    def add(self, rows: Sequence[StoredEvent]) -> None:
        self._pending.extend(rows)
        self._work.set()
        self._idle.clear()
        if len(self._pending) > BACKLOG_ROWS:
            self._room.clear()

    async def room(self) -> None:
        """Returns when the backlog is small enough."""
        await self._room.wait()

    async def idle(self) -> None:
        """Returns when all is copied."""
        await self._idle.wait()

    def pending_from(self) -> int | None:
        """The first position that is still to be copied."""
        return self._pending[0].position if self._pending else None

    def copied_through(self, position: int) -> int:
        """The last position of the run that was copied from ``position + 1`` on; ``position`` where there is none."""
        before = bisect_right(self._done, position + 1, key=itemgetter(0)) - 1
        return max(position, self._done[before][1]) if before >= 0 else position

    def forget(self, watermark: int) -> None:
        """What lies below the watermark needs no memory."""
        del self._done[: bisect_right(self._done, watermark, key=itemgetter(1))]

    async def run(self) -> None:
        while True:
            await self._work.wait()
            if len(self._pending) < LINGER_ROWS:
                # Nobody waits for the index, and a batch of a few rows costs nearly as much as one of many.
                await asyncio.sleep(LINGER_SECONDS)
            for chunk in chunks(list(self._pending)):
                await self._write(chunk)
                for row in chunk:
                    self._pending.popleft()
                    self._note(row.position)
                if len(self._pending) <= BACKLOG_ROWS:
                    self._room.set()
            if not self._pending:
                self._work.clear()
                self._idle.set()

    async def _write(self, chunk: Sequence[StoredEvent]) -> None:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(UnavailableError), wait=wait_random_exponential(multiplier=0.05, max=2)
        ):
            with attempt:
                await self._index.write(chunk)

    def _note(self, position: int) -> None:
        # Rows of other processes may lie between two own batches, so a chunk may be several runs.
        if self._done and self._done[-1][1] == position - 1:
            self._done[-1] = (self._done[-1][0], position)
        else:
            self._done.append((position, position))

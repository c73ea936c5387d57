"""Following a shard: polls for what other processes append, the faster the more there is."""

import asyncio
import time
from typing import Final

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from domain.errors import UnavailableError
from domain.log.cassandra.shard import Shard

BUSY_SECONDS: Final = 0.005
EASED_SECONDS: Final = 0.1
"""Where nobody here waits for the newest events."""
IDLE_SECONDS: Final = 0.25
SERIAL_SECONDS: Final = 30.0

_log = structlog.get_logger("tidings.log")


class Follower:
    """Keeps a shard's view up to date. ``fresh`` says that the view was at the head just now: an own append that applied proves it,
    and needs no poll. ``eased`` lets it poll less often while there is something: another process appends, and commands go there."""

    def __init__(self, shard: Shard) -> None:
        self.eased = False
        self._shard = shard
        self._fresh_at = 0.0
        self._moved_at = time.monotonic()

    def fresh(self) -> None:
        self._fresh_at = self._moved_at = time.monotonic()

    async def run(self) -> None:
        pause = BUSY_SECONDS
        while True:
            rest = self._fresh_at + pause - time.monotonic()
            if rest > 0:
                await asyncio.sleep(rest)
                continue
            try:
                moved = await self._poll()
            except UnavailableError:
                moved = await self._answered()
            busy = EASED_SECONDS if self.eased else BUSY_SECONDS
            pause = busy if moved else min(pause * 2, IDLE_SECONDS)

    async def _answered(self) -> bool:
        """A poll, tried until the store answers."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(UnavailableError), wait=wait_random_exponential(multiplier=0.05, max=1)
        ):
            with attempt:
                return await self._poll()
        raise AssertionError("retries without an end have ended")

    async def _poll(self) -> bool:
        shard = self._shard
        moved = await shard.catch_up()
        now = self._fresh_at = time.monotonic()
        if moved:
            self._moved_at = now
        elif now - self._moved_at > SERIAL_SECONDS:
            # Finishes an append that its coordinator abandoned half-way, which no other read would.
            if await shard.table.next_serial(shard.place, shard.seen) is not None:
                moved = await shard.catch_up()
            self._moved_at = time.monotonic()
        return moved

"""The clock guard: a process whose clock is off would date events wrongly for good, so it does not append."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from domain.errors import UnavailableError
from domain.log.cassandra.driver import Bridge, Query

MAX_OFFSET: Final = 2_000_000
"""Microseconds."""
CHECK_SECONDS: Final = 30.0
RECHECK_SECONDS: Final = 1.0

_log = structlog.get_logger("tidings.log")


class ClockGuard:
    """Compares ``clock`` (microseconds since the epoch) with the node's at the middle of the round trip."""

    def __init__(self, bridge: Bridge, query: Query[tuple[int]], clock: Callable[[], int]) -> None:
        self._bridge = bridge
        self._query = query
        self._clock = clock
        self._offset = 0

    @property
    def right(self) -> bool:
        return abs(self._offset) <= MAX_OFFSET

    def now(self) -> int:
        return self._clock()

    def error(self) -> UnavailableError:
        return UnavailableError(
            f"this process's clock is {self._offset / 1e6:+.1f} s off Cassandra's; nothing is appended until it is set"
        )

    async def check(self) -> None:
        """Raises UnavailableError where the node does not answer."""
        started = time.monotonic()
        before = self._clock()
        [(theirs,)] = await self._bridge.execute(self._query, ())
        half = int((time.monotonic() - started) * 500_000)
        offset = before + half - theirs * 1000
        # The node answered at some moment of the round trip: only what lies outside of it is certain.
        certain = max(0, abs(offset) - half)
        was_right = self.right
        self._offset = certain if offset > 0 else -certain
        if was_right != self.right:
            _log.warning("clock checked", right=self.right, offset_seconds=self._offset / 1e6)

    async def watch(self) -> None:
        """Checks for ever."""
        while True:
            await asyncio.sleep(CHECK_SECONDS if self.right else RECHECK_SECONDS)
            try:
                await self.check()
            except UnavailableError:
                # Without the store nothing is appended anyway.
                await asyncio.sleep(RECHECK_SECONDS)


async def open_clock_guard(bridge: Bridge, clock: Callable[[], int]) -> ClockGuard:
    query = await bridge.prepare("SELECT toUnixTimestamp(now()) FROM system.local")
    guard = ClockGuard(bridge, query, clock)
    await guard.check()
    return guard

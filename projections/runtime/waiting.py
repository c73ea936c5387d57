"""Consistency waits: a reader waits until the families that it reads have folded what its token names. One poll serves all who wait."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from projections.documents.port import Documents
from projections.runtime.backoff import persist

TIMEOUT: Final = 2.0
"""Seconds that anyone waits at most."""
PERIOD: Final = 0.01
WAITERS: Final = 10_000

_log = structlog.get_logger("tidings.runtime")


class _Waiter:
    __slots__ = ("families", "positions", "reached")

    def __init__(self, families: Sequence[str], positions: Mapping[int, int]) -> None:
        self.families = families
        self.positions = positions
        self.reached = asyncio.Event()

    def check(self, checkpoints: Mapping[str, Mapping[int, int]]) -> bool:
        """Wakes the waiter when all is reached; a family that was not polled for this round says nothing."""
        for family in self.families:
            known = checkpoints.get(family)
            if known is None or any(known.get(shard, 0) < at for shard, at in self.positions.items()):
                return False
        self.reached.set()
        return True


class Waiting:
    """One for a process. Polls every 10 ms while someone waits, and not otherwise."""

    def __init__(self, documents: Documents, *, period: float = PERIOD, waiters: int = WAITERS) -> None:
        self._documents = documents
        self._period = period
        self._most = waiters
        self._waiters: set[_Waiter] = set()
        self._poll: asyncio.Task[None] | None = None

    async def reached(self, families: Sequence[str], positions: Mapping[int, int], timeout: float = TIMEOUT) -> bool:
        """Whether every family's checkpoint came to {shard: sequence} within ``timeout`` seconds (2 at most).

        False at once where too many wait already; False too when the documents are out of reach.
        """
        if not families or not positions:
            return True
        if len(self._waiters) >= self._most:
            return False
        waiter = _Waiter(families, positions)
        self._waiters.add(waiter)
        if self._poll is None or self._poll.done():
            self._poll = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(min(timeout, TIMEOUT)):
                await waiter.reached.wait()
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)
        return True

    async def close(self) -> None:
        if self._poll is not None:
            self._poll.cancel()
            await asyncio.gather(self._poll, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiters:
            await persist(self._look, "consistency waits", longest=0.5)
            await asyncio.sleep(self._period)

    async def _look(self) -> None:
        families = sorted({family for waiter in self._waiters for family in waiter.families})
        saved = await asyncio.gather(*(self._documents.load_checkpoints(family) for family in families))
        checkpoints = dict(zip(families, saved, strict=True))
        self._waiters = {waiter for waiter in self._waiters if not waiter.check(checkpoints)}

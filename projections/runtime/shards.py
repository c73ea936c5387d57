"""One shard, as long as this process holds it: its tail, its runners, and the lease under them."""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from projections.documents.port import FencedError
from projections.runtime.backoff import persist
from projections.runtime.leases import Tenure
from projections.runtime.progress import Board
from projections.runtime.runner import Runner
from projections.runtime.tail import Tail

GRACE: Final = 1.0
"""Seconds that a batch has to end when the process stops."""


class Ending(StrEnum):
    """LOST: the lease is another's, or may be. HALTED: nothing is left to run. STOPPED: as it was told."""

    LOST = "lost"
    HALTED = "halted"
    STOPPED = "stopped"


class ShardService:
    """``runners`` are made for this tenure and tail, and are of no use after it; so are those that ``turn_to`` is given."""

    def __init__(self, tail: Tail, tenure: Tenure, board: Board, runners: Sequence[Runner]) -> None:
        self.tail = tail
        self.tenure = tenure
        self._board = board
        self._runners = runners
        self._next: Sequence[Runner] | None = None
        self._tasks: dict[Runner, asyncio.Task[None]] = {}
        self._stopping = False
        self._ended = False
        self._turned = asyncio.Event()
        self._told = asyncio.Event()

    async def run(self) -> Ending:
        """Until the lease is lost, every runner has halted, or it was stopped; gives the lease back where it still has it."""
        keep = asyncio.create_task(self.tenure.keep())
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait({keep, work}, return_when=asyncio.FIRST_COMPLETED)
            if keep.done():
                keep.result()
                return Ending.LOST
            return work.result()
        finally:
            keep.cancel()
            work.cancel()
            await asyncio.gather(keep, work, return_exceptions=True)
            self._board.close(self.tail.shard)
            self._ended = True
            self._turned.set()
            await self.tenure.release()

    def stop(self) -> None:
        """Runners that wait end at once, the others after their batch."""
        self._stopping = True
        self._stop_runners()

    async def turn_to(self, runners: Sequence[Runner]) -> None:
        """Runs these in the place of those that run; returns when the last of those has ended, at once where nothing runs any more."""
        if self._ended:
            return
        self._next = runners
        self._turned.clear()
        self._stop_runners()
        await self._turned.wait()

    def _stop_runners(self) -> None:
        self._told.set()
        for runner, task in self._tasks.items():
            runner.stopping = True
            if runner.idle:
                task.cancel()

    async def _work(self) -> Ending:
        ending = Ending.HALTED
        try:
            async with asyncio.TaskGroup() as group:
                tail = group.create_task(self.tail.run())
                while True:
                    await self._run_all()
                    if self._next is None or self._stopping:
                        break
                tail.cancel()
        except* FencedError:
            ending = Ending.LOST
        return Ending.STOPPED if self._stopping else ending

    async def _run_all(self) -> None:
        """Until all runners have ended: halted, or told to stop."""
        if self._next is not None:
            self._runners, self._next = self._next, None
            self._board.close(self.tail.shard)
        self._turned.set()
        self._told.clear()
        for runner in self._runners:
            await persist(runner.open, f"open {self.tail.shard}")
        async with asyncio.TaskGroup() as group:
            self._tasks = {runner: group.create_task(runner.run()) for runner in self._runners}
            if self._stopping or self._next is not None:
                self._stop_runners()
        if not self._runners and not self._stopping:
            # All families are being filled: there will be something to run.
            await self._told.wait()

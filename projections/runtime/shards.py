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
    """``runners`` are made for this tenure and tail, and are of no use after it."""

    def __init__(self, tail: Tail, tenure: Tenure, board: Board, runners: Sequence[Runner]) -> None:
        self.tail = tail
        self._tenure = tenure
        self._board = board
        self._runners = runners
        self._tasks: dict[Runner, asyncio.Task[None]] = {}
        self._stopping = False

    async def run(self) -> Ending:
        """Until the lease is lost, every runner has halted, or it was stopped; gives the lease back where it still has it."""
        keep = asyncio.create_task(self._tenure.keep())
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
            await self._tenure.release()

    def stop(self) -> None:
        """Runners that wait end at once, the others after their batch."""
        self._stopping = True
        for runner, task in self._tasks.items():
            runner.stopping = True
            if runner.idle:
                task.cancel()

    async def _work(self) -> Ending:
        ending = Ending.HALTED
        try:
            for runner in self._runners:
                await persist(runner.open, f"open {self.tail.shard}")
            await self._run_all()
        except* FencedError:
            ending = Ending.LOST
        return Ending.STOPPED if self._stopping else ending

    async def _run_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            tail = group.create_task(self.tail.run())
            self._tasks = {runner: group.create_task(runner.run()) for runner in self._runners}
            if self._stopping:
                self.stop()
            await asyncio.wait(self._tasks.values())
            tail.cancel()

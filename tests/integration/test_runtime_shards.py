"""A shard's service, as it is turned to other runners and given back."""

import asyncio
import time
from pathlib import Path

from projections.runtime.leases import claim
from projections.runtime.progress import Board
from projections.runtime.shards import Ending, ShardService
from projections.runtime.tail import Tail
from tests.runtime_kit import Faults, FaultyDocuments, sqlite_documents, sqlite_log


class Held(Faults):
    """Keeps a lease from being given back until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()

    async def before(self, operation: str) -> None:
        if operation == "release_lease":
            self.asked.set()
            await self.go_on.wait()
        await super().before(operation)


async def test_a_shard_that_is_being_given_back_keeps_nobody_waiting_for_its_turn(tmp_path: Path) -> None:
    held = Held()
    async with sqlite_log(tmp_path / "log.db") as log, sqlite_documents(tmp_path / "documents.db", []) as documents:
        tenure = await claim(FaultyDocuments(documents, held), "shard-0", "me", 60, time.monotonic)
        assert tenure is not None
        service = ShardService(Tail(log, 0), tenure, Board(), [])
        running = asyncio.create_task(service.run())
        await asyncio.sleep(0)
        service.stop()
        await held.asked.wait()
        await asyncio.wait_for(service.turn_to([]), 30)
        held.go_on.set()
        assert await running is Ending.STOPPED
        await asyncio.wait_for(service.turn_to([]), 30)

"""Consistency waits: one poll for all, bounded, and false rather than late."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.errors import UnavailableError
from projections.documents.port import Documents
from projections.runtime.waiting import Waiting
from tests.runtime_kit import Faults, FaultyDocuments, sqlite_documents


@pytest.fixture
async def documents(tmp_path: Path) -> AsyncIterator[Documents]:
    async with sqlite_documents(tmp_path / "documents.db", []) as opened:
        yield opened


async def test_all_families_and_shards_must_be_there(documents: Documents) -> None:
    waiting = Waiting(documents)
    await documents.save_checkpoint("a", 0, 10, None)
    await documents.save_checkpoint("a", 1, 5, None)
    await documents.save_checkpoint("b", 0, 9, None)
    assert await waiting.reached(["a"], {0: 10, 1: 5})
    assert await waiting.reached(["a", "b"], {0: 9})
    assert not await waiting.reached(["a", "b"], {0: 10}, timeout=0.05)
    assert not await waiting.reached(["a"], {2: 1}, timeout=0.05)
    assert await waiting.reached(["a"], {})
    await waiting.close()


async def test_a_waiter_is_told_when_what_it_waits_for_comes(documents: Documents) -> None:
    waiting = Waiting(documents)
    waiter = asyncio.create_task(waiting.reached(["a"], {0: 3}))
    for sequence in (1, 2, 3):
        await documents.save_checkpoint("a", 0, sequence, None)
    assert await waiter
    await waiting.close()


async def test_many_waiters_cost_one_poll(documents: Documents) -> None:
    faults = Faults()
    waiting = Waiting(FaultyDocuments(documents, faults), period=0.05)
    waiters = [asyncio.create_task(waiting.reached(["a", "b"], {0: n})) for n in range(1, 101)]
    await asyncio.sleep(0)
    await documents.save_checkpoint("a", 0, 100, None)
    await documents.save_checkpoint("b", 0, 100, None)
    assert all(await asyncio.gather(*waiters))
    assert faults.seen["load_checkpoints"] < 100
    poll = waiting._poll
    assert poll is not None
    # Nobody waits any more: the poll ends, until somebody does.
    await poll
    assert await waiting.reached(["a"], {0: 100})
    await waiting.close()


async def test_too_many_waiters_are_turned_away(documents: Documents) -> None:
    waiting = Waiting(documents, waiters=2)
    waiters = [asyncio.create_task(waiting.reached(["a"], {0: 1})) for _ in range(2)]
    await asyncio.sleep(0)
    assert not await waiting.reached(["b"], {0: 1})
    await documents.save_checkpoint("a", 0, 1, None)
    assert all(await asyncio.gather(*waiters))
    assert await waiting.reached(["a"], {0: 1})
    await waiting.close()


async def test_documents_out_of_reach_are_waited_for_as_long_as_anything(documents: Documents) -> None:
    class Away(Faults):
        async def before(self, operation: str) -> None:
            await super().before(operation)
            if self.fired["away", operation] < 3:
                self.fired["away", operation] += 1
                raise UnavailableError("away")

    away = Away()
    waiting = Waiting(FaultyDocuments(documents, away))
    await documents.save_checkpoint("a", 0, 1, None)
    assert await waiting.reached(["a"], {0: 1})
    assert away.fired["away", "load_checkpoints"] == 3
    await waiting.close()


async def test_a_waiter_that_gives_up_is_forgotten(documents: Documents) -> None:
    waiting = Waiting(documents, waiters=1)
    gone = asyncio.create_task(waiting.reached(["a"], {0: 1}))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    await documents.save_checkpoint("a", 0, 1, None)
    assert await waiting.reached(["a"], {0: 1})
    await waiting.close()

"""Real processes on real nodes, paused and killed as they come: the log is what it was said to be. `make chaos` does the same for longer."""

import asyncio
from contextlib import ExitStack

import pytest

from tests.chaos import torment
from tests.servers import Server
from tests.servers.cassandra import prepare_cassandra
from tests.servers.ring import prepare_ring, start_ring

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]

DEEDS = {"writer paused", "writer killed", "node paused", "node killed", "node back"}


async def survives(nodes: list[Server], seconds: float) -> None:
    with ExitStack() as stack:
        for node in nodes:
            stack.callback(node.close)
        await asyncio.to_thread(start_ring, nodes)
        outcome = await torment(nodes, seconds=seconds, seed=1)
    assert outcome.wrong == []
    assert outcome.deeds.keys() == DEEDS
    assert outcome.said["appended"] > 200


async def test_no_pause_and_no_crash_loses_or_doubles_an_event() -> None:
    # Synced: else a kill takes back what was acknowledged in the last second.
    await survives([prepare_cassandra(synced=True)], 20)


async def test_a_ring_goes_on_without_any_one_of_its_nodes() -> None:
    await survives(prepare_ring(), 5)

"""Several Cassandra nodes of one cluster on this machine: 127.0.0.1, .2, .3, one native and one storage port for all."""

import asyncio
import time
from collections.abc import Sequence

from domain.errors import UnavailableError
from domain.log.cassandra.driver import connect

from .cassandra import prepare_cassandra
from .server import Server, ServerError, free_port

NODES = 3
JOIN_SECONDS = 120.0
_PAUSE_SECONDS = 0.5


def prepare_ring(*, nodes: int = NODES, heap: str = "640m") -> list[Server]:
    """Nodes that are installed but not started. All are synced: a node of a ring may not forget what it has acknowledged either, for another replica
    may be the one that has missed it."""
    port, storage_port = free_port(), free_port()
    hosts = [f"127.0.0.{number}" for number in range(1, nodes + 1)]
    return [
        prepare_cassandra(port, host=host, storage_port=storage_port, seed=hosts[0], heap=heap, synced=True)
        for host in hosts
    ]


def start_ring(nodes: Sequence[Server]) -> None:
    """One after the other, for two that join at once may choose each other's ranges; returns when each sees all."""
    for node in nodes:
        node.start()
    wait_joined(nodes)


def wait_joined(nodes: Sequence[Server]) -> None:
    """Returns when every node knows of every other; raises ServerError where that takes too long."""
    deadline = time.monotonic() + JOIN_SECONDS
    for node in nodes:
        while asyncio.run(_peers(node)) < len(nodes) - 1:
            if time.monotonic() > deadline:
                raise ServerError(f"{node.name} at {node.address} does not see its ring:\n{node.log_tail()}")
            time.sleep(_PAUSE_SECONDS)


async def _peers(node: Server) -> int:
    try:
        bridge = await connect([node.host], node.port)
    except UnavailableError:
        return 0
    try:
        return len(await bridge.execute(await bridge.prepare("SELECT peer FROM system.peers_v2"), ()))
    except UnavailableError:
        return 0
    finally:
        await bridge.close()

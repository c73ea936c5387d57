"""Processes that take part in affinity, several in one: each with its own view of the leases, its own listener and its own way to the log."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from api.affinity.appointing import Appointer
from api.affinity.forwarding import ForwardingLog, forwarding
from api.server import bound
from domain.commands import Command
from domain.handlers import HANDLERS
from domain.handlers.forwarding import Handler
from domain.log.affinity import Appointed, Appointments, Peer
from domain.log.port import EventLog

SERVER_KEY = b"k" * 32
PATIENCE = 60.0


@dataclass
class MemoryAppointments:
    """See domain.log.affinity.Appointments; leases run out on ``clock``."""

    clock: Callable[[], float]
    seconds: float = 5.0
    _leases: dict[int, tuple[Peer, float]] = field(default_factory=dict)
    _present: dict[str, float] = field(default_factory=dict)

    async def sign(self, peer: Peer) -> None:
        self._present[peer.name] = self.clock() + self.seconds

    async def leave(self, peer: Peer) -> None:
        self._present.pop(peer.name, None)

    async def read(self) -> Appointed:
        now = self.clock()
        holders = {shard: peer for shard, (peer, until) in self._leases.items() if until > now}
        return Appointed(holders, frozenset(name for name, until in self._present.items() if until > now))

    async def claim(self, shard: int, peer: Peer, *, renew: bool) -> bool:
        holder = (await self.read()).holders.get(shard)
        if (holder.name if holder is not None else None) != (peer.name if renew else None):
            return False
        self._leases[shard] = (peer, self.clock() + self.seconds)
        return True

    async def release(self, shard: int, peer: Peer) -> None:
        holder = self._leases.get(shard)
        if holder is not None and holder[0].name == peer.name:
            del self._leases[shard]


@dataclass
class Process:
    """``log`` is where its commands go; ``listen`` is closed to kill it."""

    log: ForwardingLog
    appointer: Appointer
    listen: socket.socket


@asynccontextmanager
async def process(
    log: EventLog,
    appointments: Appointments,
    *,
    server_key: bytes = SERVER_KEY,
    handlers: Mapping[type[Command], Handler] = HANDLERS,
    able: Callable[[int], bool] = lambda _: True,
) -> AsyncIterator[Process]:
    """One that listens on this machine."""
    with bound("127.0.0.1", 0, ("INTERNAL_HOST", "INTERNAL_PORT")) as listen:
        address = f"127.0.0.1:{listen.getsockname()[1]}"
        async with forwarding(
            log,
            appointments,
            handlers,
            server_key=server_key,
            entropy=os.urandom,
            able=able,
            ease=lambda _: None,
            listen=listen,
            address=address,
        ) as part:
            yield Process(part.log, part.appointer, listen)


async def settled(*processes: Process, shards: int) -> None:
    """Returns when every shard is held, evenly, and all know by whom."""
    async with asyncio.timeout(PATIENCE):
        while True:
            for each in processes:
                await each.appointer.step()
            shares = [len(each.appointer.held()) for each in processes]
            if sum(shares) == shards and max(shares) - min(shares) <= 1:
                break
        for each in processes:
            await each.appointer.step()

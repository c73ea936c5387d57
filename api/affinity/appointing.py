"""Keeps this process's leases, and knows whose the other shards are."""

import asyncio
from collections.abc import Callable, Collection
from typing import Final

import structlog

from api import metrics
from domain.errors import UnavailableError
from domain.log.affinity import Appointed, Appointments, Peer, plan

RENEWALS: Final = 4
"""Looks at the store in a lease's life."""

_log = structlog.get_logger("tidings.affinity")


class Appointer:
    """``me`` is None in a process that takes no commands of others. ``able`` says whether this process could append to a shard: one that cannot holds no
    lease on it; ``ease`` is told which shards are others'. ``clock`` gives monotonic seconds."""

    def __init__(
        self,
        store: Appointments,
        me: Peer | None,
        shards: int,
        able: Callable[[int], bool],
        ease: Callable[[Collection[int]], None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._me = me
        self._shards = shards
        self._able = able
        self._ease = ease
        self._clock = clock
        self._appointed = Appointed({}, frozenset())
        self._read_at = -store.seconds

    def elsewhere(self, shard: int) -> Peer | None:
        """Who takes the shard's commands; None where that is this process, or nobody is known to."""
        if self._clock() - self._read_at > self._store.seconds:
            return None
        peer = self._appointed.holders.get(shard)
        return None if peer is None or (self._me is not None and peer.name == self._me.name) else peer

    def held(self) -> list[int]:
        """The shards of which this process holds the lease."""
        return [
            shard
            for shard, peer in self._appointed.holders.items()
            if self._me is not None and peer.name == self._me.name
        ]

    async def run(self) -> None:
        while True:
            try:
                await self.step()
            except UnavailableError as error:
                _log.debug("leases not renewed", error=str(error))
                if self._clock() - self._read_at > self._store.seconds:
                    self._ease(())
            await asyncio.sleep(self._store.seconds / RENEWALS)

    async def step(self) -> None:
        """Reads who holds what, renews, claims and lets go. Raises UnavailableError."""
        # Who could append to no shard leaves them all to the others.
        if self._me is not None and any(self._able(shard) for shard in range(self._shards)):
            await self._store.sign(self._me)
        asked_at = self._clock()
        self._appointed = await self._store.read()
        self._read_at = asked_at
        if self._me is not None:
            await self._keep(self._me)
        metrics.HELD_SHARDS.set(len(self.held()))
        self._ease([shard for shard in range(self._shards) if self.elsewhere(shard) is not None])

    async def _keep(self, me: Peer) -> None:
        todo = plan(me.name, self._shards, self._appointed)
        holders = dict(self._appointed.holders)
        for shard in (*todo.renew, *todo.release):
            if shard in todo.release or not self._able(shard):
                await self._store.release(shard, me)
                del holders[shard]
            elif not await self._store.claim(shard, me, renew=True):
                # Whoever has taken it meanwhile is read the next time.
                del holders[shard]
        for shard in todo.claim:
            if self._able(shard) and await self._store.claim(shard, me, renew=False):
                holders[shard] = me
                _log.info("shard taken", shard=shard)
        self._appointed = Appointed(holders, self._appointed.present)

    async def leave(self) -> None:
        """Lets go of everything; where the store is out of reach it runs out."""
        if self._me is None:
            return
        try:
            await self._store.leave(self._me)
            for shard in self.held():
                await self._store.release(shard, self._me)
        except UnavailableError:
            _log.info("leases left to run out")
        self._appointed = Appointed({}, frozenset())

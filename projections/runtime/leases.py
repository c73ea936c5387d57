"""Tenures: a lease as its holder may use it. By its own clock it stops writing before the store can give the lease to another."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from domain.errors import UnavailableError
from projections.documents.port import Documents, FencedError, Lease

TTL: Final = 4.0
"""Seconds: what a killed worker's shards stand still before another takes them, within half a second (sharing.PERIOD)."""
RENEWALS: Final = 4
"""Renewals in a lease's life; a third of the life must be left to write."""

_log = structlog.get_logger("tidings.runtime")


class Tenure:
    """A claimed lease. ``claimed_at`` was read from the monotonic clock before the claim was sent: the store's own count began later."""

    def __init__(
        self, documents: Documents, lease: Lease, ttl: float, claimed_at: float, monotonic: Callable[[], float]
    ) -> None:
        self.lease = lease
        self._documents = documents
        self._ttl = ttl
        self._claimed_at = claimed_at
        self._monotonic = monotonic

    @property
    def usable(self) -> float:
        """Seconds in which this process may still write; negative past them."""
        return self._claimed_at + self._ttl * 2 / 3 - self._monotonic()

    def ensure(self) -> None:
        """FencedError when a third or less of the lease is left: asked before every write."""
        if self.usable <= 0:
            raise FencedError(f"{self.lease.name} was not renewed in time")

    async def renew(self) -> bool:
        """Whether the lease is still this tenure's; a store that does not answer leaves it as it was."""
        sent_at = self._monotonic()
        try:
            async with asyncio.timeout(max(self.usable, 0)):
                lease = await self._documents.claim_lease(self.lease.name, self.lease.holder, self._ttl)
        except (UnavailableError, TimeoutError):
            return self.usable > 0
        if lease is None or lease.fence != self.lease.fence:
            return False
        self._claimed_at = sent_at
        return True

    async def keep(self) -> None:
        """Renews until the lease is lost or runs out, and returns then."""
        while True:
            await asyncio.sleep(min(self._ttl / RENEWALS, max(self.usable, 0)))
            if self.usable <= 0 or not await self.renew():
                _log.warning("lease lost", lease=self.lease.name, holder=self.lease.holder)
                return

    async def release(self) -> None:
        """Lets others have it at once; where the store is out of reach it simply runs out."""
        try:
            async with asyncio.timeout(1):
                await self._documents.release_lease(self.lease)
        except (UnavailableError, TimeoutError, FencedError):
            _log.info("lease left to run out", lease=self.lease.name)


async def claim(
    documents: Documents, name: str, holder: str, ttl: float, monotonic: Callable[[], float]
) -> Tenure | None:
    """A tenure of ``name``, or None while another has it. Raises UnavailableError."""
    sent_at = monotonic()
    lease = await documents.claim_lease(name, holder, ttl)
    return None if lease is None else Tenure(documents, lease, ttl, sent_at, monotonic)

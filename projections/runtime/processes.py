"""The processes that must know which versions are live: each is there by a lease, and its row says the epoch of versions that it goes by.

A process that cannot renew its lease is taken for dead once it has run out, by the store's clock; when it wakes it enters anew, and then reads anew.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from domain.errors import UnavailableError
from projections.documents.port import Collection, Documents, Fidelity, Index, Row, Shape, Value
from projections.runtime.leases import Tenure, claim

PROCESSES: Final = Collection(
    family="runtime",
    name="processes",
    shape=Shape.ROWS,
    fidelity=Fidelity.CACHE,
    indexes=(Index("by_epoch", ("kind",), "epoch"),),
)

READER: Final = "reader"
WORKER: Final = "worker"
TTL: Final = 15.0
"""Seconds after which a process that does not renew is dead."""

_GONE: Final = "gone"
_NEVER: Final = 2**62
_MOST: Final = 1000

_log = structlog.get_logger("tidings.runtime")


class Presence:
    """One process. ``kind``: READER or WORKER."""

    def __init__(
        self, documents: Documents, kind: str, *, ttl: float = TTL, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._documents = documents
        self._kind = kind
        self._ttl = ttl
        self._monotonic = monotonic
        self._tenure: Tenure | None = None
        self._confirmed = 0

    @property
    def sure(self) -> bool:
        """Whether nobody can have taken this process for dead: what it has confirmed holds."""
        return self._tenure is not None and self._tenure.usable > 0

    async def renew(self) -> bool:
        """False where it has entered, for the first time or anew: whatever it knew of versions counts for nothing. Raises UnavailableError."""
        if self._tenure is not None and self._tenure.usable > 0 and await self._tenure.renew():
            return True
        await self.leave()
        # A name of its own each time: what was said under the last one is settled.
        name = f"{self._kind}-{secrets.token_hex(8)}"
        self._tenure = await claim(self._documents, _lease(name), name, self._ttl, self._monotonic)
        self._confirmed = 0
        await self.confirm(0)
        return False

    async def confirm(self, epoch: int) -> None:
        """From now on the process goes by the versions of ``epoch`` and by none before. Raises UnavailableError."""
        if self._tenure is None:
            return
        self._confirmed += 1
        row: dict[str, Value] = {"kind": self._kind, "epoch": epoch}
        await self._documents.put(PROCESSES, [Row(self._tenure.lease.holder, self._confirmed, row)])

    async def leave(self) -> None:
        tenure, self._tenure = self._tenure, None
        if tenure is not None:
            with suppress(UnavailableError):
                await _bury(self._documents, tenure.lease.holder)
                await tenure.release()


async def unconfirmed(documents: Documents, epoch: int, kinds: Sequence[str]) -> Sequence[str]:
    """The living processes that have not confirmed ``epoch`` yet. Clears the dead away."""
    waiting: list[str] = []
    for kind in kinds:
        for found in await documents.page(PROCESSES, "by_epoch", (kind,), limit=_MOST):
            if isinstance(found.sort, int) and found.sort >= epoch:
                break
            if await _dead(documents, found.id):
                _log.warning("a process is gone", process=found.id)
                await _bury(documents, found.id)
            else:
                waiting.append(found.id)
    return waiting


async def _dead(documents: Documents, name: str) -> bool:
    """Whether its lease has run out. If so it is taken, so that the process learns of it should it wake."""
    taken = await documents.claim_lease(_lease(name), _GONE, 0.001)
    if taken is not None:
        await documents.release_lease(taken)
    return taken is not None


async def _bury(documents: Documents, name: str) -> None:
    # Out of its kind's index by the last word on this name, then away.
    await documents.put(PROCESSES, [Row(name, _NEVER, {"kind": _GONE, "epoch": 0})])
    await documents.remove(PROCESSES, "by_epoch", (_GONE,), below=1, position=_NEVER, limit=_MOST)


def _lease(name: str) -> str:
    return f"process-{name}"

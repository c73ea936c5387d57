"""One attempt to append a batch, carried on until its outcome is certain (log.md R3).

Only "applied" is certain at once. Anything else may be a success whose answer was lost, or a request that still waits in the server; it can
apply only while the head is where the batch expects it. So: look serially behind that head; nothing there, send the identical batch
again; a row there, its attempt id tells whose it is.

A batch names the append that it follows, so that it does not join a history that was set back. Where it opens a segment there is nothing in its
partition that it could name: the row before it is looked for instead, in front of every send.
"""

from collections.abc import Sequence

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from domain.errors import UnavailableError
from domain.log.cassandra import metrics
from domain.log.cassandra.driver import NotSentError, RejectedError
from domain.log.cassandra.table import LogTable, Place
from domain.log.codec import StoredEvent

_log = structlog.get_logger("tidings.log")


class Attempt:
    """Appends ``rows``, a batch of one segment, if the head is ``base``, the row before the first (None where there is none)."""

    def __init__(self, table: LogTable, place: Place, base: StoredEvent | None, rows: Sequence[StoredEvent]) -> None:
        self._table = table
        self._place = place
        self._base = rows[0].position - 1
        self._before = base if base is not None and table.opens_segment(place.generation, rows[0].position) else None
        self._attempt_id = rows[0].attempt_id
        self._statement = table.appending(base, rows)

    async def settle(self) -> bool:
        """Whether the rows were appended, for certain; takes as long as it takes.

        Raises NotSentError or RejectedError where the first send certainly did nothing.
        """
        await self._require_before()
        if await self._send():
            return True
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(UnavailableError), wait=wait_random_exponential(multiplier=0.02, max=1)
        ):
            with attempt:
                return await self._resolve()
        raise AssertionError("retries without an end have ended")

    async def _send(self) -> bool:
        try:
            return await self._table.append(self._statement)
        except (NotSentError, RejectedError):
            raise
        except UnavailableError as error:
            metrics.UNKNOWN.inc()
            _log.warning(
                "outcome unknown", shard=self._place.shard, after=self._base, attempt=self._attempt_id, error=str(error)
            )
            return False

    async def _require_before(self) -> None:
        """Raises NotSentError where the row in front of the segment is not the one that was folded, or cannot be read."""
        if self._before is None:
            return
        try:
            there = await self._table.next_serial(self._place, self._base - 1)
        except UnavailableError as error:
            raise NotSentError(str(error)) from error
        if there is None or there.event_id != self._before.event_id:
            raise NotSentError(f"shard {self._place.shard} has lost what stood at position {self._base}")

    async def _resolve(self) -> bool:
        # A row there proves that the head has moved, however it was read; that there is none is proven only by a serial read, which
        # gets into the way of other appends.
        row = await self._table.row(self._place, self._base + 1)
        if row is None:
            row = await self._table.next_serial(self._place, self._base)
        if row is not None:
            return row.attempt_id == self._attempt_id
        await self._require_before()
        if await self._table.append(self._statement):
            return True
        raise UnavailableError(f"attempt {self._attempt_id} after position {self._base} is still open")

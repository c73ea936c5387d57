"""Rankings: the newest snapshot of each kind and window of trends that somebody follows, read once a minute for all who do in this process."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog

from domain.errors import UnavailableError
from projections.documents.port import Documents
from projections.trends import Snapshot, TrendKind, TrendWindow, get_snapshot, newest_minute

LOOK: Final = 1.0
"""Seconds between two looks at the clock."""
PATIENCE: Final = 30.0
"""Seconds that a snapshot may be overdue before those who follow are told."""

_log = structlog.get_logger("tidings.live")


class Ranking:
    """One kind and window; ``newest`` is there once it has begun. Who is slow misses what came in between: the newest snapshot says all, so that nothing waits
    in a queue."""

    newest: Snapshot

    def __init__(
        self,
        documents: Documents,
        kind: TrendKind,
        window: TrendWindow,
        now: Callable[[], int],
        look: float,
        patience: float,
    ) -> None:
        self.kind = kind
        self.window = window
        self.users = 0
        self.reading: asyncio.Task[None] | None = None
        self._documents = documents
        self._now = now
        self._look = look
        self._patience = patience
        self._starting = asyncio.Lock()
        self._stalls = 0
        self._news = asyncio.Event()

    async def begin(self) -> None:
        """Raises UnavailableError where the documents are out of reach."""
        async with self._starting:
            if self.reading is None:
                self.newest = await self.at(newest_minute(self._now()))
                self.reading = asyncio.create_task(self._run())

    async def at(self, minute: int) -> Snapshot:
        """The snapshot of a minute. Raises UnavailableError."""
        return await get_snapshot(self._documents, self.kind, self.window, minute)

    async def newer(self, than: int) -> Snapshot | None:
        """The newest snapshot, waited for until it is of a later minute; None where it is overdue."""
        stalls = self._stalls
        while self.newest.at <= than:
            if self._stalls > stalls:
                return None
            await self._news.wait()
        return self.newest

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _run(self) -> None:
        well_at = time.monotonic()
        while True:
            await asyncio.sleep(self._look)
            try:
                await self._renew()
                well_at = time.monotonic()
            except UnavailableError:
                pass
            except Exception:  # noqa: BLE001 (whatever it is, those who follow are told in time, and the next look may succeed)
                _log.exception("trends cannot be read")
            if time.monotonic() - well_at > self._patience:
                _log.warning("trends stand still", kind=self.kind, window=self.window, seconds=self._patience)
                self._stalls += 1
                self._tell()
                well_at = time.monotonic()

    async def _renew(self) -> None:
        minute = newest_minute(self._now())
        if self.newest.at < minute:
            self.newest = await self.at(minute)
            self._tell()


class Rankings:
    """``documents`` are those of what is live; ``now`` gives microseconds."""

    def __init__(
        self, documents: Documents, now: Callable[[], int], *, look: float = LOOK, patience: float = PATIENCE
    ) -> None:
        self._documents = documents
        self._now = now
        self._look = look
        self._patience = patience
        self._rankings: dict[tuple[TrendKind, TrendWindow], Ranking] = {}

    @property
    def idle(self) -> bool:
        """Whether nothing is left of anybody who followed."""
        return not self._rankings

    @asynccontextmanager
    async def following(self, kind: TrendKind, window: TrendWindow) -> AsyncIterator[Ranking]:
        """The ranking, kept up to date inside. Raises UnavailableError where the documents are out of reach at its beginning."""
        ranking = self._rankings.get((kind, window))
        if ranking is None:
            ranking = Ranking(self._documents, kind, window, self._now, self._look, self._patience)
            self._rankings[kind, window] = ranking
        ranking.users += 1
        try:
            await ranking.begin()
            yield ranking
        finally:
            ranking.users -= 1
            if not ranking.users:
                del self._rankings[kind, window]
                if ranking.reading is not None:
                    ranking.reading.cancel()
                    await asyncio.gather(ranking.reading, return_exceptions=True)

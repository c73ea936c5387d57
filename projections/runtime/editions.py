"""Editions: which versions of the documents a process reads. It learns of a switch by polling, reads the new ones from then on, and confirms when nothing
that it began before can still be reading the old ones."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from domain.errors import UnavailableError
from projections.documents.port import Documents
from projections.runtime.backoff import persist
from projections.runtime.processes import READER, TTL, Presence
from projections.runtime.versions import Versions, read_versions

PERIOD: Final = 1.0
"""Seconds between two looks."""
LINGER: Final = 16.0
"""Seconds that what was begun may take at most: an operation, and the last call to a store in it."""

ASK: Final = 1.0
"""Seconds that an answer waits at most to learn whether it holds."""

_log = structlog.get_logger("tidings.runtime")


@dataclass(frozen=True, slots=True)
class Edition:
    """``documents`` are a view: one version of each family, whatever becomes live. Editions of a process are numbered."""

    number: int
    documents: Documents


class Editions:
    """One for a process that reads. Refreshes ``documents`` too: they are always those of ``current``."""

    def __init__(
        self,
        documents: Documents,
        *,
        linger: float = LINGER,
        period: float = PERIOD,
        ttl: float = TTL,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._documents = documents
        self._linger = linger
        self._period = period
        self._monotonic = monotonic
        self._presence = Presence(documents, READER, ttl=ttl, monotonic=monotonic)
        self._looking = asyncio.Lock()
        self._watched = False
        self._current = Edition(0, documents)
        self._epoch = -1
        self._unconfirmed = True
        self._confirm_at = monotonic()
        self._floor = 0
        self._asking: asyncio.Task[None] | None = None
        self._ask_at = monotonic()

    @property
    def current(self) -> Edition:
        """To read from, for no longer than what is begun now may take. Until versions are watched, whatever is live."""
        return self._current

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Follows the live versions inside. Raises UnavailableError where the documents are out of reach at its beginning."""
        await self._look()
        self._watched = True
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._presence.leave()

    async def still(self, edition: Edition) -> bool:
        """Whether what was just read in this edition holds. Not where this process was away for so long that it passed for dead, and other versions have
        become live: what it read may have been dropped under it."""
        if self._watched and not self._presence.sure and self._monotonic() >= self._ask_at:
            if self._asking is None or self._asking.done():
                self._asking = asyncio.create_task(self._ask())
            await asyncio.wait({self._asking}, timeout=ASK)
        return edition.number >= self._floor

    async def _ask(self) -> None:
        """One look for all who ask at a time. Where the store is away, whatever needed it has failed by itself, and others need not wait."""
        try:
            async with asyncio.timeout(ASK):
                await self._look()
        except (UnavailableError, TimeoutError):
            self._ask_at = self._monotonic() + self._period

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            await persist(self._look, "versions", longest=self._period)

    async def _look(self) -> None:
        async with self._looking:
            unbroken = await self._presence.renew()
            versions = await read_versions(self._documents)
            if versions.epoch != self._epoch or not unbroken:
                await self._adopt(versions, unbroken)
            if self._unconfirmed and self._monotonic() >= self._confirm_at:
                await self._presence.confirm(self._epoch)
                self._unconfirmed, self._floor = False, self._current.number

    async def _adopt(self, versions: Versions, unbroken: bool) -> None:
        await self._documents.refresh()
        view, now = self._documents.pinned({}), self._monotonic()
        before = self._current
        if before.documents is self._documents or any(
            view.version(family) != before.documents.version(family) for family in versions.families
        ):
            self._current = Edition(before.number + 1, view)
            self._confirm_at = now + self._linger
            _log.info("other versions are live", epoch=versions.epoch)
        if not unbroken:
            # It was not there, or passed for dead: nobody waits for what it began before.
            self._confirm_at = now
        self._epoch, self._unconfirmed = versions.epoch, True

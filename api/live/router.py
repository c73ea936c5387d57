"""The router: one tail of all shards' signals a process, handed out to the inboxes that listen to their topics.

Signals are read up to the family's checkpoint and never past it: only there is everything durable and in order. Handing out a page is one synchronous
step, so that whoever looks at ``positions`` between two awaits knows exactly what has been handed out.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Final

import structlog

from api.live.company import Company
from api.live.inbox import Delivery, Inbox
from api.live.looks import Looks
from domain.errors import UnavailableError
from projections import signals
from projections.documents.port import Documents
from projections.runtime.halts import halted
from projections.signals import Signal, SignalKind, SignalPage, author_topic, read_signals

PAGE: Final = 500
BUSY: Final = 0.02
IDLE: Final = 0.25
"""Seconds between two looks: while something comes, and when nothing has come for a while."""
PATIENCE: Final = 30.0
"""Seconds that the signals may stand still before those who listen are told."""
HALT_LOOKS: Final = 5.0
FOLLOWS: Final = (SignalKind.FOLLOW_ADDED, SignalKind.FOLLOW_REMOVED)

_log = structlog.get_logger("tidings.live")


class Router:
    """Tails while somebody listens, and not otherwise. ``looks`` reads for all who are woken by the same event; guests keep ``company``."""

    def __init__(
        self,
        documents: Documents,
        shards: int,
        *,
        busy: float = BUSY,
        idle: float = IDLE,
        patience: float = PATIENCE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.looks = Looks(documents)
        self.company = Company()
        self._documents = documents
        self._shards = range(shards)
        self._busy = busy
        self._idle = idle
        self._patience = patience
        self._monotonic = monotonic
        self._positions: dict[int, int] = {}
        self._inboxes: dict[Inbox, set[str]] = {}
        self._topics: defaultdict[str, set[Inbox]] = defaultdict(set)
        self._listeners = 0
        self._starting = asyncio.Lock()
        self._tail: asyncio.Task[None] | None = None
        self._stirred = asyncio.Event()
        self._saved = False
        self._next_halt_look = 0.0
        self._stopped = False

    @property
    def positions(self) -> Mapping[int, int]:
        """{shard: sequence}: all signals up to there have been handed out."""
        return self._positions

    @property
    def idle(self) -> bool:
        """Whether nothing is left of anybody who listened."""
        return not self._listeners and self._tail is None and not self._inboxes and not self._topics

    async def checkpoints(self) -> Mapping[int, int]:
        """How far the signals have come in each shard, read from the store. Raises UnavailableError."""
        saved = await self._documents.load_checkpoints(signals.FAMILY.name)
        return {shard: saved.get(shard, 0) for shard in self._shards}

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """``positions`` are kept moving inside. Raises UnavailableError where the documents are out of reach."""
        self._listeners += 1
        try:
            async with self._starting:
                if self._tail is None:
                    self._positions = dict(await self.checkpoints())
                    self._tail = asyncio.create_task(self._run())
            yield
        finally:
            self._listeners -= 1
            if not self._listeners:
                await self.close()

    async def close(self) -> None:
        """Stops the tail. Inboxes that are left get nothing more."""
        tail, self._tail = self._tail, None
        if tail is not None:
            tail.cancel()
            await asyncio.gather(tail, return_exceptions=True)

    def expect(self) -> None:
        """Something was appended here: looks come often until it is there."""
        self._stirred.set()

    def nudge(self) -> None:
        """Signals were saved here: the next look comes at once."""
        self._saved = True
        self._stirred.set()

    def attach(self, inbox: Inbox, topics: Iterable[str]) -> None:
        self._inboxes[inbox] = set()
        for topic in topics:
            self.join(inbox, topic)

    def join(self, inbox: Inbox, topic: str) -> None:
        self._inboxes[inbox].add(topic)
        self._topics[topic].add(inbox)

    def leave(self, inbox: Inbox, topic: str) -> None:
        self._inboxes[inbox].discard(topic)
        self._topics[topic].discard(inbox)
        if not self._topics[topic]:
            del self._topics[topic]

    def detach(self, inbox: Inbox) -> None:
        """May be repeated."""
        for topic in list(self._inboxes.get(inbox, ())):
            self.leave(inbox, topic)
        self._inboxes.pop(inbox, None)

    async def _run(self) -> None:
        pause, well_at = self._busy, self._monotonic()
        while True:
            moved = False
            try:
                moved = await self._round()
                if not await self._halted():
                    well_at = self._monotonic()
            except UnavailableError:
                pass
            except Exception:  # noqa: BLE001 (see below)
                # Whatever it is, those who listen are told in time, and the next look may succeed.
                _log.exception("signals cannot be read")
            if self._monotonic() - well_at > self._patience:
                _log.warning("signals stand still", seconds=self._patience)
                self._end_all()
                well_at = self._monotonic()
            pause = self._busy if moved else min(self._idle, 2 * pause)
            if await self._rest(pause):
                pause = self._busy / 2

    async def _rest(self, seconds: float) -> bool:
        """For so long; until something is saved here; no longer than ``busy`` once something was appended. Whether anything was."""
        stirred = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds) as limit:
                while not self._saved:
                    await self._stirred.wait()
                    self._stirred.clear()
                    if not stirred:
                        soon = asyncio.get_running_loop().time() + self._busy
                        limit.reschedule(min(limit.when() or soon, soon))
                    stirred = True
        self._saved = False
        return stirred

    async def _round(self) -> bool:
        """Hands out what has come since the last one; whether anything has."""
        checkpoints = await self.checkpoints()
        behind = [shard for shard in self._shards if self._positions[shard] < checkpoints[shard]]
        pages = await asyncio.gather(*(read_signals(self._documents, s, self._positions[s], PAGE) for s in behind))
        for shard, page in zip(behind, pages, strict=True):
            self._hand_out(shard, *settled(page, checkpoints[shard]))
        return bool(behind)

    def _hand_out(self, shard: int, page: Sequence[Signal], upto: int) -> None:
        others = dict(self._positions)
        for position, group in groupby(page, key=lambda signal: signal.position):
            own: defaultdict[Inbox, list[Signal]] = defaultdict(list)
            for signal in group:
                for inbox in self._listening_to(signal):
                    if signal.kind in FOLLOWS:
                        self._turn(inbox, signal)
                    else:
                        own[inbox].append(signal)
            for inbox, found in own.items():
                inbox.offer(Delivery(shard, position, tuple(found), others))
        self._positions[shard] = upto

    def _listening_to(self, signal: Signal) -> set[Inbox]:
        return set().union(*(self._topics.get(topic, ()) for topic in signal.topics))

    def _turn(self, inbox: Inbox, signal: Signal) -> None:
        """Who listens to whom a person follows, listens from here on to those people: a follow lies in the followee's shard, in order with their posts."""
        if signal.account is not None:
            turn = self.join if signal.kind is SignalKind.FOLLOW_ADDED else self.leave
            turn(inbox, author_topic(signal.account))

    async def _halted(self) -> bool:
        """Whether the signals, or a family that they follow, cannot go on in some shard; looked up every few seconds."""
        if self._monotonic() >= self._next_halt_look:
            self._next_halt_look = self._monotonic() + HALT_LOOKS
            families = (signals.FAMILY.name, *signals.FAMILY.follows)
            saved = await asyncio.gather(*(self._documents.load_checkpoints(family) for family in families))
            places = {
                (family, shard): own.get(shard, 0)
                for family, own in zip(families, saved, strict=True)
                for shard in self._shards
            }
            self._stopped = bool(await halted(self._documents, places))
        return self._stopped

    def _end_all(self) -> None:
        for inbox in list(self._inboxes):
            self.detach(inbox)
            inbox.end()


def settled(page: SignalPage, checkpoint: int) -> tuple[Sequence[Signal], int]:
    """Those signals of a page that a checkpoint covers, and up to where that is all there are."""
    covered = [signal for signal in page.signals if signal.position <= checkpoint]
    return covered, checkpoint if page.reached is None else min(page.reached, checkpoint)

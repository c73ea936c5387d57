"""The one thread that writes: takes all that is queued, has it appended in one transaction, and delivers the answers."""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from domain.errors import UnavailableError
from domain.log.batching import Decision, Fate, Waiting
from domain.log.sqlite.queries import Tip
from domain.log.sqlite.tables import translated
from domain.log.sqlite.transaction import Appender

_log = structlog.get_logger(__name__)

_GROUP: Final = 512
"""Commands in one transaction at most: bounds how long others wait for it."""


@dataclass(slots=True, eq=False, kw_only=True)
class Ticket(Waiting):
    """A queued command and where its answer goes."""

    answer: "asyncio.Future[Decision[Ticket]]"


@dataclass(frozen=True, slots=True)
class Forget:
    """The order to destroy a key."""

    subject: str
    answer: "asyncio.Future[None]"


Answer = tuple[Ticket, "Decision[Ticket] | Exception"]
Deliver = Callable[[Sequence[Answer], Sequence[Tip]], None]


class Writer(threading.Thread):
    """Runs until ``stop``. ``deliver`` is called in the event loop with the answers of a group and the heads after it."""

    def __init__(
        self,
        appender: Appender,
        path: Path,
        loop: asyncio.AbstractEventLoop,
        deliver: Deliver,
        closing: threading.Event,
    ) -> None:
        # A thread that hangs on a dead disk must not keep the process from ending.
        super().__init__(name="log-writer", daemon=True)
        self._appender = appender
        self._path = path
        self._loop = loop
        self._deliver = deliver
        self._orders: queue.SimpleQueue[Ticket | Forget | None] = queue.SimpleQueue()
        self._closing = closing
        self._failing = False

    def submit(self, order: Ticket | Forget) -> None:
        self._orders.put(order)

    def stop(self) -> None:
        """Ends after the transaction under way, or without it while it waits to begin; what is queued behind it is answered with UnavailableError."""
        self._closing.set()
        self._orders.put(None)

    def run(self) -> None:
        while True:
            group, last = self._take()
            if self._closing.is_set():
                self._turn_away([*group, last])
                return
            if group:
                self._tell(self._append(group))
            if isinstance(last, Forget):
                self._forget(last)

    def _take(self) -> tuple[list[Ticket], Forget | None]:
        """All that is queued up to the first order that is no command; waits for the first."""
        group: list[Ticket] = []
        order = self._orders.get()
        while isinstance(order, Ticket):
            if not order.answer.cancelled():
                group.append(order)
            if len(group) == _GROUP:
                return group, None
            try:
                order = self._orders.get_nowait()
            except queue.Empty:
                return group, None
        return group, order

    def _append(self, group: Sequence[Ticket]) -> list[Answer]:
        try:
            with translated(self._path):
                decisions = self._appender.append(group)
        except UnavailableError as error:
            self._observe(error)
            return [(ticket, error) for ticket in group]
        except Exception as error:  # noqa: BLE001 -- the thread outlives whatever one group meets
            if len(group) == 1:
                return [(group[0], error)]
            # One command's trouble must not be everyone's.
            return [answer for ticket in group for answer in self._append([ticket])]
        # What appends nothing is committed on a full disk too.
        if self._appender.fault is not None or any(decision.fate is Fate.APPENDED for decision in decisions):
            self._observe(self._appender.fault)
        return [(decision.waiting, decision) for decision in decisions]

    def _observe(self, fault: Exception | None) -> None:
        """Says once that the file cannot be written, and once that it can again: the clients learn no reason."""
        if fault is not None and not self._failing:
            _log.error("log.cannot_be_written", path=str(self._path), reason=str(fault))
        elif fault is None and self._failing:
            _log.info("log.is_written_again", path=str(self._path))
        self._failing = fault is not None

    def _forget(self, order: Forget) -> None:
        error: Exception | None = None
        try:
            with translated(self._path):
                self._appender.destroy(order.subject)
        except Exception as caught:  # noqa: BLE001 -- the thread outlives it, the caller is told
            error = caught
        self._call(_settle, order.answer, error)

    def _turn_away(self, orders: Sequence[Ticket | Forget | None]) -> None:
        error = UnavailableError("the log was closed before the command was tried")
        waiting = list(orders)
        while True:
            try:
                waiting.append(self._orders.get_nowait())
            except queue.Empty:
                break
        self._tell([(order, error) for order in waiting if isinstance(order, Ticket)])
        for order in waiting:
            if isinstance(order, Forget):
                self._call(_settle, order.answer, error)

    def _tell(self, answers: Sequence[Answer]) -> None:
        self._call(self._deliver, answers, tuple(self._appender.tips))

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            # The loop was closed before the log: nobody is left to be told.
            _log.warning("log.answer_lost")


def _settle(answer: asyncio.Future[None], error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)

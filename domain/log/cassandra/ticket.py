"""A command's place in an appender's queue."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.errors import OutcomeUnknownError
from domain.log.batching import Decision, Waiting
from domain.log.cassandra.view import Entry


@dataclass(slots=True, eq=False, kw_only=True)
class Ticket(Waiting):
    """A command in the queue.

    ``answer`` gets its decision once that is final, or None where something that it was prepared with is gone: then it must be prepared again.
    ``entries`` are pinned for it: its streams' and those of ``execution.given``. ``confirmed``: a head that was read after it
    arrived is folded. ``sent``: its events are in flight. ``abandoned`` is set where its caller left while they were, and called at the end.
    """

    answer: "asyncio.Future[Decision[Ticket] | None]"
    deadline: float
    entries: Sequence[Entry] = ()
    sealable: bool = False
    confirmed: bool = False
    sent: bool = False
    abandoned: Callable[[], None] | None = None

    def settle(self, decision: "Decision[Ticket] | None") -> None:
        if not self.answer.done():
            self.answer.set_result(decision)
        self._end()

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
        self._end()

    def give_up(self) -> None:
        """The caller has waited long enough; its events are in flight, and stay there."""
        if not self.answer.done():
            self.answer.set_exception(OutcomeUnknownError(self.execution.metadata.command_id))

    def _end(self) -> None:
        self.sent = False
        if self.abandoned is not None:
            self.abandoned()

    @property
    def dropped(self) -> bool:
        """Whether nobody waits for it, and it has not been sent before."""
        return self.answer.done() and self.abandoned is None

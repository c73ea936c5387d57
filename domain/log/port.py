"""The log's port. It takes commands, not events: what was decided stands only on what the shard held when it was appended.

A *sequence* is ``generation << 44 | position`` (domain.envelope); 0 is before the first event. All times are microseconds since the epoch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from domain.envelope import Metadata, Recorded
from domain.events import Event

S = TypeVar("S")

MAX_COMMAND_EVENTS = 64
"""A command's events are never split over batches, so a command has at most this many."""


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """What makes this log this log: recorded once, compared by everything that keeps a position."""

    log_id: str
    generation: int
    shards: int
    segment_size: int


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that a decision wants appended. ``occurred_at`` None means: when it is recorded."""

    stream: str
    event: Event
    occurred_at: int | None = None


class View:
    """The states that a decision may read: those of the written shard and the ``given`` ones, all by stream name.

    A stream without events has its category's initial state (domain.deciders.REGISTRY).
    """

    __slots__ = ("_states",)

    def __init__(self, states: Mapping[str, object]) -> None:
        self._states = states

    def state(self, stream: str, kind: type[S]) -> S:
        """The state of ``stream``; ``kind`` is the class it must have. KeyError if the execution did not name the stream."""
        state = self._states[stream]
        if not isinstance(state, kind):
            raise TypeError(f"{stream} is a {type(state).__name__}, not a {kind.__name__}")
        return state


Decide = Callable[[View], Sequence[Draft]]
"""Pure and synchronous: drafts to append, () for no change, or raises Refusal. May be called more than once for one command."""


@dataclass(frozen=True, slots=True)
class Execution:
    """A command, ready for the appender.

    ``streams`` lie in ``shard`` and are covered by the append's condition; those in ``fresh`` carry an id that this very command minted at random and are
    not loaded. ``given`` lie in other shards (or this one) and are not covered: a refusal is answered only after their shards' views were
    confirmed and the command decided once more. ``subject`` is the account under whose key private parts are sealed; its key is made if
    ``new_subject`` says that the account comes into being here.
    """

    shard: int
    streams: tuple[str, ...]
    decide: Decide
    metadata: Metadata
    given: tuple[str, ...] = ()
    fresh: frozenset[str] = frozenset()
    subject: str | None = None
    new_subject: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """``events`` are those appended, () where nothing changed. ``positions`` is {shard: sequence} at which the answer holds: of the last event
    appended, else of the state that was decided on. ``states`` are the written shard's named streams after the command."""

    events: tuple[Recorded, ...]
    positions: Mapping[int, int]
    states: Mapping[str, object] = field(default_factory=dict)


class EventLog(Protocol):
    """Errors of every method: UnavailableError (store out of reach), LogError (the log cannot be trusted)."""

    @property
    def identity(self) -> LogIdentity: ...

    async def execute(self, execution: Execution) -> Outcome:
        """Decide and append atomically. Raises Refusal, OverloadedError (queue full, not sent), OutcomeUnknownError (sent, may apply)."""
        ...

    async def states(self, streams: Sequence[str]) -> Mapping[str, object]:
        """Current states, of any shards, as far as this process has seen; for what is not a decision (sign-in, a claim's owner)."""
        ...

    async def load(self, stream: str, *, version: int | None = None, until: int | None = None) -> tuple[Recorded, ...]:
        """A stream's events in order, up to ``version`` and up to ``recorded_at <= until``."""
        ...

    async def read(self, shard: int, after: int, limit: int) -> tuple[Recorded, ...]:
        """At most ``limit`` events with sequence > ``after``, dense and in order; a hole is waited for or ends the run, never skipped."""
        ...

    async def head(self, shard: int) -> int:
        """The sequence of the shard's newest event, read from the store; 0 when it is empty."""
        ...

    async def wait(self, shard: int, after: int, timeout: float) -> None:
        """Returns when the shard may hold events above ``after``, at the latest after ``timeout`` seconds."""
        ...

    async def destroy_key(self, subject: str) -> None:
        """Forgets: what is sealed under the account's key reads as redacted from now on (elsewhere within 60 s)."""
        ...

    async def close(self) -> None:
        """Waits at most 5 s for what is in flight, logs the command ids of what is left, and lets go of the store."""
        ...

"""What a fold is: a pure function of one event to operations on its own family's documents.

State operations of a batch are made durable first; deferred ones run after that and read edges and floors only then
(../docs/invariants.md: two-sided races). A family shares one checkpoint per shard.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, TypeVar

from domain.envelope import Recorded
from domain.events import Event
from projections.documents.port import Change, Collection, Document, Documents, Row

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Alter:
    """Change one state document."""

    collection: Collection
    id: str
    change: Change


@dataclass(frozen=True, slots=True)
class Put:
    """Write one row. Of several of one id the last event's stands; with a ``position`` of its own, where several shards write it, the row
    with the highest."""

    collection: Collection
    id: str
    fields: Document
    position: int | None = None

    def row(self, sequence: int) -> Row:
        """Of the event ``sequence``: the higher position stands."""
        return Row(self.id, sequence if self.position is None else self.position, self.fields)


DEFERRED_WEIGHT: Final = 16


@dataclass(frozen=True, slots=True)
class Deferred:
    """Work that reads what the batch's state operations have made durable: ``run(documents, events)`` is given at once the events of a batch that ask for
    it, in their order; in bounded steps, idempotent. ``exact``: it writes what a replay must give again, not only caches. ``weight``: of how many other
    operations it counts as one, where they end a batch: it is bounded but may write many rows."""

    run: Callable[[Documents, Sequence[Recorded]], Awaitable[None]]
    exact: bool = False
    weight: int = field(default=DEFERRED_WEIGHT, compare=False)


Settle = Callable[[Documents | None, Documents, AbstractSet[int]], Awaitable[None]]
"""``settle(live, filled, cut)``: ``live`` is None where there is none yet; in the shards ``cut`` events were too old to be folded. May be repeated."""

Operation = Alter | Put | Deferred
Fold = Callable[[Recorded], Iterable[Operation]]


@dataclass(frozen=True, slots=True)
class Family:
    """What shares a checkpoint: its collections, and one fold per event class it cares for; other known events pass by it.

    ``follows`` names families whose checkpoints this one must not overtake (signals: whatever a live item hydrates from). ``version`` is raised with every
    change of the folds that makes other documents of the same events: the workers then fill the family anew beside the live one.

    ``kept``: microseconds after which an event leaves no trace, for its rows, whose field ``at`` is its recordedAt, are swept: nothing older is folded
    when the family is filled anew. ``settle`` makes what filling does not: the caches that must be right from the first moment.
    """

    name: str
    collections: tuple[Collection, ...]
    folds: Mapping[type[Event], Fold]
    follows: tuple[str, ...] = ()
    version: int = 1
    kept: int | None = None
    settle: Settle | None = None

    def fold(self, recorded: Recorded) -> Sequence[Operation]:
        handler = self.folds.get(type(recorded.event))
        return tuple(handler(recorded)) if handler is not None else ()


def on(kind: type[E], fold: Callable[[Recorded, E], Iterable[Operation]]) -> tuple[type[Event], Fold]:
    """An entry of ``Family.folds`` whose fold gets its event with its own type."""

    def typed(recorded: Recorded) -> Iterable[Operation]:
        event = recorded.event
        if not isinstance(event, kind):
            raise TypeError(f"a fold of {kind.__name__} was given {type(event).__name__}")
        return fold(recorded, event)

    return kind, typed


__all__ = ["Alter", "Change", "Deferred", "Family", "Fold", "Operation", "Put", "Row", "on"]

"""Batches: a run of events folded to what the store is asked to do, grouped so that each document is written once. Pure."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from domain.envelope import Recorded
from domain.errors import LogError
from projections.documents.port import Change, Collection, Doc, Row
from projections.folding import Alter, Deferred, Family, Operation, Put
from projections.runtime.deadletters import Letter, Stage
from projections.runtime.faults import describe

PutRows = Mapping[Collection, Sequence[Row]]
AlteredDocs = Mapping[Collection, Sequence[Doc]]


@dataclass(frozen=True, slots=True)
class Batch:
    """What the events up to and including ``upto`` (a sequence) come to. ``deferred`` are in the order of the events."""

    upto: int
    events: int
    docs: AlteredDocs
    rows: PutRows
    deferred: Sequence[tuple[Recorded, Deferred]]
    letters: Sequence[Letter]


@dataclass(slots=True)
class _Builder:
    family: Family
    parked: Callable[[Recorded], bool]
    # Insertion order is the events' order, in every level.
    changes: dict[Collection, dict[str, dict[int, list[Change]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    )
    rows: dict[Collection, dict[str, Row]] = field(default_factory=lambda: defaultdict(dict))
    deferred: list[tuple[Recorded, Deferred]] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    poisoned: set[str] = field(default_factory=set)
    weight: int = 0

    def take(self, recorded: Recorded) -> None:
        """One event, whole or not at all. Raises LogError where the family must halt, MemoryError."""
        if recorded.stream in self.poisoned or self.parked(recorded):
            self.letters.append(Letter(recorded, Stage.PARKED))
            return
        try:
            operations = self.family.fold(recorded)
        except (LogError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 -- whatever a fold raises stops this stream, not the others
            self.letters.append(Letter(recorded, Stage.FOLD, describe(error)))
            self.poisoned.add(recorded.stream)
            return
        for operation in operations:
            self._add(recorded, operation)

    def _add(self, recorded: Recorded, operation: Operation) -> None:
        match operation:
            case Alter(collection, id_, change):
                self.changes[collection][id_][recorded.sequence].append(change)
                self.weight += 1
            case Put(collection):
                self._put(collection, operation.row(recorded.sequence))
                self.weight += 1
            case Deferred():
                self.deferred.append((recorded, operation))
                self.weight += operation.weight

    def _put(self, collection: Collection, row: Row) -> None:
        # As the store would, were each put alone: the highest position, and the first where two are equal.
        standing = self.rows[collection].get(row.id)
        if standing is None or standing.position < row.position:
            self.rows[collection][row.id] = row

    def batch(self, upto: int, events: int, shard: int) -> Batch:
        docs = {
            collection: [
                Doc(id_, shard, tuple((at, tuple(changes)) for at, changes in positions.items()))
                for id_, positions in by_id.items()
            ]
            for collection, by_id in self.changes.items()
        }
        rows = {collection: list(by_id.values()) for collection, by_id in self.rows.items()}
        return Batch(upto, events, docs, rows, self.deferred, self.letters)


def fold_batch(
    family: Family, events: Sequence[Recorded], *, parked: Callable[[Recorded], bool], operations: int
) -> Batch:
    """Folds events (one or more, of one shard, in order) until the batch has ``operations`` or one cannot be passed.

    A fold that fails gives nothing of its event but a dead letter, and so does what follows in its stream. LogError (an unknown event type) is
    raised where the very first event meets it, and else ends the batch in front of it.
    """
    builder = _Builder(family, parked)
    upto, count = 0, 0
    for recorded in events:
        try:
            builder.take(recorded)
        except LogError:
            if count == 0:
                raise
            break
        upto, count = recorded.sequence, count + 1
        if builder.weight >= operations:
            break
    return builder.batch(upto, count, events[0].shard)

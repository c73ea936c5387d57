"""Given events, then documents: folds in memory, without a store."""

from collections.abc import Sequence

from domain.envelope import Recorded
from domain.events import Event
from projections.documents.changes import altered
from projections.documents.port import Collection, Value
from projections.folding import Alter, Family, Put
from tests.unit.specification import recorded

Folded = dict[str, dict[str, dict[str, Value]]]
"""{collection: {id: fields}}, the bookkeeping of stores aside."""

HOUR = 3_600_000_000


def happened(*events: Event | tuple[int, Event]) -> list[Recorded]:
    """Events in order, one a second from 1,000 s on, or at the time (microseconds) that stands with them."""
    timed = [one if isinstance(one, tuple) else ((1_000 + place) * 1_000_000, one) for place, one in enumerate(events)]
    return [recorded(event, version=place, at=at) for place, (at, event) in enumerate(timed, 1)]


def folded(family: Family, log: Sequence[Recorded]) -> Folded:
    """What is stored after these events; deferred operations are left out."""
    documents: Folded = {collection.name: {} for collection in family.collections}
    positions: dict[tuple[str, str], int] = {}
    for one in log:
        for operation in family.fold(one):
            if isinstance(operation, Alter):
                own = documents[_of(family, operation.collection)]
                own[operation.id] = altered(own.get(operation.id, {}), [operation.change])
            elif isinstance(operation, Put):
                name, row = _of(family, operation.collection), operation.row(one.sequence)
                if row.position > positions.get((name, row.id), -1):
                    positions[name, row.id] = row.position
                    documents[name][row.id] = dict(row.fields)
    return documents


def _of(family: Family, collection: Collection) -> str:
    assert collection in family.collections
    return collection.name

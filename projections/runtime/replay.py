"""Replay and comparison: the whole log folded into an empty document store, and where its exact collections differ from the live ones."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from domain.envelope import Recorded
from domain.errors import UnavailableError
from domain.log.port import EventLog
from projections.documents.port import Collection, Document, Documents, Fidelity, Found, Value
from projections.folding import Family
from projections.runtime.applying import Folding, Slots
from projections.runtime.deadletters import Letter, Parking
from projections.runtime.faults import HaltedError
from projections.runtime.tail import READ, read_run

PAGE: Final = 500

Upto = Mapping[str, Mapping[int, int]]
"""{family: {shard: sequence}}."""


class _Strict(Parking):
    """A replay stops at what a running family would park."""

    async def park(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            at = letter.recorded
            raise HaltedError(
                f"{self.family} cannot take {at.event.name} at position {at.position} of shard {at.shard}: {letter.error}"
            )


async def checkpoints_of(documents: Documents, families: Sequence[Family]) -> Upto:
    saved = await asyncio.gather(*(documents.load_checkpoints(family.name) for family in families))
    return {family.name: own for family, own in zip(families, saved, strict=True)}


async def replay(log: EventLog, documents: Documents, families: Sequence[Family], upto: Upto) -> None:
    """Folds every family from the log's beginning up to and including ``upto`` (``checkpoints_of`` the live store). ``documents`` are prepared and empty.

    What is deferred is left out: it writes caches, which are rebuilt by their own builders. Raises HaltedError at an event that a family cannot
    take, LogError at one that cannot be read, ValueError where the documents are not empty.
    """
    if any((await checkpoints_of(documents, families)).values()):
        raise ValueError("a replay begins with empty documents")
    for shard in range(log.identity.shards):
        await _replay_shard(log, documents, families, upto, shard)


async def _replay_shard(
    log: EventLog, documents: Documents, families: Sequence[Family], upto: Upto, shard: int
) -> None:
    slots = Slots()
    ends = {family.name: upto.get(family.name, {}).get(shard, 0) for family in families}
    consumers = [Folding(family, documents, slots, _unfenced, deferred=False) for family in families]
    last, after = max(ends.values(), default=0), 0
    while after < last:
        events = await read_run(log, shard, after, READ)
        if not events:
            raise UnavailableError(f"shard {shard} has events after {after} that cannot be read yet")
        for consumer in consumers:
            wanted = [recorded for recorded in events if recorded.sequence <= ends[consumer.name]]
            await _consume(consumer, wanted, _Strict(documents, consumer.name, shard))
        after = events[-1].sequence
    for name, end in ends.items():
        if end:
            await documents.save_checkpoint(name, shard, end, None)


async def _consume(consumer: Folding, events: Sequence[Recorded], parking: Parking) -> None:
    while events:
        upto = await consumer.consume(events, parking)
        events = [recorded for recorded in events if recorded.sequence > upto]


def _unfenced() -> None:
    """Nobody else writes to a replay's documents."""


class Absent(Enum):
    """Stands where one of two stores has nothing."""

    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Difference:
    """``field`` is a top-level field, empty where the whole document is in one store only."""

    collection: str
    id: str
    field: str
    live: Value | Absent
    replayed: Value | Absent


async def compare(live: Documents, replayed: Documents, collections: Sequence[Collection]) -> AsyncIterator[Difference]:
    """Where the exact ones among the collections differ, by collection, id and field; others are passed by. Holds two pages at a time.

    Says the truth about the moment only if nothing folds meanwhile: compare the live checkpoints before and after.
    """
    for collection in collections:
        if collection.fidelity is not Fidelity.EXACT:
            continue
        name = f"{collection.family}.{collection.name}"
        async for id_, left, right in _merged(live, replayed, collection):
            for difference in _differences(name, id_, left, right):
                yield difference


async def _merged(
    live: Documents, replayed: Documents, collection: Collection
) -> AsyncIterator[tuple[str, Document | None, Document | None]]:
    """Every id that either store has, in order, with what each has under it."""
    lefts, rights = _scan(live, collection), _scan(replayed, collection)
    left, right = await anext(lefts, None), await anext(rights, None)
    while left is not None or right is not None:
        id_ = min(found.id for found in (left, right) if found is not None)
        in_left, in_right = left is not None and left.id == id_, right is not None and right.id == id_
        yield id_, left.fields if left and in_left else None, right.fields if right and in_right else None
        if in_left:
            left = await anext(lefts, None)
        if in_right:
            right = await anext(rights, None)


async def _scan(documents: Documents, collection: Collection) -> AsyncIterator[Found]:
    after: str | None = None
    while page := await documents.scan(collection, after=after, limit=PAGE):
        for found in page:
            yield found
        after = page[-1].id


def _differences(name: str, id_: str, left: Document | None, right: Document | None) -> Sequence[Difference]:
    if left is None or right is None:
        return [Difference(name, id_, "", _whole(left), _whole(right))]
    return [
        Difference(name, id_, field, left.get(field, Absent.ABSENT), right.get(field, Absent.ABSENT))
        for field in sorted({*left, *right})
        if field not in left or field not in right or _canonical(left[field]) != _canonical(right[field])
    ]


def _canonical(value: Value) -> str:
    """Unlike ``==`` it tells 1, 1.0 and true apart, and like it does not care in which order fields stand."""
    return json.dumps(value, sort_keys=True)


def _whole(document: Document | None) -> Value | Absent:
    return Absent.ABSENT if document is None else dict(document)

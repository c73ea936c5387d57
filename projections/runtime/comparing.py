"""Comparison: where two versions of a family's documents differ, by collection, id and field, also while both are written to."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from projections.documents.port import Collection, Document, Documents, Fidelity, Found, Value
from projections.folding import Family

PAGE: Final = 500
CHUNK: Final = 500
"""Documents that are looked at again together."""
MOST: Final = 1_000
"""Documents that are named as different; a comparison ends when there are more."""
TRIES: Final = 12
REST: Final = 0.5
"""Seconds between two looks at documents that move."""
MARGIN: Final = 600_000_000
"""Microseconds above a horizon that may have been swept in one of two stores while they are compared."""


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


@dataclass(slots=True)
class Verdict:
    """``compared`` counts documents. ``unsettled`` ones moved all the while, so that nothing can be said of them. ``cut``: there may be more."""

    differences: list[Difference] = field(default_factory=list)
    compared: int = 0
    unsettled: list[str] = field(default_factory=list)
    cut: bool = False

    def joined(self, other: "Verdict") -> "Verdict":
        return Verdict(
            self.differences + other.differences,
            self.compared + other.compared,
            self.unsettled + other.unsettled,
            self.cut or other.cut,
        )


async def compare(live: Documents, replayed: Documents, collections: Sequence[Collection]) -> AsyncIterator[Difference]:
    """Where the exact ones among the collections differ, by collection, id and field; others are passed by. Holds two pages at a time.

    Says the truth about the moment only if nothing folds meanwhile; ``Comparison`` does while something does.
    """
    for collection in collections:
        if collection.fidelity is not Fidelity.EXACT:
            continue
        async for id_, left, right in _merged(live, replayed, collection):
            for difference in differences(collection, id_, left, right):
                yield difference


class Comparison:
    """Of one family in two stores. ``level`` returns when both have folded all that had been recorded when it was called; ``tick`` is told of documents
    that were looked at. ``horizon`` (microseconds): rows of a family that keeps them for a time are compared from there on."""

    def __init__(
        self,
        family: Family,
        live: Documents,
        other: Documents,
        level: Callable[[], Awaitable[None]],
        *,
        horizon: int = 0,
        rest: float = REST,
        tick: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._family = family
        self._live = live
        self._other = other
        self._level = level
        self._horizon = horizon
        self._rest = rest
        self._tick = tick
        self._verdict = Verdict()

    async def run(self) -> Verdict:
        """The exact and horizon collections, in bounded memory."""
        for collection in self._family.collections:
            if collection.fidelity is not Fidelity.CACHE and not self._verdict.cut:
                await self._compare(collection)
        return self._verdict

    async def _compare(self, collection: Collection) -> None:
        suspects: list[str] = []
        async for id_, left, right in _merged(self._live, self._other, collection):
            self._verdict.compared += 1
            self._tick(1)
            if not self._same(collection, id_, left, right):
                suspects.append(id_)
            if len(suspects) >= CHUNK:
                await self._look_again(collection, suspects)
                suspects = []
            if len({one.id for one in self._verdict.differences}) >= MOST:
                self._verdict.cut = True
                return
        await self._look_again(collection, suspects)

    async def _look_again(self, collection: Collection, suspects: Sequence[str]) -> None:
        """What differs may only have been read before and after an event. A document differs if it stood still in both stores while both came level:
        had an event been on its way to one of them, it would have moved."""
        for attempt in range(TRIES):
            before = await self._pairs(collection, suspects)
            suspects = [id_ for id_ in suspects if not self._same(collection, id_, *before[id_])]
            if not suspects:
                return
            await self._level()
            after = await self._pairs(collection, suspects)
            moving: list[str] = []
            for id_ in suspects:
                if self._same(collection, id_, *after[id_]):
                    continue
                if before[id_] == after[id_]:
                    self._verdict.differences += differences(collection, id_, *after[id_])
                else:
                    moving.append(id_)
            suspects = moving
            if suspects:
                await asyncio.sleep(self._rest * (attempt + 1) / TRIES)
        self._verdict.unsettled += [f"{collection.family}.{collection.name} {id_}" for id_ in suspects]

    async def _pairs(
        self, collection: Collection, ids: Sequence[str]
    ) -> Mapping[str, tuple[Document | None, Document | None]]:
        lefts, rights = await asyncio.gather(self._live.get(collection, ids), self._other.get(collection, ids))
        return {id_: (lefts.get(id_), rights.get(id_)) for id_ in ids}

    def _same(self, collection: Collection, id_: str, left: Document | None, right: Document | None) -> bool:
        if collection.fidelity is Fidelity.HORIZON and (self._below(left) or self._below(right)):
            return True
        return not differences(collection, id_, left, right)

    def _below(self, document: Document | None) -> bool:
        at = (document or {}).get("at")
        return isinstance(at, int) and at < self._horizon


def horizon_of(family: Family, now: int) -> int:
    """From where on rows can be compared at ``now``; 0: all."""
    return 0 if family.kept is None else now - family.kept + MARGIN


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


def differences(
    collection: Collection, id_: str, left: Document | None, right: Document | None
) -> Sequence[Difference]:
    name = f"{collection.family}.{collection.name}"
    if left is None or right is None:
        return [] if left is right else [Difference(name, id_, "", _whole(left), _whole(right))]
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


Grouped = Mapping[str, Sequence[Difference]]


def by_document(found: Sequence[Difference]) -> Grouped:
    """{collection and id: differences}, for those who print them."""
    grouped: defaultdict[str, list[Difference]] = defaultdict(list)
    for difference in found:
        grouped[f"{difference.collection} {difference.id}"].append(difference)
    return dict(grouped)

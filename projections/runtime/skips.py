"""Skips: an operator's recorded decisions that a family or reactor passes over an event that it cannot take.

Whoever folds honours them: the workers, a rebuild, a replay. Of a stream that the workers have parked, all that was parked is passed over with the event,
for a late redelivery would meet documents that have gone on; from then on the stream is folded again.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from domain.envelope import Recorded
from projections.documents.port import After, Collection, Documents, Fidelity, Index, Row, Shape
from projections.folding import Family, Fold, Operation

SKIPS: Final = Collection(
    family="runtime",
    name="skips",
    shape=Shape.ROWS,
    fidelity=Fidelity.CACHE,
    indexes=(Index("by_shard", ("family", "shard"), "since"),),
)

_PAGE: Final = 500


class Skip(msgspec.Struct, frozen=True):
    """Of ``stream``, the events with sequences from ``since`` to ``upto`` inclusive; while that is None the worker has not heard of it yet, and it is
    the one event. ``at`` in microseconds since the epoch."""

    family: str
    shard: int
    stream: str
    since: int
    upto: int | None
    reason: str
    at: int

    def row(self) -> Row:
        # What the worker adds takes the place of what the operator wrote.
        id_ = f"{self.family}/{self.shard}/{self.since}"
        return Row(id_, 1 if self.upto is None else 2, msgspec.to_builtins(self))


Skips = Mapping[str, Sequence[Skip]]
"""By stream."""


async def record_skip(documents: Documents, skip: Skip) -> None:
    await documents.put(SKIPS, [skip.row()])


async def close_skip(documents: Documents, skip: Skip, upto: int) -> Skip:
    closed = msgspec.structs.replace(skip, upto=upto)
    await documents.put(SKIPS, [closed.row()])
    return closed


async def read_skips(documents: Documents, family: str, shard: int) -> Sequence[Skip]:
    skips: list[Skip] = []
    after: After | None = None
    while True:
        page = await documents.page(SKIPS, "by_shard", (family, shard), after=after, limit=_PAGE)
        skips += [msgspec.convert(found.fields, Skip) for found in page]
        if len(page) < _PAGE:
            return skips
        after = After(skips[-1].since, page[-1].id)


def by_stream(skips: Iterable[Skip]) -> Skips:
    found: defaultdict[str, list[Skip]] = defaultdict(list)
    for skip in skips:
        found[skip.stream].append(skip)
    return dict(found)


def skipped(skips: Skips, recorded: Recorded) -> bool:
    return any(
        skip.since <= recorded.sequence <= (skip.since if skip.upto is None else skip.upto)
        for skip in skips.get(recorded.stream, ())
    )


def sparing(family: Family, skips: Callable[[Recorded], bool]) -> Family:
    """The family with folds that make nothing of some events."""

    def spared(fold: Fold) -> Fold:
        def folded(recorded: Recorded) -> Iterable[Operation]:
            return () if skips(recorded) else fold(recorded)

        return folded

    return replace(family, folds={kind: spared(fold) for kind, fold in family.folds.items()})

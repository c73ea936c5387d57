"""What a verification of a log on Cassandra is bound by, and how its findings are worded."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from domain.log.cassandra.scanning import Entry
from domain.log.cassandra.shard import TAIL_ROWS
from domain.log.cassandra.table import Place
from domain.log.codec import StoredEvent
from domain.log.findings import Finding, Kind, finding_of

_MOST_BEHIND: Final = TAIL_ROWS + 10_000
"""Appenders stop before the index is so many events behind."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What is verified of a place. ``through`` is the last position that the index must hold: all of an ended generation, else what the watermark says."""

    place: Place
    ended: bool
    watermark: int
    head: int

    @property
    def through(self) -> int:
        return self.head if self.ended else min(self.watermark, self.head)


def no_event(place: Place, position: int, row: StoredEvent | None) -> Finding:
    said = f"position {row.position} of shard {row.shard}, generation {row.generation}" if row else "no event"
    numbers = (place.generation, place.shard, position)
    return finding_of(Kind.UNREADABLE, *numbers, "the event of this position", f"a body of {said}")


def head_breach(place: Place, position: int, expected: str, found: object) -> Finding:
    return finding_of(Kind.HEAD, place.generation, place.shard, position, expected, found)


def stray(generation: int, shard: int, segment: int) -> Finding:
    return finding_of(Kind.PLACE, generation, shard, None, "no events there", f"a partition of segment {segment}")


def orphan(entry: Entry, shard: int | None, found: str) -> Finding:
    return Finding(
        kind=Kind.INDEX_ORPHAN,
        expected="the log's row for an index row",
        found=found,
        generation=entry.generation,
        shard=shard,
        position=entry.position,
        stream=entry.stream,
        version=entry.version,
    )


def wrong_watermark(bound: Bound) -> Iterator[Finding]:
    expected = None
    if bound.ended and bound.watermark != bound.head:
        expected = f"an index that is complete up to the generation's end {bound.head}"
    elif bound.watermark > bound.head:
        expected = f"a watermark at or below the head {bound.head}"
    elif bound.head - bound.watermark > _MOST_BEHIND:
        expected = f"a watermark at most {_MOST_BEHIND} below the head {bound.head}"
    if expected is not None:
        place, mark = bound.place, bound.watermark
        yield finding_of(Kind.WATERMARK, place.generation, place.shard, mark, expected, f"watermark {mark}")

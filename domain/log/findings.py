"""What a verification of the log finds, and where it is collected: findings named exactly, as many as memory is given, all of them counted."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec

from domain.log.codec import StoredEvent

KEPT: Final = 1_000
"""Findings of one verification that are kept whole; those beyond are counted."""


class Kind(StrEnum):
    """What is wrong. Those in DERIVED concern what the log can be asked for again; the others are damage to the log itself."""

    IDENTITY = "identity"
    POSITION = "position"
    HEAD = "head"
    TIME = "time"
    ATTEMPT = "attempt"
    PADDING = "padding"
    CLOSED = "closed"
    PLACE = "place"
    VERSION = "version"
    UNREADABLE = "unreadable"
    KEY = "key"
    STORE = "store"
    INDEX_MISSING = "index_missing"
    INDEX_DIFFERS = "index_differs"
    INDEX_ORPHAN = "index_orphan"
    WATERMARK = "watermark"


DERIVED: Final = frozenset({Kind.INDEX_MISSING, Kind.INDEX_DIFFERS, Kind.INDEX_ORPHAN, Kind.WATERMARK})


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One breach of what must hold: what was expected and what is there, and as much of the place as applies."""

    kind: Kind
    expected: str
    found: str
    generation: int | None = None
    shard: int | None = None
    position: int | None = None
    stream: str | None = None
    version: int | None = None


def finding_at(row: StoredEvent, kind: Kind, expected: object, found: object) -> Finding:
    """A finding about the event of a row."""
    return Finding(
        kind=kind,
        expected=str(expected),
        found=str(found),
        generation=row.generation,
        shard=row.shard,
        position=row.position,
        stream=row.stream,
        version=row.version,
    )


def finding_of(
    kind: Kind, generation: int, shard: int, position: int | None, expected: object, found: object
) -> Finding:
    """A finding about a place of the log where there may be no event."""
    return Finding(
        kind=kind, expected=str(expected), found=str(found), generation=generation, shard=shard, position=position
    )


def _nothing(phase: str, done: int, total: int) -> None:
    """No one watches."""


@dataclass(slots=True)
class Report:
    """A verification as it goes. ``progress(phase, done, total)`` is told how far each phase is; ``done`` counts the events that were looked at,
    by phase, ``repairs`` says what was mended."""

    progress: Callable[[str, int, int], None] = _nothing
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[Kind] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    repairs: Counter[str] = field(default_factory=Counter)

    @property
    def clean(self) -> bool:
        return not self.counts

    def add(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self.counts[finding.kind] += 1
            if len(self.findings) < KEPT:
                self.findings.append(finding)

    def advance(self, phase: str, count: int, total: int) -> None:
        self.done[phase] += count
        self.progress(phase, self.done[phase], total)

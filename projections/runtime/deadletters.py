"""Dead letters: events that a family or policy could not take, and what follows them in their streams, kept in the documents.

A stream is *parked* from its first dead letter on. Only a rebuild, or an operator's recorded skip, settles a dead letter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog

from domain.envelope import Recorded
from projections.documents.port import After, Collection, Document, Documents, Fidelity, Index, Row, Shape
from projections.runtime import metrics
from projections.runtime.faults import HaltedError

DEAD_LETTERS: Final = Collection(
    family="runtime",
    name="dead_letters",
    shape=Shape.ROWS,
    fidelity=Fidelity.CACHE,
    indexes=(
        Index("by_family", ("family",), "position"),
        Index("by_position", ("family", "shard"), "position"),
        # Only a stream's first dead letter has ``poison``.
        Index("poison", ("family", "shard"), "poison"),
    ),
)

PARKED_LIMIT: Final = 1000
"""Streams that one family may have parked in one shard: beyond it the fault is the fold's, not an event's."""

_PAGE: Final = 500

_log = structlog.get_logger("tidings.runtime")


class Stage(StrEnum):
    """Where it failed. FOLD: nothing of the event was applied. STORE, DEFERRED, PERFORM: a part may have been. PARKED: follows a dead letter."""

    FOLD = "fold"
    STORE = "store"
    DEFERRED = "deferred"
    PERFORM = "perform"
    PARKED = "parked"


@dataclass(frozen=True, slots=True)
class Letter:
    """``error`` names the failure's type and place (faults.describe), without what may have been typed."""

    recorded: Recorded
    stage: Stage
    error: str = ""

    def row(self, family: str) -> Row:
        recorded = self.recorded
        fields: dict[str, str | int] = {
            "family": family,
            "shard": recorded.shard,
            "position": recorded.sequence,
            "eventId": recorded.event_id,
            "stream": recorded.stream,
            "version": recorded.version,
            "type": recorded.event.name,
            "stage": self.stage.value,
            "error": self.error,
        }
        if self.stage is not Stage.PARKED:
            fields["poison"] = recorded.sequence
        return Row(f"{family}/{recorded.shard}/{recorded.sequence}", recorded.sequence, fields)


class Parking:
    """The streams that one family has parked in one shard, each from a sequence on. What lies before it still folds, when it is redelivered."""

    def __init__(self, documents: Documents, family: str, shard: int) -> None:
        self.family = family
        self.shard = shard
        self._documents = documents
        self._since: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._since)

    async def load(self) -> None:
        after: After | None = None
        while len(self) <= PARKED_LIMIT:
            page = await self._documents.page(
                DEAD_LETTERS, "poison", (self.family, self.shard), after=after, limit=_PAGE
            )
            for found in page:
                self._since.setdefault(str(found.fields["stream"]), _sequence(found.fields))
            if len(page) < _PAGE:
                return
            after = After(_sequence(page[-1].fields), page[-1].id)

    def holds(self, recorded: Recorded) -> bool:
        """Whether a dead letter stands in front of this event, or for it."""
        since = self._since.get(recorded.stream)
        return since is not None and recorded.sequence >= since

    async def park(self, letters: Sequence[Letter]) -> None:
        """Makes the letters durable, then holds their streams. HaltedError where too many streams are parked."""
        if not letters:
            return
        await self._documents.put(DEAD_LETTERS, [letter.row(self.family) for letter in letters])
        metrics.DEAD_LETTERS.labels(family=self.family, shard=self.shard).inc(len(letters))
        for letter in letters:
            if letter.stage is not Stage.PARKED and letter.recorded.stream not in self._since:
                self._since[letter.recorded.stream] = letter.recorded.sequence
                _log.error(
                    "stream parked",
                    family=self.family,
                    shard=self.shard,
                    stream=letter.recorded.stream,
                    position=letter.recorded.position,
                    event_id=letter.recorded.event_id,
                    stage=letter.stage.value,
                    error=letter.error,
                )
        self.require_few()

    def require_few(self) -> None:
        if len(self) > PARKED_LIMIT:
            raise HaltedError(f"{self.family} has parked more than {PARKED_LIMIT} streams of shard {self.shard}")


async def dead_letters(
    documents: Documents, family: str, shard: int, *, after: int = 0, limit: int = 100
) -> Sequence[Document]:
    """A family's dead letters of one shard in the order of their positions, those above ``after``."""
    start = After(after, "\U0010ffff") if after else None
    page = await documents.page(DEAD_LETTERS, "by_position", (family, shard), after=start, limit=limit)
    return [found.fields for found in page]


def _sequence(fields: Document) -> int:
    value = fields["position"]
    if not isinstance(value, int):
        raise TypeError(f"a dead letter's position is {value!r}")
    return value

"""Dead letters: events that a family or policy could not take, and what follows them in their streams, kept in the documents.

A stream is *parked* from its first dead letter on. Only a rebuild, or an operator's recorded skip (see skips), settles a dead letter. Each version of a
family has its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog

from domain.envelope import Recorded
from projections.documents.port import After, Collection, Document, Documents, Fidelity, Index, Row, Shape
from projections.documents.rules import versioned
from projections.folding import Family
from projections.runtime import metrics
from projections.runtime.faults import HaltedError
from projections.runtime.skips import Skip, Skips, by_stream, close_skip, read_skips, skipped, sparing

DEAD_LETTERS: Final = Collection(
    family="runtime",
    name="dead_letters",
    shape=Shape.ROWS,
    fidelity=Fidelity.CACHE,
    indexes=(
        Index("by_source", ("source",), "position"),
        Index("by_position", ("source", "shard"), "position"),
        Index("by_stream", ("source", "stream"), "position"),
        # Only a stream's first dead letter has ``poison``.
        Index("poison", ("source", "shard"), "poison"),
    ),
)

PARKED_LIMIT: Final = 1000
"""Streams that one family may have parked in one shard: beyond it the fault is the fold's, not an event's."""

_PAGE: Final = 500
_NEVER: Final = 2**62

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

    def row(self, family: str, source: str) -> Row:
        """``source``: the family with its version."""
        recorded = self.recorded
        fields: dict[str, str | int] = {
            "source": source,
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
        return Row(f"{source}/{recorded.shard}/{recorded.sequence}", recorded.sequence, fields)


def source_of(documents: Documents, family: str) -> str:
    """Whose dead letters a family's are in the version of this handle."""
    return versioned(family, documents.version(family))


class Parking:
    """The streams that one family has parked in one shard, each from a sequence on. What lies before it still folds, when it is redelivered."""

    def __init__(self, documents: Documents, family: str, shard: int) -> None:
        self.family = family
        self.shard = shard
        self._source = source_of(documents, family)
        self._documents = documents
        self._since: dict[str, int] = {}
        self._skips: Skips = {}
        self._spared: Family | None = None

    def __len__(self) -> int:
        return len(self._since)

    async def load(self) -> None:
        """What is parked, after the skips that were recorded have let go of their streams."""
        await self.load_parked()
        recorded = await read_skips(self._documents, self.family, self.shard)
        settled = [await self._settle(skip) for skip in recorded]
        self._skips = by_stream(settled)
        if recorded:
            self._since.clear()
            await self.load_parked()

    async def load_skips(self) -> None:
        """The skips alone: for whoever parks nothing."""
        self._skips = by_stream(await read_skips(self._documents, self.family, self.shard))

    async def _settle(self, skip: Skip) -> Skip:
        """Of a stream that is parked, all that was parked is skipped, for what came after it in other streams has been folded; then it goes on."""
        if skip.upto is None and skip.stream in self._since:
            found = await self._documents.page(
                DEAD_LETTERS, "by_stream", (self._source, skip.stream), limit=1, reverse=True
            )
            skip = await close_skip(self._documents, skip, _sequence(found[0].fields))
        if skip.upto is not None:
            prefix, below = (self._source, skip.stream), skip.upto + 1
            while await self._documents.remove(
                DEAD_LETTERS, "by_stream", prefix, below=below, position=skip.upto, limit=_PAGE
            ):
                pass
        return skip

    async def load_parked(self) -> None:
        """What is parked, and no skips."""
        after: After | None = None
        while len(self) <= PARKED_LIMIT:
            page = await self._documents.page(
                DEAD_LETTERS, "poison", (self._source, self.shard), after=after, limit=_PAGE
            )
            for found in page:
                self._since.setdefault(str(found.fields["stream"]), _sequence(found.fields))
            if len(page) < _PAGE:
                return
            after = After(_sequence(page[-1].fields), page[-1].id)

    def skips(self, recorded: Recorded) -> bool:
        """Whether an operator has decided that this event is passed over."""
        return skipped(self._skips, recorded)

    def spared(self, family: Family) -> Family:
        """The family as it folds here: without what is skipped."""
        if not self._skips:
            return family
        if self._spared is None:
            self._spared = sparing(family, self.skips)
        return self._spared

    def holds(self, recorded: Recorded) -> bool:
        """Whether a dead letter stands in front of this event, or for it."""
        since = self._since.get(recorded.stream)
        return since is not None and recorded.sequence >= since

    async def park(self, letters: Sequence[Letter]) -> None:
        """Makes the letters durable, then holds their streams. HaltedError where too many streams are parked."""
        if not letters:
            return
        await self._documents.put(DEAD_LETTERS, [letter.row(self.family, self._source) for letter in letters])
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
    prefix = (source_of(documents, family), shard)
    page = await documents.page(DEAD_LETTERS, "by_position", prefix, after=start, limit=limit)
    return [found.fields for found in page]


async def dead_letter_at(documents: Documents, family: str, shard: int, sequence: int) -> Document | None:
    id_ = f"{source_of(documents, family)}/{shard}/{sequence}"
    return (await documents.get(DEAD_LETTERS, [id_])).get(id_)


async def drop_dead_letters(documents: Documents, family: str) -> None:
    """All that the version of this handle has; it is folded no more."""
    while await documents.remove(
        DEAD_LETTERS, "by_source", (source_of(documents, family),), below=_NEVER, position=_NEVER, limit=_PAGE
    ):
        pass


def _sequence(fields: Document) -> int:
    value = fields["position"]
    if not isinstance(value, int):
        raise TypeError(f"a dead letter's position is {value!r}")
    return value

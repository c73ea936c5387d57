"""The document port: some eleven operations, none of which carries a store's own filter or pipeline across it.

A *document* is a mapping of JSON values with a string id. A collection holds either **state** (changed field by field under a guard) or **rows**
(written whole by ``put``, removed by range). Positions are sequences of domain.envelope. Guards never leave the adapter.

Fields are named like Python identifiers and never begin with an underscore; what stands inside a value is free. Both adapters refuse what breaks a rule
of this page with ValueError. A family's collections stand in numbered versions, one of which is *live*: the meta document ``versions`` says which
(projections.runtime.versions), 1 where it says nothing of the family, 0 while its first is being filled: then whatever reads or writes the family raises
UnavailableError, and it has no checkpoints. A handle learns what is live when it is opened, at ``prepare`` and at ``refresh``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

Value = None | bool | int | float | str | list["Value"] | dict[str, "Value"]
Document = Mapping[str, Value]


class Fidelity(StrEnum):
    """What a replay promises (docs/invariants.md, 4)."""

    EXACT = "exact"
    HORIZON = "horizon"
    CACHE = "cache"


class Shape(StrEnum):
    STATE = "state"
    ROWS = "rows"


class Spread(StrEnum):
    """How a store of many machines spreads a collection over them: HASHED by its ids, so that no machine gets all that is new; or in RANGES of its ids, so
    that documents whose ids begin alike (with their owner's) lie together. A store of one machine has nothing to spread."""

    HASHED = "hashed"
    RANGES = "ranges"


@dataclass(frozen=True, slots=True)
class Index:
    """A declared order: documents equal in ``equals`` sorted by the one field ``sort`` (all strings or all integers), then by id.

    Strings sort by code point. Equal fields hold strings, numbers or booleans, and true is not 1. A document that lacks ``sort`` or one of ``equals``, or
    has null there, is not in the index.
    """

    name: str
    equals: tuple[str, ...]
    sort: str


@dataclass(frozen=True, slots=True)
class Collection:
    """``name`` is unique in its family; the adapter names what it stores {family}.{name}.v{version}."""

    family: str
    name: str
    shape: Shape
    fidelity: Fidelity
    indexes: tuple[Index, ...] = ()
    spread: Spread = Spread.HASHED

    def index(self, name: str) -> Index:
        return next(index for index in self.indexes if index.name == name)


@dataclass(frozen=True, slots=True)
class Change:
    """What one event does to one state document. Dots in field names reach into nested objects (``counts.likes``); ids never stand in a field name.

    Order inside a change: set, unset, inc, max, min; they must name different fields, none inside another. To inc, max and min what is no number counts
    as absent: ``inc`` starts from 0, ``min``/``max`` set. A nested name makes the objects around it, except to unset. A field that is counted never
    holds fields. projections.documents.changes does the same in memory.
    """

    set: Mapping[str, Value] | None = None
    unset: tuple[str, ...] = ()
    inc: Mapping[str, int] | None = None
    max: Mapping[str, int] | None = None
    min: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Doc:
    """All changes of a batch to one state document, from one shard, in order of their positions.

    Each takes effect only if its position is above the document's guard for ``shard``, which then becomes the highest of them: applying again, or
    an older batch later, does nothing. A document that is not there is made (a stub, until its creating event sets its fields).
    Two changes of one event to one document share its position and are one entry's ``changes``.
    """

    id: str
    shard: int
    changes: tuple[tuple[int, tuple[Change, ...]], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """A whole row, written by the event at ``position``; it takes the place of an absent row or one of a lower position. Of several rows of one id in a
    call the highest position counts, the first where two are equal."""

    id: str
    position: int
    fields: Document


@dataclass(frozen=True, slots=True)
class Found:
    """A document that was read. ``sort`` is the value of the index's sort field, set by ``page`` and ``page_many`` alone."""

    id: str
    fields: Document
    sort: str | int | None = None


@dataclass(frozen=True, slots=True)
class After:
    """Where a page begins: past this sort value and id (exclusive), in the direction of the walk."""

    sort: str | int
    id: str


@dataclass(frozen=True, slots=True)
class Lease:
    """A claim on ``name``. ``fence`` grows with each new holder; a write that carries a lower one than the store's is refused."""

    name: str
    holder: str
    fence: int


class FencedError(Exception):
    """The lease was lost to another holder: stop writing."""


class Documents(Protocol):
    """Every method raises domain.errors.UnavailableError where the store is out of reach; none leaves half an operation behind on one document."""

    async def prepare(self, collections: Sequence[Collection]) -> None:
        """Makes what the live versions of the collections need (tables, indexes); may be repeated. Run by ``migrate`` and the embedded start."""
        ...

    def version(self, family: str) -> int:
        """Which version of the family this handle reads and writes."""
        ...

    def pinned(self, versions: Mapping[str, int]) -> "Documents":
        """A view of the same store in which these families have these versions, and all others those that they have in this handle now, whatever
        becomes live: for what must not mix versions, and for filling one beside the live one. It ends with the handle; closing it does nothing."""
        ...

    async def refresh(self) -> None:
        """Learns what is live now. Does nothing to a view."""
        ...

    async def drop(self, collections: Sequence[Collection]) -> None:
        """Deletes these collections in the versions that this handle has, and the checkpoints of their families in these. ValueError where one is
        live. May be repeated. Who writes into one later makes an error, or litter that nobody reads: a version's number is never used again."""
        ...

    async def get(self, collection: Collection, ids: Sequence[str]) -> Mapping[str, Document]:
        """Documents by id, one read; absent ones are absent from the answer."""
        ...

    async def page(
        self,
        collection: Collection,
        index: str,
        prefix: Sequence[Value],
        *,
        after: After | None = None,
        limit: int,
        reverse: bool = False,
    ) -> Sequence[Found]:
        """At most ``limit`` documents whose ``equals`` fields are ``prefix`` (all of them), in ascending order of the sort field and id; ``reverse``: descending.
        A prefix with null in it has no documents."""
        ...

    async def page_many(
        self,
        collection: Collection,
        index: str,
        prefixes: Sequence[Sequence[Value]],
        *,
        after: After | None = None,
        limit: int,
        reverse: bool = False,
    ) -> Sequence[Found]:
        """The first ``limit`` of the merged pages of several prefixes, in one order. One read up to 200 prefixes; fastest where they differ in the last
        field only."""
        ...

    async def scan(self, collection: Collection, *, after: str | None = None, limit: int) -> Sequence[Found]:
        """The whole collection a step at a time: at most ``limit`` documents, gone ones and stubs included, in the order of their ids (by code point) past
        ``after``; an empty answer is the end. For comparing stores and maintenance, never for a page."""
        ...

    async def count(self, collection: Collection, index: str, prefix: Sequence[Value], cap: int) -> int:
        """How many documents have the prefix, counted no further than ``cap``."""
        ...

    async def apply(self, collection: Collection, docs: Sequence[Doc]) -> None:
        """Guarded changes to state documents (see Doc). An id may stand once in a call."""
        ...

    async def preview(self, collection: Collection, docs: Sequence[Doc]) -> Mapping[str, Document]:
        """What ``apply`` would make of the documents now, by id; nothing is written. One read. For the answer to a command whose events may or may
        not have been folded yet: its guard alone can tell, and that stays in here."""
        ...

    async def put(self, collection: Collection, rows: Sequence[Row]) -> None:
        """Writes rows (see Row)."""
        ...

    async def put_if(self, collection: Collection, id: str, expected: Document | None, fields: Document) -> bool:
        """Compare and set of one whole cache document: writes ``fields`` where the stored document equals ``expected`` in the fields that
        ``expected`` names (None: is absent), each a scalar; null equals null, not an absent field. Never used on guarded state; in a collection of rows
        the document counts as written at position 0. After UnavailableError it may or may not have been written: read it."""
        ...

    async def remove(
        self,
        collection: Collection,
        index: str,
        prefix: Sequence[Value],
        *,
        below: str | int,
        position: int | None,
        limit: int,
    ) -> int:
        """Deletes rows with the prefix whose sort value is < ``below`` and whose position is <= ``position`` (None: any), the lowest first; at most
        ``limit``; says how many. Fewer than ``limit``: at that moment there were no more. With None also what a sweeper finds beyond the horizon of a
        state collection, where an event that is folded again leaves nothing that anybody looks at."""
        ...

    async def load_checkpoints(self, family: str) -> Mapping[int, int]:
        """{shard: sequence} of the family's version in this handle; a shard without one is absent."""
        ...

    async def save_checkpoint(self, family: str, shard: int, sequence: int, lease: Lease | None) -> None:
        """Never moves back. Raises FencedError when ``lease`` is no longer the newest claim of its name. Call it only when what it covers was
        acknowledged by the store: every method here returns after that."""
        ...

    async def claim_lease(self, name: str, holder: str, ttl: float) -> Lease | None:
        """Takes or renews ``name`` for ``ttl`` seconds by the store's clock; None while another holder has it. A holder that renews keeps its fence, late
        too if nobody came between."""
        ...

    async def release_lease(self, lease: Lease) -> None:
        """Gives the name up at once; does nothing where the lease was lost."""
        ...

    async def get_meta(self, key: str) -> Document | None:
        """Small facts about the store itself: the log's id, live versions, sweepers' floors."""
        ...

    async def set_meta(self, key: str, value: Document) -> None: ...

    async def swap_meta(self, key: str, expected: Document | None, value: Document) -> bool:
        """Compare and set of a small fact: writes ``value`` where the stored one is ``expected``, as ``get_meta`` gave it (None: absent). After
        UnavailableError it may or may not have been written: read it."""
        ...

    async def ping(self) -> None:
        """Raises UnavailableError where the store does not answer within a second or two."""
        ...

    async def close(self) -> None: ...

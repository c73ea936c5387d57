"""Relations that their owner can go through, newest first: whom somebody blocks and mutes, who asks to follow them, which posts they like and keep.
Documents of the family viewer_edges."""

from collections.abc import AsyncGenerator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from projections.documents.port import After, Change, Collection, Documents, Fidelity, Index, Shape, Spread
from projections.folding import Alter
from projections.keys import sort_key

RELATIONS = Collection(
    "viewer_edges",
    "relations",
    Shape.STATE,
    Fidelity.EXACT,
    # A relation that has ended lacks its key, and so is not there.
    (Index("by_owner", ("kind", "owner"), "key"),),
    Spread.RANGES,
)

PAGE: Final = 200
"""Relations of one find, where somebody goes through all of them."""


class RelationKind(StrEnum):
    """``REQUEST`` is owned by who is asked."""

    BLOCK = "block"
    MUTE = "mute"
    REQUEST = "request"
    LIKE = "like"
    BOOKMARK = "bookmark"


class Relation(msgspec.Struct, frozen=True, kw_only=True):
    kind: RelationKind
    owner: str
    other: str
    key: str

    @property
    def cursor(self) -> After:
        return After(self.key, relation_id(self.kind, self.owner, self.other))


def relation_id(kind: RelationKind, owner: str, other: str) -> str:
    return f"{kind.value}:{owner}-{other}"


def begun(kind: RelationKind, owner: str, other: str, at: int) -> Alter:
    """``at`` in microseconds is what it is sorted by."""
    fields = {"kind": kind.value, "owner": owner, "other": other, "key": sort_key(at, other)}
    return Alter(RELATIONS, relation_id(kind, owner, other), Change(set=fields, unset=("gone",)))


def ended(kind: RelationKind, owner: str, other: str) -> Alter:
    return Alter(RELATIONS, relation_id(kind, owner, other), Change(set={"gone": True}, unset=("key",)))


async def relations_of(
    documents: Documents, kind: RelationKind, owner: str, *, after: After | None, limit: int, reverse: bool = True
) -> Sequence[Relation]:
    """Those that stand, newest first; one find."""
    found = await documents.page(RELATIONS, "by_owner", [kind.value, owner], after=after, limit=limit, reverse=reverse)
    return [msgspec.convert(row.fields, Relation) for row in found]


async def everyone(documents: Documents, kind: RelationKind, owner: str) -> AsyncGenerator[Sequence[Relation], None]:
    """All that stand, page by page, the oldest first."""
    after: After | None = None
    while found := await relations_of(documents, kind, owner, after=after, limit=PAGE, reverse=False):
        yield found
        after = found[-1].cursor

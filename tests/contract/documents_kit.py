"""What the documents' contract is written with: its collections, and short forms for changes and rows.

An adapter's test module brings a fixture ``documents_factory``. The factory opens *the same* store again at every call, as another process would, and
closes what it has opened; every test has a store of its own.
"""

from collections.abc import Sequence
from typing import Protocol

import pytest

from projections.documents.port import (
    Change,
    Collection,
    Doc,
    Document,
    Documents,
    Fidelity,
    Index,
    Row,
    Shape,
    Value,
)

STATE = Collection(
    "contract",
    "things",
    Shape.STATE,
    Fidelity.EXACT,
    (Index("by_owner", ("owner",), "key"), Index("by_owner_kind", ("owner", "kind"), "at")),
)
ROWS = Collection(
    "contract",
    "entries",
    Shape.ROWS,
    Fidelity.CACHE,
    (
        Index("by_owner", ("owner",), "key"),
        Index("by_owner_kind", ("owner", "kind"), "at"),
        Index("by_time", (), "at"),
        Index("by_depth", ("inside.kind",), "inside.at"),
    ),
)


class DocumentsFactory(Protocol):
    async def __call__(self) -> Documents: ...


@pytest.fixture
async def documents(documents_factory: DocumentsFactory) -> Documents:
    """A store with STATE and ROWS, both empty."""
    opened = await documents_factory()
    await opened.prepare([STATE, ROWS])
    return opened


def doc(id: str, shard: int, *changes: tuple[int, Change]) -> Doc:
    """One change a position."""
    return Doc(id, shard, tuple((position, (change,)) for position, change in changes))


def inc(**fields: int) -> Change:
    return Change(inc=fields)


def put(**fields: Value) -> Change:
    return Change(set=fields)


def row(id: str, position: int, **fields: Value) -> Row:
    return Row(id, position, fields)


async def one(documents: Documents, id: str, collection: Collection = STATE) -> Document | None:
    return (await documents.get(collection, [id])).get(id)


async def all_ids(documents: Documents, collection: Collection) -> Sequence[str]:
    return [found.id for found in await documents.scan(collection, limit=10_000)]

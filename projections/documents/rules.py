"""The port's rules on what goes in, and the names that documents are stored under: one answer for every adapter."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final, TypeVar

from domain.errors import UnavailableError
from projections.documents.changes import split
from projections.documents.port import Collection, Doc, Document, Fidelity, Index, Row, Shape, Value

T = TypeVar("T")

STEP: Final = 1_000
"""The most rows of one bulk or one transaction."""

PREFIXES: Final = 200
"""The most prefixes of one read: MongoDB merges no more index scans than this and would sort in memory (internalQueryMaxScansToExplode)."""

VERSIONS: Final = "versions"
"""The meta document that says which version of a family is live."""


def live_version(versions: Document | None, family: str) -> int:
    """What the meta document says, which projections.runtime.versions writes."""
    families = (versions or {}).get("families", {})
    own = families.get(family, {}) if isinstance(families, dict) else {}
    version = own.get("live", 1) if isinstance(own, dict) else None
    if not isinstance(version, int):
        raise TypeError(f"the live version of {family} is {version!r}, not a number")
    return version


def versioned(family: str, version: int) -> str:
    """What a family's checkpoints, and with the collection's name its documents, are stored under."""
    return f"{family}.v{version}"


def stored_name(collection: Collection, version: int) -> str:
    """UnavailableError while the family has no version."""
    if version == 0:
        raise UnavailableError(f"{collection.family} is being filled for the first time: ask again when it is done")
    return f"{collection.family}.{collection.name}.v{version}"


def check_dropped(collections: Sequence[Collection], versions: Document | None, version: Callable[[str], int]) -> None:
    """ValueError where what is to be dropped is live."""
    for collection in collections:
        if version(collection.family) == live_version(versions, collection.family):
            raise ValueError(f"version {version(collection.family)} of {collection.family} is live")


def index_name(index: Index) -> str:
    """Named by what it orders, so that an index that was declared anew is built anew."""
    return "-".join((*index.equals, index.sort))


def check_shape(collection: Collection, shape: Shape) -> None:
    if collection.shape is not shape:
        raise ValueError(f"{collection.family}.{collection.name} holds {collection.shape}, not {shape}")


def check_removable(collection: Collection, position: int | None) -> None:
    """State documents keep their guards, but beyond a horizon."""
    if position is not None or collection.fidelity is not Fidelity.HORIZON:
        check_shape(collection, Shape.ROWS)


def check_indexes(collection: Collection) -> None:
    """ValueError where an index names a field that no document can have."""
    for index in collection.indexes:
        for field in (*index.equals, index.sort):
            split(field)


def check_docs(docs: Sequence[Doc]) -> None:
    """ValueError where an id stands twice in a call, or a document's positions do not ascend from above 0."""
    seen: set[str] = set()
    for doc in docs:
        if doc.id in seen:
            raise ValueError(f"document {doc.id} stands twice in one call")
        seen.add(doc.id)
        below = 0
        for position, _ in doc.changes:
            if position <= below:
                raise ValueError(f"document {doc.id}: position {position} follows {below}")
            below = position


def newest(rows: Iterable[Row]) -> list[Row]:
    """One row per id: the highest position, the first of equals. ValueError for a row that cannot be stored."""
    kept: dict[str, Row] = {}
    for row in rows:
        if row.position < 0:
            raise ValueError(f"row {row.id} has position {row.position}")
        check_fields(row.fields)
        if row.id not in kept or kept[row.id].position < row.position:
            kept[row.id] = row
    return list(kept.values())


def check_fields(fields: Document) -> None:
    """ValueError where a whole document has a name that is not a plain field."""
    _check_plain(*fields)


@lru_cache(maxsize=4096)
def _check_plain(*names: str) -> None:
    for name in names:
        if len(split(name)) > 1:
            raise ValueError(f"a whole document cannot have a field {name!r}")


def check_scalars(expected: Document) -> None:
    for name, value in expected.items():
        if isinstance(value, list | dict):
            raise ValueError(f"{name} can only be compared as a scalar")  # noqa: TRY004 - a value out of range, not a type error
    check_fields(expected)


def usable_prefixes(index: Index, prefixes: Iterable[Sequence[Value]]) -> list[tuple[Value, ...]]:
    """Each prefix once, without those that hold null, which no document in the index has. ValueError where one does not fit the index."""
    usable: dict[tuple[tuple[type, Value], ...], tuple[Value, ...]] = {}
    for prefix in prefixes:
        if len(prefix) != len(index.equals) or any(isinstance(value, list | dict) for value in prefix):
            raise ValueError(f"index {index.name} is asked by {len(index.equals)} scalars, not by {prefix!r}")
        if None not in prefix:
            # True and 1 are equal in Python and two values in a document.
            usable[tuple((bool if isinstance(value, bool) else object, value) for value in prefix)] = tuple(prefix)
    return list(usable.values())


def field_at(fields: Document, name: str) -> Value:
    """The value of a dotted field, None where it is absent."""
    value: Value | Mapping[str, Value] = fields
    for part in split(name):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value if not isinstance(value, Mapping) else dict(value)


def sort_of(fields: Document, index: Index) -> str | int:
    """What the index sorts the document by."""
    value = field_at(fields, index.sort)
    if not isinstance(value, str | int):
        raise TypeError(f"{index.sort} is {value!r}, neither a string nor an integer")
    return value


def steps(items: Iterable[T], size: int = STEP) -> Iterator[Sequence[T]]:
    remaining = iter(items)
    while step := tuple(islice(remaining, size)):
        yield step

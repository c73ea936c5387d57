"""Declared indexes as MongoDB sees them, and filters that walk them: in order, never sorting in memory.

An index is (equals…, sort, _id), over the documents that have these fields. Every filter below names all of them and rules null out, which is what
lets the server use such an index.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import IndexModel

from projections.documents.port import After, Index, Value
from projections.documents.rules import index_name

Filter = dict[str, Any]
Order = list[tuple[str, int]]


def index_model(index: Index) -> IndexModel:
    fields = (*index.equals, index.sort)
    return IndexModel(
        [*((field, 1) for field in fields), ("_id", 1)],
        name=index_name(index),
        partialFilterExpression={field: {"$exists": True} for field in fields},
    )


def order(index: Index, reverse: bool) -> Order:
    direction = -1 if reverse else 1
    return [(index.sort, direction), ("_id", direction)]


def page_filter(index: Index, prefixes: Sequence[Sequence[Value]], after: After | None, reverse: bool) -> Filter:
    """What a page over these prefixes (at least one, at most rules.PREFIXES) may hold."""
    if after is None:
        return _with_prefixes(index, prefixes, {index.sort: {"$ne": None}})
    past = "$lt" if reverse else "$gt"
    if len(prefixes) == 1:
        # Two scans, merged in order: however many documents share the sort value, none is walked twice.
        where = _equal(index, prefixes[0])
        tied = {**where, index.sort: after.sort, "_id": {past: after.id}}
        return {"$or": [{**where, index.sort: {past: after.sort}}, tied]}
    # One scan per prefix, which reads and passes over the documents of the same sort value up to the id: twice as many scans would be more than
    # the server merges, and it would sort in memory.
    passed = {index.sort: after.sort, "_id": {"$gte" if reverse else "$lte": after.id}}
    return {**_with_prefixes(index, prefixes, {index.sort: {past + "e": after.sort}}), "$nor": [passed]}


def range_filter(index: Index, prefix: Sequence[Value], below: str | int) -> Filter:
    return {**_equal(index, prefix), index.sort: {"$lt": below}}


def _equal(index: Index, prefix: Sequence[Value]) -> Filter:
    return dict(zip(index.equals, prefix, strict=True))


def _with_prefixes(index: Index, prefixes: Sequence[Sequence[Value]], sort: Mapping[str, Filter]) -> Filter:
    first = prefixes[0]
    if len(prefixes) == 1:
        return {**_equal(index, first), **sort}
    if all(prefix[:-1] == first[:-1] for prefix in prefixes):
        head = dict(zip(index.equals[:-1], first[:-1], strict=True))
        return {**head, index.equals[-1]: {"$in": [prefix[-1] for prefix in prefixes]}, **sort}
    return {"$or": [{**_equal(index, prefix), **sort} for prefix in prefixes]}

"""Reads: short statements, each bounded by its limit and made to use the index that it names."""

import heapq
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from operator import itemgetter

import msgspec

from projections.documents.changes import foreseen
from projections.documents.port import After, Doc, Found, Index, Value
from projections.documents.rules import PREFIXES, steps
from projections.documents.sqlite.schema import column, column_values, indexed

Fields = dict[str, Value]
_Line = tuple[str | int, str, str]
"""Sort value, id, body."""

_decoder = msgspec.json.Decoder()
_guards = msgspec.json.Decoder(dict[str, int])


def fields_of(body: str) -> Fields:
    fields: Fields = _decoder.decode(body)
    return fields


def get(connection: sqlite3.Connection, table: str, ids: Sequence[str]) -> Mapping[str, Fields]:
    found = connection.execute(
        f'SELECT id, body FROM "{table}" WHERE id IN (SELECT value FROM json_each(?))', (to_json(list(ids)),)
    )
    return {id: fields_of(body) for id, body in found}


def guarded(
    connection: sqlite3.Connection, table: str, docs: Sequence[Doc]
) -> Mapping[str, tuple[Mapping[str, int], Fields]]:
    """State documents by id, with their guards by shard."""
    found = connection.execute(
        f'SELECT id, guard, body FROM "{table}" WHERE id IN (SELECT value FROM json_each(?))',
        (to_json([doc.id for doc in docs]),),
    )
    return {id: (_guards.decode(guards), fields_of(body)) for id, guards, body in found}


def preview(connection: sqlite3.Connection, table: str, docs: Sequence[Doc]) -> Mapping[str, Fields]:
    foreseen_documents: dict[str, Fields] = {}
    before = guarded(connection, table, docs)
    for doc in docs:
        guards, fields = before.get(doc.id, ({}, {}))
        foreseen_documents[doc.id] = foreseen(fields, guards.get(str(doc.shard), 0), doc)
    return foreseen_documents


def scan(connection: sqlite3.Connection, table: str, after: str | None, limit: int) -> list[Found]:
    past = "" if after is None else "WHERE id > ?"
    bound = (limit,) if after is None else (after, limit)
    found = connection.execute(f'SELECT id, body FROM "{table}" {past} ORDER BY id LIMIT ?', bound)
    return [Found(id, fields_of(body)) for id, body in found]


def page(
    connection: sqlite3.Connection,
    table: str,
    index: Index,
    prefixes: Sequence[Sequence[Value]],
    after: After | None,
    limit: int,
    reverse: bool,
) -> list[Found]:
    """Merges the prefixes' own pages, so that hardly more is read than is given."""
    statement = _page_statement(table, index, after is not None, reverse)
    bound = () if after is None else (after.sort, after.id)
    merged: list[_Line] = []
    for some in steps(prefixes, PREFIXES):
        cursors = [connection.execute(statement, (*column_values(prefix), *bound, limit)) for prefix in some]
        try:
            merged = list(islice(_merge([merged, *cursors], reverse), limit))
        finally:
            for cursor in cursors:
                cursor.close()
    return [Found(id, fields_of(body), sort) for sort, id, body in merged]


def _merge(pages: Sequence[sqlite3.Cursor | list[_Line]], reverse: bool) -> Iterator[_Line]:
    return heapq.merge(*pages, key=itemgetter(0, 1), reverse=reverse)


@lru_cache(maxsize=1024)
def _page_statement(table: str, index: Index, past: bool, reverse: bool) -> str:
    sort, direction = column(index.sort), "DESC" if reverse else "ASC"
    after = f"AND ({sort}, id) {'<' if reverse else '>'} (?, ?) " if past else ""
    return (
        f'SELECT {sort}, id, body FROM "{table}" INDEXED BY {indexed(table, index)} WHERE {where(index)} {after}'
        f"ORDER BY {sort} {direction}, id {direction} LIMIT ?"
    )


def count(connection: sqlite3.Connection, table: str, index: Index, prefix: Sequence[Value], cap: int) -> int:
    counted = connection.execute(
        f'SELECT count(*) FROM (SELECT 1 FROM "{table}" INDEXED BY {indexed(table, index)} '
        f"WHERE {where(index)} LIMIT ?)",
        (*column_values(prefix), cap),
    )
    (documents,) = counted.fetchone()
    return int(documents)


def where(index: Index) -> str:
    """The documents of one prefix. Says what the partial index says, or SQLite would not use it."""
    return " AND ".join([*(f"{column(field)} = ?" for field in index.equals), f"{column(index.sort)} IS NOT NULL"])


def to_json(value: Value | Mapping[str, Value]) -> str:
    return msgspec.json.encode(value).decode()

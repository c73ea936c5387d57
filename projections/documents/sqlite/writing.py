"""Writes, each inside a transaction that the caller has begun."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from projections.documents.changes import foreseen, is_number
from projections.documents.port import Doc, Document, Index, Row, Shape, Value
from projections.documents.sqlite.reading import fields_of, guarded, to_json, where
from projections.documents.sqlite.schema import column, column_values, indexed

_UPSERT: Final = "INSERT INTO {} (id, guard, body) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET guard = excluded.guard, body = excluded.body"


def apply(connection: sqlite3.Connection, table: str, docs: Sequence[Doc]) -> None:
    """Folds what is above each document's guard."""
    before = guarded(connection, table, docs)
    altered: list[tuple[str, str, str]] = []
    for doc in docs:
        guards, fields = before.get(doc.id, ({}, {}))
        shard, last = str(doc.shard), doc.changes[-1][0]
        guard = guards.get(shard, 0)
        if guard < last:
            after = foreseen(fields, guard, doc)
            altered.append((doc.id, to_json({**guards, shard: last}), to_json(after)))
    connection.executemany(_UPSERT.format(f'"{table}"'), altered)


def put(connection: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
    connection.executemany(
        _UPSERT.format(f'"{table}"') + f' WHERE excluded.guard > "{table}".guard',
        ((row.id, row.position, to_json(row.fields)) for row in rows),
    )


def put_if(
    connection: sqlite3.Connection, table: str, shape: Shape, id: str, expected: Document | None, fields: Document
) -> bool:
    stored = connection.execute(f'SELECT body FROM "{table}" WHERE id = ?', (id,)).fetchone()
    if (stored is None) is not (expected is None):
        return False
    if expected is not None and not _equal(expected, fields_of(stored[0])):
        return False
    guard = 0 if shape is Shape.ROWS else "{}"
    connection.execute(_UPSERT.format(f'"{table}"'), (id, guard, to_json(fields)))
    return True


def _equal(expected: Document, fields: Document) -> bool:
    return all(name in fields and _same(value, fields[name]) for name, value in expected.items())


def _same(one: Value, other: Value) -> bool:
    """Equal as JSON is: 1 and 1.0 are one number, and true is none."""
    return one == other and is_number(one) == is_number(other)


def remove(
    connection: sqlite3.Connection,
    table: str,
    index: Index,
    prefix: Sequence[Value],
    below: str | int,
    position: int | None,
    limit: int,
) -> int:
    sort = column(index.sort)
    removed = connection.execute(
        f'DELETE FROM "{table}" WHERE id IN (SELECT id FROM "{table}" INDEXED BY {indexed(table, index)} '
        f"WHERE {where(index)} AND {sort} < ? AND (guard <= ? OR ? IS NULL) ORDER BY {sort}, id LIMIT ?)",
        (*column_values(prefix), below, position, position, limit),
    )
    return removed.rowcount

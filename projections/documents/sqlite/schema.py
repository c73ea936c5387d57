"""Tables and indexes: a table per collection and version, a virtual column per field that a declared index names.

``guard`` is the row's position, or in state documents a JSON object {shard: guard}; ``body`` is the document's fields as JSON. A virtual column
computes its value from ``body`` where an index needs it, so that nothing has to be kept in step, and an index that is declared later builds itself.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from projections.documents.changes import split
from projections.documents.port import Collection, Index, Value
from projections.documents.rules import check_indexes, index_name

CONTROL: Final = (
    "CREATE TABLE IF NOT EXISTS _checkpoints (family TEXT, shard INTEGER, sequence INTEGER, PRIMARY KEY (family, shard))",
    "CREATE TABLE IF NOT EXISTS _leases (name TEXT PRIMARY KEY, holder TEXT, fence INTEGER NOT NULL, until REAL)",
    "CREATE TABLE IF NOT EXISTS _meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
)


def create_control(connection: sqlite3.Connection) -> None:
    for statement in CONTROL:
        connection.execute(statement)


def create_collection(connection: sqlite3.Connection, collection: Collection, table: str) -> None:
    """Makes what is missing; nothing is dropped."""
    check_indexes(collection)
    connection.execute(
        f'CREATE TABLE IF NOT EXISTS "{table}" (id TEXT NOT NULL PRIMARY KEY, guard NOT NULL, body TEXT NOT NULL)'
    )
    # table_xinfo lists virtual columns too.
    there = {name for (name,) in connection.execute("SELECT name FROM pragma_table_xinfo(?)", (table,))}
    for index in collection.indexes:
        fields = (*index.equals, index.sort)
        for field in fields:
            if field_column(field) not in there:
                connection.execute(f'ALTER TABLE "{table}" ADD COLUMN {_virtual(field)}')
                there.add(field_column(field))
        columns = [column(field) for field in fields]
        connection.execute(
            f'CREATE INDEX IF NOT EXISTS {indexed(table, index)} ON "{table}" ({", ".join(columns)}, id) '
            f"WHERE {' AND '.join(f'{name} IS NOT NULL' for name in columns)}"
        )


def empty_collection(connection: sqlite3.Connection, table: str, limit: int) -> int:
    """Deletes at most ``limit`` of its documents and says how many; none where there is no such table."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone() is None:
        return 0
    deleted = connection.execute(f'DELETE FROM "{table}" WHERE id IN (SELECT id FROM "{table}" LIMIT ?)', (limit,))
    return deleted.rowcount


def drop_collection(connection: sqlite3.Connection, table: str) -> None:
    connection.execute(f'DROP TABLE IF EXISTS "{table}"')


def field_column(field: str) -> str:
    # Apart from id, guard and body, whatever a field is called.
    return f"={field}"


def column(field: str) -> str:
    """The column of an indexed field, quoted. A field's name is made of identifiers and dots: it needs no escape."""
    return f'"{field_column(field)}"'


def indexed(table: str, index: Index) -> str:
    """The index's own name, quoted."""
    return f'"{table}:{index_name(index)}"'


def column_value(value: Value) -> Value | bytes:
    """A scalar as its virtual column holds it: booleans are apart from numbers."""
    return value.to_bytes() if isinstance(value, bool) else value


def column_values(prefix: Sequence[Value]) -> list[Value | bytes]:
    return [column_value(value) for value in prefix]


def _virtual(field: str) -> str:
    path = "'$" + "".join(f'."{part}"' for part in split(field)) + "'"
    value = f"json_extract(body, {path})"
    return (
        f"{column(field)} GENERATED ALWAYS AS (CASE json_type(body, {path}) WHEN 'true' THEN x'01' WHEN 'false' THEN x'00' "
        f"WHEN 'text' THEN {value} WHEN 'integer' THEN {value} WHEN 'real' THEN {value} END) VIRTUAL"
    )

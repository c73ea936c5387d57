"""The little of CQL that the log speaks, as plans over tables: which partition, which rows, which cells, on which condition."""

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cassandra import cqltypes
from cassandra.query import UNSET_VALUE

Values = Sequence[Any]
"""As the driver binds them: bytes, None, or UNSET_VALUE."""


class UnknownStatementError(Exception):
    """The fake does not understand it: teach it."""


_TYPES: Final[Mapping[str, Any]] = {
    "int": cqltypes.Int32Type,
    "bigint": cqltypes.LongType,
    "text": cqltypes.UTF8Type,
    "blob": cqltypes.BytesType,
    "boolean": cqltypes.BooleanType,
}
_int, _bigint = struct.Struct(">i"), struct.Struct(">q")


def _texts(raw: bytes) -> list[str]:
    (count,) = _int.unpack_from(raw)
    found, at = [], 4
    for _ in range(count):
        (size,) = _int.unpack_from(raw, at)
        found.append(raw[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return found


_DECODERS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "int": lambda raw: _int.unpack(raw)[0],
    "bigint": lambda raw: _bigint.unpack(raw)[0],
    "text": bytes.decode,
    "blob": bytes,
    "boolean": lambda raw: raw != b"\0",
    "list<text>": _texts,
}


def driver_type(name: str) -> Any:
    if name.startswith("list<"):
        return cqltypes.ListType.apply_parameters([_TYPES[name[5:-1]]])
    return _TYPES[name]


@dataclass(frozen=True)
class Table:
    """Its columns with their types, and which of them make the key."""

    name: str
    columns: Mapping[str, str]
    partition: tuple[str, ...]
    clustering: tuple[str, ...]
    statics: frozenset[str]


_TABLE: Final = re.compile(r"CREATE TABLE IF NOT EXISTS (\S+) \((.*)\)(?: WITH .*)?$")
_KEY: Final = re.compile(r",? *PRIMARY KEY \(\((.*?)\)(?:, (.*))?\)$")


def table_of(ddl: str) -> Table | None:
    """The table that a schema statement makes, None where it makes something else."""
    found = _TABLE.match(ddl)
    if found is None:
        return None
    body = found[2]
    key = _KEY.search(body)
    partition: tuple[str, ...] = tuple(key[1].split(", ")) if key else ()
    clustering = tuple(key[2].split(", ")) if key and key[2] else ()
    columns: dict[str, str] = {}
    statics = set()
    for column in (body[: key.start()] if key else body).split(", "):
        name, kind, *rest = column.split()
        columns[name] = kind
        if rest == ["STATIC"]:
            statics.add(name)
        elif rest == ["PRIMARY", "KEY"]:
            partition = (name,)
    return Table(found[1], columns, partition, clustering, frozenset(statics))


@dataclass(frozen=True)
class Term:
    """A literal, or the marker at ``index``."""

    index: int | None
    literal: Any
    decode: Callable[[bytes], Any]

    def of(self, values: Values) -> Any:
        if self.index is None:
            return self.literal
        raw = values[self.index]
        if raw is None or raw is UNSET_VALUE:
            return raw
        return self.decode(raw)


@dataclass(frozen=True)
class Restriction:
    column: str
    operator: str
    term: Term


@dataclass(frozen=True)
class Select:
    table: Table
    columns: tuple[str, ...]
    where: tuple[Restriction, ...]
    backwards: bool
    per_partition: Term | None
    limit: Term | None


@dataclass(frozen=True)
class Write:
    """An INSERT or UPDATE. ``condition`` None: unconditional; ``absent``: IF NOT EXISTS."""

    table: Table
    cells: tuple[tuple[str, Term], ...]
    where: tuple[tuple[str, Term], ...]
    inserts: bool
    absent: bool
    condition: tuple[tuple[str, Term], ...] | None
    ttl: Term | None

    @property
    def conditional(self) -> bool:
        return self.absent or self.condition is not None


@dataclass(frozen=True)
class Clock:
    """SELECT toUnixTimestamp(now())."""


Plan = Select | Write | Clock

_LITERALS: Final[Mapping[str, Any]] = {"true": True, "false": False, "null": None}


@dataclass
class _Markers:
    kinds: list[tuple[str, str]] = field(default_factory=list)

    def term(self, text: str, name: str, kind: str) -> Term:
        if text == "?":
            self.kinds.append((name, kind))
            return Term(len(self.kinds) - 1, None, _DECODERS[kind])
        literal = _LITERALS[text] if text in _LITERALS else int(text)
        return Term(None, literal, bytes)


_SELECT: Final = re.compile(
    r"SELECT (?P<columns>.+?) FROM (?P<table>\S+)(?: WHERE (?P<where>.+?))?(?: ORDER BY (?P<order>.+?))?"
    r"(?: PER PARTITION LIMIT (?P<each>\?|\d+))?(?: LIMIT (?P<limit>\?|\d+))?$"
)
_INSERT: Final = re.compile(r"INSERT INTO (\S+) \((.+?)\) VALUES \((.+?)\)( IF NOT EXISTS)?$")
_UPDATE: Final = re.compile(r"UPDATE (\S+)(?: USING TTL (\?|\d+))? SET (.+?) WHERE (.+?)(?: IF (.+))?$")


def parse(text: str, tables: Mapping[str, Table]) -> tuple[Plan, list[tuple[str, str]]]:
    """The plan, and the names and types of its markers in order."""
    text = " ".join(text.split())
    markers = _Markers()
    if text == "SELECT toUnixTimestamp(now()) FROM system.local":
        return Clock(), markers.kinds
    try:
        if found := _SELECT.match(text):
            return _select(found, tables[found["table"]], markers), markers.kinds
        if found := _INSERT.match(text):
            return _insert(found, tables[found[1]], markers), markers.kinds
        if found := _UPDATE.match(text):
            return _update(found, tables[found[1]], markers), markers.kinds
    except (KeyError, ValueError) as error:
        raise UnknownStatementError(text) from error
    raise UnknownStatementError(text)


def _select(found: re.Match[str], table: Table, markers: _Markers) -> Select:
    where = []
    for part in found["where"].split(" AND ") if found["where"] else ():
        column, operator, value = part.split(" ", 2)
        kind = table.columns[column]
        where.append(
            Restriction(column, operator, markers.term(value, column, f"list<{kind}>" if operator == "IN" else kind))
        )
    each = markers.term(found["each"], "[limit]", "int") if found["each"] else None
    limit = markers.term(found["limit"], "[limit]", "int") if found["limit"] else None
    columns = tuple(found["columns"].split(", "))
    if any(column not in table.columns for column in columns):
        raise UnknownStatementError(found[0])
    return Select(table, columns, tuple(where), "DESC" in (found["order"] or ""), each, limit)


def _insert(found: re.Match[str], table: Table, markers: _Markers) -> Write:
    names = found[2].split(", ")
    terms = [
        (name, markers.term(value, name, table.columns[name]))
        for name, value in zip(names, found[3].split(", "), strict=True)
    ]
    key = {*table.partition, *table.clustering}
    cells = tuple(each for each in terms if each[0] not in key)
    where = tuple(each for each in terms if each[0] in key)
    return Write(table, cells, where, True, bool(found[4]), None, None)


def _update(found: re.Match[str], table: Table, markers: _Markers) -> Write:
    def pairs(text: str, separator: str) -> tuple[tuple[str, Term], ...]:
        split = [part.split(" = ") for part in text.split(separator)]
        return tuple((name, markers.term(value, name, table.columns[name])) for name, value in split)

    ttl = markers.term(found[2], "[ttl]", "int") if found[2] else None
    cells, where = pairs(found[3], ", "), pairs(found[4], " AND ")
    condition = pairs(found[5], " AND ") if found[5] else None
    return Write(table, cells, where, False, False, condition, ttl)

"""What one replica stores: cells with time stamps in rows of partitions, and where its Paxos rounds stand."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from cassandra.query import UNSET_VALUE

from tests.simulation.log.cql import Select, Table, Values, Write

Key = tuple[Any, ...]
PartitionKey = tuple[str, Key]
ALIVE: Final = ""
"""The cell that an INSERT leaves, so that its row is there though all its columns be null."""


class Cell(NamedTuple):
    stamp: int
    value: Any
    expires: float | None


Row = Mapping[str, Cell]
"""Never changed, only replaced: replicas share them."""


@dataclass
class Partition:
    statics: Row = field(default_factory=dict)
    rows: dict[Key, Row] = field(default_factory=dict)
    keys: list[Key] = field(default_factory=list)

    def copy(self) -> "Partition":
        return Partition(self.statics, dict(self.rows), list(self.keys))

    def put(self, key: Key, row: Row) -> None:
        known = self.rows.get(key)
        if known is None:
            insort(self.keys, key)
            self.rows[key] = row
        elif known is not row:
            self.rows[key] = merged(known, row)


def merged(one: Row, other: Row) -> Row:
    if one is other:
        return one
    cells = dict(one)
    for name, cell in other.items():
        known = cells.get(name)
        if known is None or cell.stamp > known.stamp:
            cells[name] = cell
    return cells


class Change(NamedTuple):
    """To one row, or to the statics (``row`` None)."""

    row: Key | None
    cells: Mapping[str, Any]


@dataclass(eq=False)
class Mutation:
    """What one statement, or a batch on one partition, does to it."""

    table: Table
    key: PartitionKey
    changes: Sequence[Change]
    ttl: int | None = None
    chosen: bool = False
    holders: set[int] = field(default_factory=set)
    stamped: tuple[int, Sequence[tuple[Key | None, Row]]] | None = None

    def at(self, stamp: int, now: float) -> Sequence[tuple[Key | None, Row]]:
        """Its rows with time stamps; the same objects for every replica."""
        if self.stamped is None or self.stamped[0] != stamp:
            expires = now + self.ttl if self.ttl is not None else None
            rows = [
                (change.row, {name: Cell(stamp, value, expires) for name, value in change.cells.items()})
                for change in self.changes
            ]
            self.stamped = stamp, rows
        return self.stamped[1]


def mutation_of(writes: Iterable[tuple[Write, Values]]) -> Mutation:
    """Of statements on one partition."""
    key: PartitionKey | None = None
    changes: list[Change] = []
    table: Table | None = None
    ttl = None
    for write, values in writes:
        table = write.table
        bound = {name: term.of(values) for name, term in write.where}
        own = (table.name, tuple(bound[name] for name in table.partition))
        assert key in (None, own), "a batch over several partitions is several mutations"
        key = own
        row = tuple(bound[name] for name in table.clustering if name in bound)
        cells = {name: term.of(values) for name, term in write.cells}
        cells = {name: value for name, value in cells.items() if value is not UNSET_VALUE}
        statics = {name: value for name, value in cells.items() if name in table.statics}
        if statics:
            changes.append(Change(None, statics))
        own_cells = {name: value for name, value in cells.items() if name not in table.statics}
        if write.inserts:
            own_cells[ALIVE] = True
        if own_cells:
            changes.append(Change(row, own_cells))
        ttl = write.ttl.of(values) if write.ttl is not None else None
    assert table is not None
    assert key is not None
    return Mutation(table, key, changes, ttl)


@dataclass
class Paxos:
    """Of one partition at one replica."""

    promised: int = 0
    accepted: tuple[int, Mutation] | None = None
    committed: tuple[int, Mutation | None] = (0, None)

    def copy(self) -> "Paxos":
        return Paxos(self.promised, self.accepted, self.committed)


class Replica:
    """One node's copy of everything."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.up = True
        self.partitions: dict[PartitionKey, Partition] = {}
        self.rounds: dict[PartitionKey, Paxos] = {}

    def partition(self, key: PartitionKey) -> Partition:
        found = self.partitions.get(key)
        if found is None:
            found = self.partitions[key] = Partition()
        return found

    def round(self, key: PartitionKey) -> Paxos:
        found = self.rounds.get(key)
        if found is None:
            found = self.rounds[key] = Paxos()
        return found

    def apply(self, mutation: Mutation, stamp: int, now: float) -> None:
        partition = self.partition(mutation.key)
        for key, row in mutation.at(stamp, now):
            if key is None:
                partition.statics = merged(partition.statics, row)
            else:
                partition.put(key, row)
        mutation.holders.add(self.number)

    def commit(self, ballot: int, mutation: Mutation, now: float) -> None:
        state = self.round(mutation.key)
        if ballot > state.committed[0]:
            state.committed = ballot, mutation
        self.apply(mutation, ballot, now)

    def snapshot(self) -> tuple[dict[PartitionKey, Partition], dict[PartitionKey, Paxos]]:
        return (
            {key: each.copy() for key, each in self.partitions.items()},
            {key: each.copy() for key, each in self.rounds.items()},
        )

    def restore(self, snapshot: tuple[dict[PartitionKey, Partition], dict[PartitionKey, Paxos]]) -> None:
        self.partitions, self.rounds = snapshot


def live(row: Row | None, column: str, now: float) -> Any:
    cell = row.get(column) if row is not None else None
    if cell is None or (cell.expires is not None and cell.expires <= now):
        return None
    return cell.value


class Result(NamedTuple):
    """What a read of one partition found at its replicas, merged: in the order asked for, at most ``limit``."""

    statics: Row
    rows: list[tuple[Key, Row]]


def _bounds(keys: Sequence[Key], select: Select, values: Values) -> tuple[int, int]:
    """The slice of clustering keys that the restrictions of the first clustering column leave."""
    start, end = 0, len(keys)
    if not select.table.clustering:
        return start, end
    first = select.table.clustering[0]
    for column, operator, term in ((r.column, r.operator, r.term) for r in select.where):
        if column in select.table.partition:
            continue
        assert column == first, f"a restriction of {column} is not known here"
        value = term.of(values)
        low = (value,) if operator in (">=", "=", "<") else (value + 1,)
        if operator in (">", ">=", "="):
            start = max(start, bisect_left(keys, low))
        if operator == "=":
            end = min(end, bisect_left(keys, (value + 1,)))
        elif operator in ("<", "<="):
            end = min(end, bisect_left(keys, low))
    return start, end


def read(replicas: Sequence[Replica], key: PartitionKey, select: Select, values: Values, limit: int | None) -> Result:
    """Merged over ``replicas``, which all hold afterwards what the read has found (a blocking read repair)."""
    parts = [replica.partitions.get(key) for replica in replicas]
    present = [part for part in parts if part is not None]
    if not present:
        return Result({}, [])
    statics = present[0].statics
    for part in present[1:]:
        statics = merged(statics, part.statics)
    wanted = [_slice(part, select, values, limit) for part in present]
    keys = wanted[0]
    if any(each != keys for each in wanted[1:]):
        keys = sorted({each for found in wanted for each in found}, reverse=select.backwards)[:limit]
    rows: list[tuple[Key, Row]] = []
    for each in keys:
        row: Row | None = None
        for part in present:
            found = part.rows.get(each)
            if found is not None:
                row = found if row is None else merged(row, found)
        assert row is not None
        rows.append((each, row))
    _repair(replicas, parts, key, statics, rows)
    return Result(statics, rows)


def _slice(part: Partition, select: Select, values: Values, limit: int | None) -> list[Key]:
    start, end = _bounds(part.keys, select, values)
    if select.backwards:
        keys = part.keys[start:end][::-1]
        return keys[:limit]
    return part.keys[start:end] if limit is None else part.keys[start : min(end, start + limit)]


def _repair(
    replicas: Sequence[Replica],
    parts: Sequence[Partition | None],
    key: PartitionKey,
    statics: Row,
    rows: Sequence[tuple[Key, Row]],
) -> None:
    for replica, part in zip(replicas, parts, strict=True):
        own = part if part is not None else replica.partition(key)
        if own.statics is not statics:
            own.statics = statics
        for each, row in rows:
            if own.rows.get(each) is not row:
                own.put(each, row)

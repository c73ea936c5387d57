"""The cluster: coordinators that run statements over three replicas, conditional ones by Paxos, each phase at a moment of its own.

A round may be accepted and not committed: then it lies there until a later conditional statement or serial read of the partition finishes it, and no
other read sees it. What a phase reaches is drawn by the faults.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextvars import Context
from typing import Any, Final

from cassandra import ReadTimeout, WriteTimeout, WriteType

from tests.simulation.log.cql import Clock, Plan, Select, Table, Values, Write, parse, table_of
from tests.simulation.log.faults import Faults
from tests.simulation.log.history import History
from tests.simulation.log.loop import VirtualLoop
from tests.simulation.log.storage import (
    ALIVE,
    Mutation,
    PartitionKey,
    Replica,
    Result,
    Row,
    live,
    mutation_of,
    read,
)

EPOCH: Final = 1_700_000_000_000_000
"""Microseconds: the cluster's wall clock when virtual time begins."""

Answer = list[tuple[Any, ...]] | Exception | None
"""Rows, what the coordinator reports, or silence."""
Steps = Generator[float, None, Answer]
Request = Sequence[tuple[Plan, Values]]

_BALLOTS: Final = 30
"""Tries before a coordinator gives a contended statement up."""


class Cluster:
    def __init__(self, loop: VirtualLoop, faults: Faults, history: History, *, replicas: int, latency: float) -> None:
        self.loop = loop
        self.faults = faults
        self.history = history
        self.replicas = [Replica(number) for number in range(replicas)]
        self.quorum = replicas // 2 + 1
        self.tables: dict[str, Table] = {}
        self.epoch = 0
        self._ballot = 0
        self.latency = latency
        self.slowness = 1.0
        self._context = Context()

    # Statements

    def define(self, ddl: str) -> None:
        table = table_of(ddl)
        if table is not None:
            self.tables[table.name] = table

    def plan(self, text: str) -> tuple[Plan, list[tuple[str, str]]]:
        return parse(text, self.tables)

    def run(self, request: Request, done: Callable[[Answer], None]) -> None:
        """Starts it; ``done`` is called once, with None where nobody is told anything."""
        self._step(self._steps(request), self.epoch, done)

    def _step(self, steps: Steps, epoch: int, done: Callable[[Answer], None]) -> None:
        if epoch != self.epoch:
            done(None)
            return
        try:
            delay = next(steps)
        except StopIteration as end:
            done(end.value)
        except _SilenceError:
            done(None)
        except (ReadTimeout, WriteTimeout) as error:
            done(error)
        else:
            self.loop.call_later(delay, self._step, steps, epoch, done, context=self._context)

    def later(self, delay: float, callback: Callable[..., object], *args: object) -> None:
        self.loop.call_later(delay, callback, *args, context=self._context)

    def _timeout(self, what: str, received: int) -> WriteTimeout:
        return WriteTimeout(what, WriteType.CAS, required_responses=self.quorum, received_responses=received)

    def _pause(self) -> float:
        return self.faults.source.random() * self.latency * self.slowness

    def _steps(self, request: Request) -> Steps:
        plan, values = request[0]
        if isinstance(plan, Clock):
            return self._clock()
        if isinstance(plan, Select):
            return self._select(plan, values)
        if plan.conditional:
            return self._cas([(each, values) for each, values in request if isinstance(each, Write)])
        return self._write(request)

    def serial(self, request: Request, done: Callable[[Answer], None]) -> None:
        [(select, values)] = request
        assert isinstance(select, Select)
        self._step(self._serial(select, values), self.epoch, done)

    def _clock(self) -> Steps:
        yield self._pause()
        return [((EPOCH + int(self.loop.time() * 1e6)) // 1000,)]

    # Reads and plain writes

    def _reached(self, phase: str) -> list[Replica]:
        return self.faults.reached(phase, self.replicas)

    def _select(self, select: Select, values: Values) -> Steps:
        yield self._pause()
        rows: list[tuple[Any, ...]] = []
        for key in self._keys(select, values):
            rows += self._project(select, key, self._quorum_read(select, values, key, self._reached("read")))
        limit = select.limit.of(values) if select.limit is not None else None
        if select.limit is not None and select.limit.index is None:
            limit = select.limit.literal
        return self.faults.torn(select.table.name, rows[:limit])

    def _quorum_read(self, select: Select, values: Values, key: PartitionKey, reached: Sequence[Replica]) -> Result:
        if len(reached) < self.quorum:
            raise ReadTimeout("not enough replicas", required_responses=self.quorum, received_responses=len(reached))
        chosen = self.faults.some(reached, self.quorum)
        bound = select.per_partition or select.limit
        return read(chosen, key, select, values, bound.of(values) if bound is not None else None)

    def _keys(self, select: Select, values: Values) -> list[PartitionKey]:
        name = select.table.name
        if not select.where:
            return sorted({key for replica in self.replicas for key in replica.partitions if key[0] == name})
        bound = {each.column: each.term.of(values) for each in select.where if each.column in select.table.partition}
        several = [each.column for each in select.where if each.operator == "IN"]
        if several:
            return [(name, (value,)) for value in sorted(set(bound[several[0]]))]
        return [(name, tuple(bound[column] for column in select.table.partition))]

    def _project(self, select: Select, key: PartitionKey, result: Result) -> list[tuple[Any, ...]]:
        table, now = select.table, self.loop.time()
        fixed = dict(zip(table.partition, key[1], strict=True))
        statics = {name: live(result.statics, name, now) for name in table.statics}
        rows = [
            tuple(_value(table, fixed, statics, clustering, row, column, now) for column in select.columns)
            for clustering, row in result.rows
            if ALIVE in row or any(live(row, name, now) is not None for name in row)
        ]
        restricted = any(each.column not in table.partition for each in select.where)
        if not rows and not restricted and any(value is not None for value in statics.values()):
            rows = [tuple(statics.get(column, fixed.get(column)) for column in select.columns)]
        return rows

    def _write(self, request: Request) -> Steps:
        parts: dict[PartitionKey, list[tuple[Write, Values]]] = {}
        for plan, values in request:
            assert isinstance(plan, Write)
            key = mutation_of([(plan, values)]).key
            parts.setdefault(key, []).append((plan, values))
        mutations = [mutation_of(writes) for writes in parts.values()]
        self._ballot += 1
        stamp = self._ballot
        yield self._pause()
        short = False
        for mutation in mutations:
            reached = self._reached("write")
            for replica in reached:
                replica.apply(mutation, stamp, self.loop.time())
            short = short or len(reached) < self.quorum
        if short:
            raise self._timeout("not enough replicas", 1)
        return []

    # Paxos

    def _cas(self, writes: Sequence[tuple[Write, Values]]) -> Steps:
        mutation = mutation_of(writes)
        for _ in range(_BALLOTS):
            self._ballot += 1
            ballot = self._ballot
            promised = yield from self._prepare(mutation.key, ballot)
            if promised is None:
                self.faults.counts["ballot preempted"] += 1
                yield self._backoff()
                continue
            if not self._holds(writes, mutation.key, promised):
                return [(False,)]
            if not (yield from self._propose(ballot, mutation)):
                self.faults.counts["ballot preempted"] += 1
                yield self._backoff()
                continue
            yield from self._commit(ballot, mutation)
            return [(True,)]
        raise self._timeout("contention", 0)

    def _serial(self, select: Select, values: Values) -> Steps:
        [key] = self._keys(select, values)
        for _ in range(_BALLOTS):
            self._ballot += 1
            promised = yield from self._prepare(key, self._ballot)
            if promised is not None:
                return self._project(select, key, self._quorum_read(select, values, key, promised))
            yield self._backoff()
        raise ReadTimeout("contention", required_responses=self.quorum, received_responses=0)

    def _backoff(self) -> float:
        return self.latency * self.slowness * (1 + 4 * self.faults.source.random())

    def _prepare(self, key: PartitionKey, ballot: int) -> Generator[float, None, list[Replica] | None]:
        """The replicas that promised; None where the round was lost to another, or spent on finishing one that was left open."""
        yield self._pause()
        promised, refused = [], False
        for replica in self._reached("prepare"):
            state = replica.round(key)
            if ballot > state.promised:
                state.promised = ballot
                promised.append(replica)
            else:
                refused = True
        self._may_die("prepare")
        if len(promised) < self.quorum:
            if refused:
                return None
            raise self._timeout("no promises", len(promised))
        states = [replica.round(key) for replica in promised]
        newest, mutation = max((state.committed for state in states), key=lambda each: each[0])
        left_open = [state.accepted for state in states if state.accepted is not None and state.accepted[0] > newest]
        if left_open:
            _, other = max(left_open, key=lambda each: each[0])
            self.faults.counts["open round finished"] += 1
            if (yield from self._propose(ballot, other)):
                yield from self._commit(ballot, other)
            return None
        for replica, state in zip(promised, states, strict=True):
            if state.committed[0] < newest and mutation is not None:
                replica.commit(newest, mutation, self.loop.time())
                self._settle(mutation)
        return promised

    def _propose(self, ballot: int, mutation: Mutation) -> Generator[float, None, bool]:
        """Whether it was chosen; False where nobody accepted it."""
        yield self._pause()
        accepted, refused = 0, False
        for replica in self._reached("propose"):
            state = replica.round(mutation.key)
            if ballot >= state.promised:
                state.promised = ballot
                state.accepted = ballot, mutation
                accepted += 1
            else:
                refused = True
        if accepted >= self.quorum:
            if not mutation.chosen:
                mutation.chosen = True
                self.history.chose(mutation, self.loop.time())
            self._may_die("propose")
            return True
        if refused and not accepted:
            return False
        self.faults.counts["accepted by too few"] += 1
        raise self._timeout("unknown", accepted)

    def _commit(self, ballot: int, mutation: Mutation) -> Generator[float, None, None]:
        yield self._pause()
        reached = self._reached("commit")
        for replica in reached:
            replica.commit(ballot, mutation, self.loop.time())
        self._settle(mutation)
        missed = [replica for replica in self.replicas if replica not in reached]
        for replica in self.faults.hinted(missed):
            self.later(self.faults.source.random(), self._hand_in, replica, ballot, mutation, self.epoch)
        self._may_die("commit")
        if len(reached) < self.quorum:
            self.faults.counts["committed to too few"] += 1
            raise self._timeout("commit", len(reached))

    def _hand_in(self, replica: Replica, ballot: int, mutation: Mutation, epoch: int) -> None:
        """A hint for who missed the commit."""
        if replica.up and epoch == self.epoch:
            replica.commit(ballot, mutation, self.loop.time())
            self._settle(mutation)

    def _settle(self, mutation: Mutation) -> None:
        if len(mutation.holders) >= self.quorum:
            self.history.settled(mutation, self.loop.time())

    def _may_die(self, phase: str) -> None:
        if self.faults.coordinator_dies(phase):
            raise _SilenceError

    def _holds(self, writes: Sequence[tuple[Write, Values]], key: PartitionKey, promised: Sequence[Replica]) -> bool:
        now = self.loop.time()
        statics: Row = {}
        parts = [replica.partition(key) for replica in promised]
        for write, values in writes:
            if not write.conditional:
                continue
            clustering = tuple(term.of(values) for name, term in write.where if name in write.table.clustering)
            row: dict[str, Any] = {}
            for part in parts:
                for cells in (part.statics, part.rows.get(clustering, {})):
                    for name, cell in cells.items():
                        known = row.get(name)
                        if known is None or cell.stamp > known.stamp:
                            row[name] = cell
            statics = row
            if write.absent and ALIVE in statics:
                return False
            if any(live(statics, name, now) != term.of(values) for name, term in write.condition or ()):
                return False
        return True

    # What befalls nodes

    def set_back(self, snapshot: Sequence[Any]) -> None:
        """The node was killed before its commit log was synced: it comes up with what it had then, and nothing is under way any more."""
        self.epoch += 1
        for replica, each in zip(self.replicas, snapshot, strict=True):
            replica.restore(each)

    def snapshot(self) -> Sequence[Any]:
        return [replica.snapshot() for replica in self.replicas]

    def dump(self, table: str) -> Mapping[PartitionKey, Result]:
        """All that any replica holds of a table, for the oracle: partitions with all their rows, merged."""
        keys = sorted({key for replica in self.replicas for key in replica.partitions if key[0] == table})
        whole = Select(self.tables[table], (), (), False, None, None)
        return {key: read(self.replicas, key, whole, (), None) for key in keys}

    def holds(self, key: PartitionKey, clustering: tuple[Any, ...]) -> int:
        """How many replicas have the row."""
        found = 0
        for replica in self.replicas:
            part = replica.partitions.get(key)
            found += part is not None and clustering in part.rows
        return found


class _SilenceError(Exception):
    """The coordinator died: nobody is told anything."""


def _value(
    table: Table,
    fixed: Mapping[str, Any],
    statics: Mapping[str, Any],
    clustering: tuple[Any, ...],
    row: Row,
    column: str,
    now: float,
) -> Any:
    if column in fixed:
        return fixed[column]
    if column in statics:
        return statics[column]
    if column in table.clustering:
        return clustering[table.clustering.index(column)]
    return live(row, column, now)

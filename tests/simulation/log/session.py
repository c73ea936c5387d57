"""What stands in for the driver: a cluster and a session of its shape, and the network between a process and the nodes.

This is the seam: everything above ``domain.log.cassandra.driver._connect`` is the real code.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from types import SimpleNamespace
from typing import Any, Final

from cassandra import InvalidRequest, OperationTimedOut, Unavailable
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionShutdown
from cassandra.protocol import ColumnMetadata
from cassandra.query import BatchStatement, BoundStatement, PreparedStatement

from tests.simulation.log.cluster import Answer, Cluster, Request
from tests.simulation.log.cql import Clock, Plan, Select, Write, driver_type
from tests.simulation.log.loop import PROCESS, Process

APPENDS: Final = 4.0
"""How much likelier an append meets a fault than a read: there are so many more of these."""


_NEVER_RUN: Final[Mapping[str, Callable[[], Exception]]] = {
    "connection broken before": lambda: ConnectionShutdown("broken"),
    "unavailable": lambda: Unavailable("too few replicas", required_replicas=2, alive_replicas=1),
    "no host": lambda: NoHostAvailable("none", {}),
    "refused": lambda: InvalidRequest("refused"),
}


class Network:
    """Between one process and the cluster. Until ``cut_until`` nothing passes."""

    def __init__(self, cluster: Cluster, process: Process) -> None:
        self.cluster = cluster
        self.process = process
        self.cut_until = 0.0
        self.dies_of_append = False
        """Whether its process is killed right after it has sent the next append."""
        self._faults = cluster.faults
        self._source = cluster.faults.source

    def send(self, request: Request, serial: bool, tell: Callable[[Answer], None]) -> None:
        """``tell`` is called at most once, in this process."""
        carriage = _Carriage(self, request, serial, tell)
        if self.cluster.loop.time() < self.cut_until:
            carriage.silence()
            return
        if self.dies_of_append and carriage.attempt is not None:
            self.dies_of_append = False
            self.process.kill()
            carriage.go(self._source.choice((None, "request late", "request lost")))
            return
        carriage.go(self._faults.request(_scale(request), conditional=_conditional(request)))

    def delay(self) -> float:
        return (0.1 + self._source.random()) * self.cluster.latency * self.cluster.slowness

    def patience(self) -> float:
        """Seconds after which the driver stops waiting."""
        return 0.15 + self._source.random() * 1.2


def _conditional(request: Request) -> bool:
    plan, _ = request[0]
    return isinstance(plan, Write) and plan.conditional


def _scale(request: Request) -> float:
    plan, _ = request[0]
    if isinstance(plan, Write):
        return APPENDS if plan.conditional and plan.table.name.endswith(".event_log") else 1.0
    return 0.3


class _Carriage:
    """One request on its way there and its answer on its way back."""

    def __init__(self, network: Network, request: Request, serial: bool, tell: Callable[[Answer], None]) -> None:
        self._network = network
        self._cluster = network.cluster
        self._request = request
        self._serial = serial
        self._tell: Callable[[Answer], None] | None = tell
        self._name = _name(request, serial)
        self._epoch = self._cluster.epoch
        self._sent_at = self._cluster.loop.time()
        self.attempt = self._cluster.history.sent(network.process, request, self._cluster.loop.time())

    def go(self, kind: str | None) -> None:
        if kind is None:
            self._arrive(self._network.delay(), self._answer)
            return
        self._note(f"{kind}: {self._name}")
        if kind in _NEVER_RUN:
            self._end(2 * self._network.delay(), _NEVER_RUN[kind]())
        elif kind == "request lost":
            self.silence()
        elif kind == "reply lost":
            self._arrive(self._network.delay(), self._ignore)
            self.silence()
        elif kind == "reply late":
            self._arrive(self._network.delay(), self._answer_late)
        elif kind == "request late":
            patience = self._network.patience()
            self._end(patience, OperationTimedOut())
            self._arrive(patience + self._cluster.faults.source.random() * 2.5, self._ignore)
        elif kind == "delivered twice":
            self._arrive(self._network.delay(), self._ignore)
            self._arrive(self._network.delay() + self._cluster.faults.source.random() * 0.05, self._answer)
        else:
            assert kind == "connection broken after"
            self._arrive(self._network.delay(), self._ignore)
            self._end(self._network.delay(), ConnectionShutdown("broken"))

    def silence(self) -> None:
        """Nobody answers: the driver stops waiting."""
        self._end(self._network.patience(), OperationTimedOut())

    def _arrive(self, delay: float, answered: Callable[[Answer], None]) -> None:
        self._cluster.later(delay, self._run, answered)

    def _run(self, answered: Callable[[Answer], None]) -> None:
        if self._cluster.loop.time() < self._network.cut_until:
            answered(None)
        elif self._epoch != self._cluster.epoch:
            self._end(0, ConnectionShutdown("the node is a new one"))
        elif self._serial:
            self._cluster.serial(self._request, answered)
        else:
            self._cluster.run(self._request, answered)

    def _ignore(self, answer: Answer) -> None:
        self._note(f"{self._name} answered in vain: {_short(answer)}")
        self._count(answer)

    def _count(self, answer: Answer) -> None:
        if self.attempt is None or answer != [(True,)]:
            return
        counts = self._cluster.faults.counts
        counts["append applied after its sender had died"] += not self._network.process.alive
        counts["append applied after its sender was told otherwise"] += self._tell is None

    def _answer(self, answer: Answer) -> None:
        self._count(answer)
        if answer is None or self._cluster.loop.time() < self._network.cut_until:
            self.silence()
        else:
            self._end(self._network.delay(), answer)

    def _answer_late(self, answer: Answer) -> None:
        """On its way longer than what was sent after it."""
        self._cluster.later(self._cluster.faults.source.random() * 0.8, self._answer, answer)

    def _end(self, delay: float, answer: Answer) -> None:
        self._cluster.later(delay, self._told, answer)

    def _told(self, answer: Answer) -> None:
        tell, self._tell = self._tell, None
        if tell is None:
            return
        self._note(f"{self._name} told: {_short(answer)}")
        asked = self._sent_at if isinstance(self._request[0][0], Clock) else None
        self._cluster.history.told(self._network.process, self.attempt, asked, answer, self._cluster.loop.time())
        tell(answer)

    def _note(self, text: str) -> None:
        self._cluster.history.note(self._cluster.loop.time(), self._network.process.name, text)


def _name(request: Request, serial: bool) -> str:
    plan, _ = request[0]
    if isinstance(plan, Clock):
        return "clock"
    kind = "select" if isinstance(plan, Select) else ("cas" if plan.conditional else "write")
    return f"{'serial ' if serial else ''}{kind} {plan.table.name.rpartition('.')[2]}×{len(request)}"


def _short(answer: Answer) -> str:
    if isinstance(answer, list):
        told = answer[0][0] if len(answer) == 1 and len(answer[0]) == 1 else None
        return str(told) if isinstance(told, int) else f"{len(answer)} rows"
    return type(answer).__name__


class Response:
    """The driver's ResponseFuture, as far as the bridge uses it. Callbacks run as if in the driver's thread: at any moment."""

    def __init__(self, loop_soon: Callable[..., object], context: Context) -> None:
        self._soon = loop_soon
        self._context = context
        self._callbacks: (
            tuple[Callable[..., object], Callable[..., object], tuple[Any, ...], tuple[Any, ...]] | None
        ) = None
        self._answer: tuple[Answer] | None = None

    def add_callbacks(
        self,
        callback: Callable[..., object],
        errback: Callable[..., object],
        callback_args: tuple[Any, ...] = (),
        callback_kwargs: Mapping[str, Any] | None = None,
        errback_args: tuple[Any, ...] = (),
        errback_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        assert not callback_kwargs
        assert not errback_kwargs
        self._callbacks = callback, errback, callback_args, errback_args
        self._deliver()

    def told(self, answer: Answer) -> None:
        self._answer = (answer,)
        self._deliver()

    def _deliver(self) -> None:
        if self._answer is None or self._callbacks is None:
            return
        [answer] = self._answer
        callback, errback, callback_args, errback_args = self._callbacks
        if isinstance(answer, Exception):
            self._soon(errback, answer, *errback_args, context=self._context)
        else:
            self._soon(callback, answer, *callback_args, context=self._context)


class Session:
    """The driver's Session, as far as the bridge uses it; belongs to the process in whose context it is made."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._cluster = network.cluster
        self._context = copy_context()
        self._plans: dict[bytes, Plan] = {}
        self.default_fetch_size: int | None = None

    def prepare(self, query: str) -> PreparedStatement:
        if self._cluster.loop.time() < self._network.cut_until:
            raise NoHostAvailable("none", {})
        plan, markers = self._cluster.plan(query)
        query_id = str(len(self._plans)).encode()
        self._plans[query_id] = plan
        columns = [ColumnMetadata("sim", "any", name, driver_type(kind)) for name, kind in markers]
        return PreparedStatement(columns, query_id, None, query, None, 4, None, None)

    def execute(self, statement: str, timeout: float | None = None) -> None:
        assert timeout is not None
        self._cluster.define(statement)

    def execute_async(
        self,
        statement: BoundStatement | BatchStatement,
        execution_profile: object = None,
        paging_state: bytes | None = None,
    ) -> Response:
        assert paging_state is None
        response = Response(self._cluster.loop.call_soon, self._context)
        self._network.send(self._request(statement), execution_profile == "serial", response.told)
        return response

    def _request(self, statement: BoundStatement | BatchStatement) -> Request:
        if isinstance(statement, BatchStatement):
            return [(self._plans[query_id], values) for _, query_id, values in statement._statements_and_parameters]
        return [(self._plans[statement.prepared_statement.query_id], statement.values)]

    def get_pool_state(self) -> Sequence[SimpleNamespace]:
        return [SimpleNamespace(datacenter="dc1")]


class Driver:
    """The driver's Cluster, as far as the bridge uses it."""

    def shutdown(self) -> None:
        """There is nothing to let go of."""


def connecting(networks: Mapping[Process, Network]) -> Callable[..., tuple[Driver, Session]]:
    """What takes the place of ``driver._connect``: every process has its own network."""

    def connect(*_: object) -> tuple[Driver, Session]:
        process = PROCESS.get()
        assert process is not None
        network = networks[process]
        if network.cluster.loop.time() < network.cut_until:
            raise NoHostAvailable("none", {})
        return Driver(), Session(network)

    return connect

"""The bridge from the driver's callbacks to asyncio. The only module that imports ``cassandra``.

Prepared statements only, nothing resent by itself: whoever asks decides what an error means.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from cassandra import ConsistencyLevel, InvalidRequest, OperationTimedOut, Unauthorized, UnresolvableContactPoints
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    NoHostAvailable,
    ResponseFuture,
    ResultSet,
    Session,
)
from cassandra.connection import ConnectionException
from cassandra.policies import (
    ConstantReconnectionPolicy,
    DCAwareRoundRobinPolicy,
    FallthroughRetryPolicy,
    TokenAwarePolicy,
)
from cassandra.query import BatchStatement, BatchType, BoundStatement, PreparedStatement, tuple_factory

from domain.errors import LogError, TidingsError, UnavailableError

R = TypeVar("R")

AWAY_SECONDS: Final = 1.0
"""Without any answer for this long the store counts as away."""
CONNECT_SECONDS: Final = 3.0
DDL_SECONDS: Final = 30.0
MAX_IN_FLIGHT: Final = 512
_SERIAL: Final = "serial"
# What the driver raises where the store said nothing.
_SILENCE: Final = (OperationTimedOut, NoHostAvailable, ConnectionException, OSError)


class NotSentError(UnavailableError):
    """No connection was there to send the request on: it certainly did not run."""


class RejectedError(UnavailableError):
    """The store refused the request before doing anything (malformed, not allowed)."""


@dataclass(frozen=True, slots=True)
class Query(Generic[R]):
    """A prepared statement whose rows are tuples of type ``R``."""

    prepared: PreparedStatement


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with its values, to be sent as often as need be."""

    bound: BoundStatement | BatchStatement


def bind(query: Query[Any], values: Sequence[object]) -> Statement:
    return Statement(query.prepared.bind(values))


def bind_packed(query: Query[Any], values: Sequence[bytes]) -> Statement:
    """``values`` are bytes as the protocol has them: binding a row column by column costs more than all else that is done to it."""
    bound = BoundStatement(query.prepared)
    bound.values = values
    return Statement(bound)


def batch_of(statements: Iterable[Statement]) -> Statement:
    """One request; atomic where it lies in one partition or is conditional, else just fewer round trips."""
    batch = BatchStatement(BatchType.UNLOGGED)
    for statement in statements:
        batch.add(statement.bound)
    return Statement(batch)


def _connection_class() -> Any:
    try:
        from cassandra.io.libevreactor import LibevConnection  # noqa: PLC0415 -- what fails to import is reported as such
    except Exception as error:  # the driver raises DependencyException or ImportError, by version
        raise LogError(
            "the Cassandra driver lacks its libev extension; its asyncio connection corrupts frames and is not used"
        ) from error

    class Connection(LibevConnection):  # type: ignore[misc]
        # The default of 4 KiB makes a system call of every 4 KiB of a batch.
        in_buffer_size = 65536
        out_buffer_size = 65536

    return Connection


class Bridge:
    """One session. ``execute``, ``apply`` and ``write`` raise UnavailableError for whatever the driver raises."""

    def __init__(self, cluster: Cluster, session: Session, address: str) -> None:
        self._cluster = cluster
        self._session = session
        self.address = address
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._waiting: set[asyncio.Future[list[Any]]] = set()
        self._done: deque[tuple[asyncio.Future[list[Any]], list[Any] | None, Exception | None]] = deque()
        self._lock = threading.Lock()
        self._draining = False
        # Both on the monotonic clock: since when something is unanswered, and when any answer was heard.
        self._unanswered_since: float | None = None
        self._heard_at = 0.0

    @property
    def data_centre(self) -> str:
        """The data centre of the nodes that this process talks to."""
        for host in self._session.get_pool_state():
            return str(host.datacenter)
        raise UnavailableError(f"no Cassandra node at {self.address} is connected")

    @property
    def away(self) -> bool:
        """Whether the store has not answered anything for AWAY_SECONDS although it was asked; stays so until it answers."""
        since = self._unanswered_since
        return since is not None and time.monotonic() - max(since, self._heard_at) > AWAY_SECONDS

    def unavailable(self) -> UnavailableError:
        return UnavailableError(f"Cassandra at {self.address} does not answer")

    async def prepare(self, cql: str) -> Query[Any]:
        """Whoever keeps the query says what its rows are: the tuple of its columns."""
        with _translated(self.address):
            return Query(await asyncio.to_thread(self._session.prepare, cql))

    async def define(self, statements: Iterable[str]) -> None:
        """Schema statements, one after the other; for the migrate command alone."""
        with _translated(self.address):
            for statement in statements:
                await asyncio.to_thread(self._session.execute, statement, timeout=DDL_SECONDS)

    async def execute(self, query: Query[R], values: Sequence[object], *, serial: bool = False) -> list[R]:
        """Rows of one statement: LOCAL_QUORUM, or as a linearizable read."""
        bound = query.prepared.bind(values)
        return await self._send(bound, _SERIAL if serial else EXEC_PROFILE_DEFAULT)

    async def apply(self, statement: Statement) -> bool:
        """Whether a conditional statement was applied."""
        rows = await self._send(statement.bound, EXEC_PROFILE_DEFAULT)
        return bool(rows[0][0])

    async def write(self, statement: Statement) -> None:
        await self._send(statement.bound, EXEC_PROFILE_DEFAULT)

    async def page(
        self, query: Query[R], values: Sequence[object], size: int, state: bytes | None
    ) -> tuple[list[R], bytes | None]:
        """At most ``size`` rows, and the state that the next page is asked for with (None at the end); for walks over whole tables."""
        bound = query.prepared.bind(values)
        bound.fetch_size = size
        responses: list[ResponseFuture] = []
        rows = await self._send(bound, EXEC_PROFILE_DEFAULT, state, responses)
        return rows, ResultSet(responses[0], rows).paging_state

    async def _send(
        self,
        statement: Any,
        profile: str,
        paging_state: bytes | None = None,
        responses: "list[ResponseFuture] | None" = None,
    ) -> list[Any]:
        """``responses``, where given, gets the driver's own answer."""
        async with self._slots:
            future: asyncio.Future[list[Any]] = self._loop.create_future()
            if self._unanswered_since is None:
                self._unanswered_since = time.monotonic()
            self._waiting.add(future)
            try:
                with _translated(self.address):
                    response: ResponseFuture = self._session.execute_async(
                        statement, execution_profile=profile, paging_state=paging_state
                    )
                    if responses is not None:
                        responses.append(response)
                    response.add_callbacks(self._answer, self._failure, callback_args=(future,), errback_args=(future,))
                    return await future
            finally:
                self._waiting.discard(future)

    def give_up(self) -> None:
        """Fails what is waiting: called when the store is away, so that nobody waits for the driver's own time-outs."""
        for future in tuple(self._waiting):
            if not future.done():
                future.set_exception(self.unavailable())

    # The two callbacks run in the driver's thread. One wake-up of the loop carries all answers that came meanwhile.

    def _answer(self, rows: list[Any] | None, future: "asyncio.Future[list[Any]]") -> None:
        self._heard_at = time.monotonic()
        self._hand_over(future, rows or [], None)

    def _failure(self, error: Exception, future: "asyncio.Future[list[Any]]") -> None:
        if not isinstance(error, _SILENCE):
            self._heard_at = time.monotonic()
        self._hand_over(future, None, error)

    def _hand_over(self, future: "asyncio.Future[list[Any]]", rows: list[Any] | None, error: Exception | None) -> None:
        with self._lock:
            self._done.append((future, rows, error))
            if self._draining:
                return
            self._draining = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        with self._lock:
            self._draining = False
            done, self._done = self._done, deque()
        for future, rows, error in done:
            self._waiting.discard(future)
            if future.done():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(rows if rows is not None else [])
        if self._unanswered_since is not None and self._heard_at >= self._unanswered_since:
            self._unanswered_since = self._heard_at if self._waiting else None

    async def close(self) -> None:
        await asyncio.to_thread(self._cluster.shutdown)


class _translated:  # noqa: N801 -- reads as the statement it is: with _translated(address)
    """Driver errors as ours, with the address. A class, not a generator: it is entered for every request."""

    __slots__ = ("_address",)

    def __init__(self, address: str) -> None:
        self._address = address

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        if isinstance(error, NoHostAvailable):
            raise NotSentError(f"Cassandra at {self._address} cannot be reached") from error
        if isinstance(error, UnresolvableContactPoints):
            raise NotSentError(f"{self._address} is the name of no machine") from error
        if isinstance(error, InvalidRequest | Unauthorized):
            raise RejectedError(f"Cassandra at {self._address} refused a request: {error}") from error
        if isinstance(error, Exception) and not isinstance(error, TidingsError):
            raise UnavailableError(f"Cassandra at {self._address}: {error}") from error


def _profile(consistency: int, data_centre: str | None, timeout: float) -> ExecutionProfile:
    # shuffle_replicas off: the conditional writes of one partition should meet at one coordinator.
    return ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(
            DCAwareRoundRobinPolicy(local_dc=data_centre or ""), shuffle_replicas=False
        ),
        retry_policy=FallthroughRetryPolicy(),
        consistency_level=consistency,
        serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
        request_timeout=timeout,
        row_factory=tuple_factory,
    )


def _connect(hosts: Sequence[str], port: int, data_centre: str | None, timeout: float) -> tuple[Cluster, Session]:
    cluster = Cluster(
        list(hosts),
        port=port,
        connection_class=_connection_class(),
        # v5 frames cost a third of the throughput in checksums; v4 reports an unknown conditional write as a time-out, which the driver has a class for.
        protocol_version=4,
        # Without TCP_NODELAY each request of more than one segment waits 40 ms for an acknowledgement.
        sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        execution_profiles={
            EXEC_PROFILE_DEFAULT: _profile(ConsistencyLevel.LOCAL_QUORUM, data_centre, timeout),
            _SERIAL: _profile(ConsistencyLevel.LOCAL_SERIAL, data_centre, timeout),
        },
        reconnection_policy=ConstantReconnectionPolicy(delay=0.5, max_attempts=None),
        connect_timeout=CONNECT_SECONDS,
        control_connection_timeout=CONNECT_SECONDS,
        idle_heartbeat_interval=10,
        idle_heartbeat_timeout=10,
        # The schema is read once, for it says which nodes hold a partition; what changes in it later is nothing to us.
        schema_event_refresh_window=-1,
        compression=False,
    )
    try:
        session = cluster.connect()
    except BaseException:
        cluster.shutdown()
        raise
    session.default_fetch_size = None
    return cluster, session


async def connect(hosts: Sequence[str], port: int, *, data_centre: str | None = None, timeout: float = 5.0) -> Bridge:
    """Raises UnavailableError with the address when no node answers; ``timeout`` bounds each request."""
    address = ",".join(f"{host}:{port}" for host in hosts)
    with _translated(address):
        cluster, session = await asyncio.to_thread(_connect, hosts, port, data_centre, timeout)
    return Bridge(cluster, session, address)

"""What the tests of the log on Cassandra share: a keyspace of their own, handles on it, and a proxy that stalls or loses what passes."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

from domain.envelope import Recorded
from domain.log.cassandra import CassandraLog, migrate_cassandra, open_cassandra_log
from domain.log.cassandra.driver import connect
from domain.log.cassandra.verifying import CassandraVerifier, open_cassandra_verifier
from domain.log.port import EventLog
from tests.contract.log_domain import Aggregates

MASTER_KEY = bytes(range(32))
FINGERPRINT = "fingerprint of the server key"


_TABLES = (
    "{0}.event_log",
    "{0}.events_by_stream",
    "{0}.log_meta",
    "{0}.log_appenders",
    "{0}.snapshots",
    "{0}_keys.subject_keys",
)


@dataclass
class Keyspace:
    """Tables of a log. Making and dropping them takes longer than most tests: they are emptied and used again."""

    host: str
    port: int
    name: str
    segment_size: int
    shards: int
    used: bool = False
    others: tuple[str, ...] = ()
    replication_factor: int = 1

    @property
    def hosts(self) -> list[str]:
        return [self.host, *self.others]

    async def define(self, *statements: str) -> None:
        """Runs schema statements, and what else no handle would do to its log; ``{0}`` is the keyspace."""
        bridge = await connect(self.hosts, self.port)
        try:
            await bridge.define(statement.format(self.name) for statement in statements)
        finally:
            await bridge.close()

    @asynccontextmanager
    async def store(self) -> AsyncIterator["Store"]:
        """An empty log in it."""
        if self.used:
            await self.define(*(f"TRUNCATE {table}" for table in _TABLES))
        self.used = True
        await migrate_cassandra(
            self.hosts,
            self.name,
            port=self.port,
            server_key_fingerprint=FINGERPRINT,
            segment_size=self.segment_size,
            shards=self.shards,
            replication_factor=self.replication_factor,
        )
        made = Store(self)
        try:
            yield made
        finally:
            await made.close()


@asynccontextmanager
async def keyspace(
    address: str, *, segment_size: int = 64, shards: int = 8, others: tuple[str, ...] = (), replication_factor: int = 1
) -> AsyncIterator[Keyspace]:
    """Dropped at the end. ``others`` are hosts of the same ring."""
    host, _, port = address.rpartition(":")
    name = f"log_{secrets.token_hex(6)}"
    made = Keyspace(host, int(port), name, segment_size, shards, others=others, replication_factor=replication_factor)
    try:
        yield made
    finally:
        await made.define("DROP KEYSPACE IF EXISTS {0}", "DROP KEYSPACE IF EXISTS {0}_keys")


@dataclass
class Store:
    """A log; ``open`` gives another handle on it, as another process would have. All handles are closed at the end."""

    tables: Keyspace
    opened: list[CassandraLog] = field(default_factory=list)

    @property
    def host(self) -> str:
        return self.tables.host

    @property
    def port(self) -> int:
        return self.tables.port

    @property
    def keyspace(self) -> str:
        return self.tables.name

    async def open(self, *, through: "Proxy | None" = None, **options: object) -> CassandraLog:
        settings: dict[str, object] = {"master_key": MASTER_KEY, "server_key_fingerprint": FINGERPRINT} | options
        port = self.port if through is None else through.port
        log = await open_cassandra_log(
            self.tables.hosts if through is None else [self.host],
            port,
            self.keyspace,
            aggregates=Aggregates(),
            **settings,  # type: ignore[arg-type]
        )
        self.opened.append(log)
        return log

    @asynccontextmanager
    async def verifier(self) -> AsyncIterator[CassandraVerifier]:
        made = await open_cassandra_verifier(
            self.tables.hosts, self.port, self.keyspace, master_key=MASTER_KEY, server_key_fingerprint=FINGERPRINT
        )
        try:
            yield made
        finally:
            await made.close()

    async def close(self) -> None:
        for log in self.opened:
            await log.close()

    def proxy(self) -> "Proxy":
        return Proxy(self.host, self.port)


@asynccontextmanager
async def store(address: str, *, segment_size: int = 64, shards: int = 8) -> AsyncIterator[Store]:
    """A log in a keyspace made for it alone."""
    async with keyspace(address, segment_size=segment_size, shards=shards) as tables, tables.store() as made:
        yield made


class Proxy:
    """Between a handle and Cassandra. While ``requests`` or ``replies`` is cleared, what goes that way is held; ``cut`` loses all that is held
    with the connections; ``refuse`` lets no new ones come."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.port = 0
        self.requests = asyncio.Event()
        self.replies = asyncio.Event()
        self.requests.set()
        self.replies.set()
        self._server: asyncio.Server | None = None
        self._ways: set[asyncio.Task[None]] = set()
        self._served: list[asyncio.Task[None]] = []

    async def listen(self) -> None:
        """On the same port as before, if it has listened before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._served.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(*self._target)
        ways = [
            asyncio.create_task(_pump(reader, forth, self.requests)),
            asyncio.create_task(_pump(back, writer, self.replies)),
        ]
        self._ways.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.wait(ways)
        self._ways.difference_update(ways)
        forth.close()
        writer.close()

    def cut(self) -> None:
        for way in self._ways:
            way.cancel()

    def refuse(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()

    def heal(self) -> None:
        self.requests.set()
        self.replies.set()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        await asyncio.gather(*self._served)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            await gate.wait()
            writer.write(data)
            await writer.drain()


async def read_shard(log: EventLog, shard: int) -> list[Recorded]:
    """All of a shard, and the proof that positions and versions are dense and no event is there twice."""
    await log.head(shard)
    found: list[Recorded] = []
    while run := await log.read(shard, found[-1].sequence if found else 0, 500):
        found += run
    assert [recorded.position for recorded in found] == list(range(1, len(found) + 1))
    versions: Counter[str] = Counter()
    for recorded in found:
        versions[recorded.stream] += 1
        assert recorded.version == versions[recorded.stream]
    assert len({recorded.event_id for recorded in found}) == len(found)
    return found


def commands_of(events: Iterable[Recorded]) -> Counter[str]:
    """How many events each command has."""
    return Counter(recorded.metadata.command_id for recorded in events)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    """Returns once the condition holds; fails where it does not within ``seconds``."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 -- what is waited for happens in the store
            await asyncio.sleep(0.05)

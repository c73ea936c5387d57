"""The simulated cluster answers as a real one does: the log's own statements, drawn at random, run on both, and every answer compared."""

import asyncio
import random
from collections.abc import Sequence
from contextvars import copy_context

import pytest

from domain.errors import Refusal
from domain.log.cassandra import driver, migrate_cassandra
from domain.log.cassandra.driver import Bridge, connect
from domain.log.cassandra.index import Mark, Progress, StreamIndex, open_index, open_progress
from domain.log.cassandra.keys import CassandraKeyStore, open_key_store
from domain.log.cassandra.schema import read_meta
from domain.log.cassandra.table import LogTable, Place, open_table
from domain.log.codec import StoredEvent
from domain.log.sealing import MasterKeys
from tests.log_cassandra_kit import FINGERPRINT, MASTER_KEY, keyspace
from tests.simulation.log.cluster import Cluster
from tests.simulation.log.faults import Faults
from tests.simulation.log.history import History
from tests.simulation.log.loop import PROCESS, Process, VirtualLoop
from tests.simulation.log.session import Network, connecting

PLACE = Place(1, 0)
SEGMENT_SIZE = 64
STEPS = 250


def made(position: int, attempt: str, source: random.Random) -> StoredEvent:
    stream = f"tally-{source.choice('abc')}"
    return StoredEvent(
        1, 0, position, stream, position, f"{attempt}-{position}", "said", 1, b"{}", None, None, b"{}", 1, 2, attempt
    )


class Script:
    """Draws what is asked next; what it draws depends on the seed and on the answers, so that two stores part at the first difference."""

    def __init__(
        self, seed: int, table: LogTable, index: StreamIndex, progress: Progress, keys: CassandraKeyStore
    ) -> None:
        self._source = random.Random(seed)
        self._table = table
        self._index = index
        self._progress = progress
        self._keys = keys
        self._log: list[StoredEvent] = []
        self._first_keys: dict[str, bytes] = {}

    async def play(self) -> list[str]:
        steps = (self._append, self._append, self._read, self._head, self._copy, self._look_up, self._mark, self._key)
        return [str(await self._source.choice(steps)()) for _ in range(STEPS)]

    async def _append(self) -> object:
        """Behind the head, or behind what is no head."""
        source, log = self._source, self._log
        base = log[-1] if log else None
        right = source.random() < 0.7
        if not right:
            base = source.choice([None, *log[-3:], made(len(log), "strange", source)])
        after = base.position if base is not None else 0
        room = SEGMENT_SIZE - after % SEGMENT_SIZE
        attempt = f"attempt-{source.randrange(10**6)}"
        rows = [made(after + 1 + each, attempt, source) for each in range(min(room, source.randint(1, 30)))]
        statement = self._table.appending(base, rows)
        applied = await self._table.append(statement)
        if applied:
            log[after:] = rows
        # Sent again it never applies, whether it did or not.
        return "append", applied, await self._table.append(statement) if right else None

    async def _read(self) -> object:
        at, limit = self._source.randint(0, len(self._log) + 2), self._source.randint(1, 90)
        rows = await self._table.after(PLACE, at, limit)
        row = await self._table.row(PLACE, max(1, at))
        following = await self._table.next_serial(PLACE, at)
        return [each.event_id for each in (*rows, *(each for each in (row, following) if each is not None))]

    async def _head(self) -> object:
        return "head", await self._table.head(PLACE, self._source.randint(0, len(self._log)))

    def _some(self) -> Sequence[StoredEvent]:
        start = self._source.randint(0, max(0, len(self._log) - 1))
        return self._log[start : start + self._source.randint(1, 20)]

    async def _copy(self) -> object:
        rows = self._some()
        if rows:
            await self._index.write(rows)
        return "copied", len(rows)

    async def _look_up(self) -> object:
        stream = f"tally-{self._source.choice('abcd')}"
        rows = self._some()
        missing = await self._index.missing(rows) if rows else ()
        found = await self._index.stream(stream)
        newest = await self._index.newest(stream, self._source.randint(1, 5))
        return [[each.event_id for each in group] for group in (missing, found, newest)]

    async def _mark(self) -> object:
        me = self._source.choice(("one", "two"))
        mark = await self._progress.read(PLACE)
        claimed = await self._progress.claim(PLACE, me, renew=self._source.random() < 0.5)
        guess = Mark(mark.watermark if self._source.random() < 0.7 else 7, me)
        raised = await self._progress.raise_to(PLACE, me, guess, mark.watermark + 1)
        return "mark", mark.watermark, claimed, raised

    async def _key(self) -> object:
        subject = self._source.choice("abcdefgh")
        if self._source.random() < 0.2:
            await self._keys.destroy(subject)
        try:
            key = await self._keys.create(subject)
        except Refusal:
            return "forgotten", await self._keys.fetch([subject])
        return "key", key == self._first_keys.setdefault(subject, key) == (await self._keys.fetch([subject]))[subject]


async def play(bridge: Bridge, name: str, seed: int) -> list[str]:
    meta = await read_meta(bridge, name)
    return await Script(
        seed,
        await open_table(bridge, name, meta),
        await open_index(bridge, name),
        await open_progress(bridge, name),
        await open_key_store(bridge, name, MasterKeys(MASTER_KEY)),
    ).play()


async def really(address: str, seed: int) -> list[str]:
    async with keyspace(address, segment_size=SEGMENT_SIZE, shards=1) as tables, tables.store():
        bridge = await connect([tables.host], tables.port)
        try:
            return await play(bridge, tables.name, seed)
        finally:
            await bridge.close()


def simulated(seed: int) -> list[str]:
    loop, process = VirtualLoop(2_000_000), Process("p")
    cluster = Cluster(loop, Faults(random.Random(seed), {}), History(), replicas=3, latency=0.0001)
    context = copy_context()
    context.run(PROCESS.set, process)

    async def main() -> list[str]:
        await migrate_cassandra(
            ["node"], "sim", server_key_fingerprint=FINGERPRINT, shards=1, segment_size=SEGMENT_SIZE
        )
        return await play(await connect(["node"], 9042), "sim", seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "_connect", connecting({process: Network(cluster, process)}))
        try:
            return loop.run_until_complete(loop.create_task(main(), context=context))
        finally:
            loop.dispose()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_simulated_cluster_answers_as_a_real_one(cassandra_address: str, seed: int) -> None:
    expected = asyncio.run(really(cassandra_address, seed))
    found = simulated(seed)
    for number, (mine, theirs) in enumerate(zip(found, expected, strict=True)):
        assert mine == theirs, f"step {number}"
    assert len({answer for answer in expected if answer.startswith("('mark'")}) > 5
    assert sum(answer.startswith("('append', True") for answer in expected) > 10

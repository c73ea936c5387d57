"""The event log's contract on Cassandra."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from domain.log.cassandra import CassandraLog
from domain.log.port import EventLog
from domain.log.snapshots import Kept
from tests.contract.log_contract import *  # noqa: F403 -- the contract's tests run where they are imported
from tests.contract.log_contract import FINGERPRINT, LogFactory
from tests.log_cassandra_kit import Keyspace, Store, keyspace


class Snapshots:
    """See tests.contract.log_kit.SnapshotStore."""

    def _of(self, log: EventLog) -> CassandraLog:
        assert isinstance(log, CassandraLog)
        return log

    async def read(self, log: EventLog, stream: str) -> Kept | None:
        return await self._of(log).shards[0]._loader._snapshots.read(stream)

    async def write(self, log: EventLog, stream: str, kept: Kept) -> None:
        await self._of(log).shards[0]._loader._snapshots.write(stream, kept)

    async def settled(self, log: EventLog) -> None:
        await self._of(log).indexed()
        for shard in self._of(log).shards:
            await shard.kept()


@pytest.fixture
def snapshot_store() -> Snapshots:
    return Snapshots()


@pytest.fixture(scope="module")
async def wide(cassandra_address: str) -> AsyncIterator[Keyspace]:
    async with keyspace(cassandra_address, segment_size=8192) as made:
        yield made


@pytest.fixture(scope="module")
async def narrow(cassandra_address: str) -> AsyncIterator[Keyspace]:
    async with keyspace(cassandra_address, segment_size=64) as made:
        yield made


@pytest.fixture
async def log_factory(wide: Keyspace, narrow: Keyspace) -> AsyncIterator[LogFactory]:
    async with AsyncExitStack() as stack:
        stores: dict[int, Store] = {}

        async def open_log(
            *, segment_size: int = 8192, queue_limit: int = 4096, fingerprint: str = FINGERPRINT
        ) -> CassandraLog:
            if segment_size not in stores:
                chosen = {8192: wide, 64: narrow}[segment_size]
                stores[segment_size] = await stack.enter_async_context(chosen.store())
            return await stores[segment_size].open(queue_limit=queue_limit, server_key_fingerprint=fingerprint)

        yield open_log

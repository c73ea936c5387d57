"""The event log's contract on Cassandra."""

import secrets
from collections.abc import AsyncIterator

import pytest

from domain.log.cassandra import CassandraLog, migrate_cassandra, open_cassandra_log
from domain.log.cassandra.driver import connect
from domain.log.cassandra.schema import keys_keyspace
from tests.contract.log_contract import *  # noqa: F403 -- the contract's tests run where they are imported
from tests.contract.log_contract import FINGERPRINT, LogFactory
from tests.contract.log_domain import Aggregates

MASTER_KEY = bytes(range(32))


@pytest.fixture
async def log_factory(cassandra_address: str) -> AsyncIterator[LogFactory]:
    host, _, port = cassandra_address.rpartition(":")
    keyspace = f"log_{secrets.token_hex(6)}"
    opened: list[CassandraLog] = []

    async def open_log(
        *, segment_size: int = 8192, queue_limit: int = 4096, fingerprint: str = FINGERPRINT
    ) -> CassandraLog:
        if not opened:
            await migrate_cassandra(
                [host], keyspace, port=int(port), server_key_fingerprint=fingerprint, segment_size=segment_size
            )
        log = await open_cassandra_log(
            [host],
            int(port),
            keyspace,
            master_key=MASTER_KEY,
            server_key_fingerprint=fingerprint,
            aggregates=Aggregates(),
            queue_limit=queue_limit,
        )
        opened.append(log)
        return log

    yield open_log
    for log in opened:
        await log.close()
    await drop(host, int(port), keyspace)


async def drop(host: str, port: int, keyspace: str) -> None:
    bridge = await connect([host], port)
    await bridge.define(f"DROP KEYSPACE IF EXISTS {name}" for name in (keyspace, keys_keyspace(keyspace)))
    await bridge.close()

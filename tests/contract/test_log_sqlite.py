"""The event log's contract on SQLite, and what only SQLite can promise."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.log.sqlite import SqliteLog, open_sqlite_log
from tests.contract.log_contract import *  # noqa: F403 -- the contract's tests run where they are imported
from tests.contract.log_contract import FINGERPRINT, LogFactory
from tests.contract.log_domain import Aggregates

MASTER_KEY = bytes(range(32))


@pytest.fixture
async def log_factory(tmp_path: Path) -> AsyncIterator[LogFactory]:
    opened: list[SqliteLog] = []

    async def open_log(
        *, segment_size: int = 8192, queue_limit: int = 4096, fingerprint: str = FINGERPRINT
    ) -> SqliteLog:
        log = await open_sqlite_log(
            tmp_path / "log.db",
            master_key=MASTER_KEY,
            server_key_fingerprint=fingerprint,
            aggregates=Aggregates(),
            segment_size=segment_size,
            queue_limit=queue_limit,
        )
        opened.append(log)
        return log

    yield open_log
    for log in opened:
        await log.close()

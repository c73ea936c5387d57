"""Homes for logs that are moved as a whole, in either store."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.log_cassandra_kit import Keyspace, keyspace
from tests.transfer_kit import CassandraHome, Home, NewHome, SqliteHome, closing

GetKeyspace = Callable[[str, int], Coroutine[Any, Any, Keyspace]]


@pytest.fixture(scope="module")
async def keyspaces() -> AsyncIterator[GetKeyspace]:
    """One for each number of shards, made when it is first asked for."""
    async with AsyncExitStack() as stack:
        made: dict[int, Keyspace] = {}

        async def get(address: str, shards: int) -> Keyspace:
            if shards not in made:
                made[shards] = await stack.enter_async_context(keyspace(address, shards=shards))
            return made[shards]

        yield get


@pytest.fixture
async def new_home(request: pytest.FixtureRequest, tmp_path: Path, keyspaces: GetKeyspace) -> AsyncIterator[NewHome]:
    """A place for a new log, of either adapter; in Cassandra one for each number of shards."""
    async with AsyncExitStack() as stack:
        made = iter(range(99))

        async def make(adapter: str, shards: int = 8) -> Home:
            if adapter == "sqlite":
                return await stack.enter_async_context(
                    closing(SqliteHome(tmp_path / f"log-{next(made)}.db", shards=shards))
                )
            tables = await keyspaces(request.getfixturevalue("cassandra_address"), shards)
            store = await stack.enter_async_context(tables.store())
            return await stack.enter_async_context(closing(CassandraHome(store)))

        yield make

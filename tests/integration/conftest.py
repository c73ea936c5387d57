"""Stores for logs: a module's own keyspace in Cassandra, and homes for logs that are moved as a whole, in either store."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.log_cassandra_kit import Keyspace, Store, keyspace
from tests.transfer_kit import CassandraHome, Home, NewHome, SqliteHome, closing

GetKeyspace = Callable[[str, int, int], Coroutine[Any, Any, Keyspace]]


@pytest.fixture(scope="module")
async def tables(cassandra_address: str) -> AsyncIterator[Keyspace]:
    """One for all tests of a module."""
    async with keyspace(cassandra_address) as made:
        yield made


@pytest.fixture
async def own(tables: Keyspace) -> AsyncIterator[Store]:
    """A test's own, empty."""
    async with tables.store() as made:
        yield made


@pytest.fixture(scope="module")
async def keyspaces() -> AsyncIterator[GetKeyspace]:
    """One for each layout, made when it is first asked for."""
    async with AsyncExitStack() as stack:
        made: dict[tuple[int, int], Keyspace] = {}

        async def get(address: str, shards: int, size: int) -> Keyspace:
            if (shards, size) not in made:
                tables = keyspace(address, shards=shards, segment_size=size)
                made[shards, size] = await stack.enter_async_context(tables)
            return made[shards, size]

        yield get


@pytest.fixture
async def new_home(request: pytest.FixtureRequest, tmp_path: Path, keyspaces: GetKeyspace) -> AsyncIterator[NewHome]:
    """A place for a new log, of either adapter; in Cassandra one for each layout."""
    async with AsyncExitStack() as stack:
        made = iter(range(99))

        async def make(adapter: str, shards: int = 8, size: int = 64) -> Home:
            if adapter == "sqlite":
                return await stack.enter_async_context(
                    closing(SqliteHome(tmp_path / f"log-{next(made)}.db", shards, size))
                )
            tables = await keyspaces(request.getfixturevalue("cassandra_address"), shards, size)
            store = await stack.enter_async_context(tables.store())
            return await stack.enter_async_context(closing(CassandraHome(store)))

        yield make

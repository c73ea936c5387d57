"""Where the real servers are: what `python -m tests.servers` put into the environment, as fixtures."""

import logging
import os
from collections.abc import Iterator

import hypothesis
import pytest
import structlog

from tests.servers import CASSANDRA, MONGODB, REQUIRED

# Machines are busy at times: how long an example takes says nothing of what it shows.
hypothesis.settings.register_profile("tidings", deadline=None)
hypothesis.settings.load_profile("tidings")

SERVER_FIXTURES = {"cassandra_address", "mongodb_url"}


@pytest.hookimpl(tryfirst=True)  # before -m selects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that uses a server as `cluster`, whatever it forgot."""
    for item in items:
        if SERVER_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("cluster")


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    """A command that a test runs in this process sets up its log; the next test's are not to go there."""
    config, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**config)
    root.handlers[:], root.level = handlers, level


def from_environment(variable: str) -> str:
    """The variable's value; without one the test is skipped, or fails where servers are required, so that none is skipped unseen."""
    value = os.environ.get(variable)
    if value:
        return value
    reason = f"{variable} is not set: run this as `python -m tests.servers -- pytest ...`"
    if os.environ.get("CI") == "true" or os.environ.get(REQUIRED) == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def cassandra_address() -> str:
    """A running Cassandra's `host:port`; tests make keyspaces of their own in it."""
    return from_environment(CASSANDRA)


@pytest.fixture(scope="session")
def mongodb_url() -> str:
    """A running MongoDB replica set's URL, without a database; tests make databases of their own in it."""
    return from_environment(MONGODB)

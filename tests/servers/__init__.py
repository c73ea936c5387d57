"""The real Cassandra and MongoDB that tests and benchmarks run on: found, or started and always stopped again."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from .cassandra import prepare_cassandra, start_cassandra
from .containers import engine_answers, prepare_cassandra_container, prepare_mongod_container
from .mongodb import prepare_mongod, start_mongod
from .server import Server, ServerError, free_port

__all__ = [
    "CASSANDRA",
    "MONGODB",
    "REQUIRED",
    "Addresses",
    "Server",
    "ServerError",
    "free_port",
    "running_servers",
    "start_cassandra",
    "start_mongod",
]

CASSANDRA = "TIDINGS_TEST_CASSANDRA"
"""The environment variable with a running Cassandra's host:port."""
MONGODB = "TIDINGS_TEST_MONGODB"
"""The environment variable with a running MongoDB replica set's URL."""

REQUIRED = "TIDINGS_REQUIRE_SERVERS"
"""The environment variable that, set to 1, makes a test without its server fail instead of being skipped."""


@dataclass(frozen=True)
class Addresses:
    """Where the servers are: Cassandra's `host:port`, MongoDB's URL."""

    cassandra: str
    mongodb: str

    def environment(self) -> dict[str, str]:
        """The two variables that tests read."""
        return {CASSANDRA: self.cassandra, MONGODB: self.mongodb}


@contextmanager
def running_servers() -> Iterator[Addresses]:
    """Yield both servers' addresses: the ones that the environment names, else servers started for this block alone.

    Raises ServerError where one cannot be installed or does not start.
    """
    given = Addresses(os.environ.get(CASSANDRA, ""), os.environ.get(MONGODB, ""))
    if given.cassandra and given.mongodb:
        yield given
        return
    contained = engine_answers()
    with ExitStack() as stack:
        started: list[Server] = []

        def launch(server: Server) -> Server:
            stack.callback(server.close)
            server.launch()
            started.append(server)
            return server

        cassandra = (
            given.cassandra or launch(prepare_cassandra_container() if contained else prepare_cassandra()).address
        )
        mongodb = given.mongodb or launch(prepare_mongod_container() if contained else prepare_mongod()).url
        for server in started:
            server.wait_ready()
        yield Addresses(cassandra, mongodb)

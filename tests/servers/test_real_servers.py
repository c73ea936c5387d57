"""The servers themselves: they answer, survive what outage tests do to them, and come back on the same port with their data."""

from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import ServerSelectionTimeoutError

from . import Server, start_cassandra, start_mongod
from .cassandra import cassandra_ready
from .test_server import eventually, state

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def mongo(server: Server) -> "MongoClient[dict[str, Any]]":
    return MongoClient(server.url, serverSelectionTimeoutMS=2000, socketTimeoutMS=2000, w="majority")


def test_mongodb_survives_an_outage_with_its_data() -> None:
    with start_mongod() as server:
        with mongo(server) as client:
            client.tests.numbers.insert_one({"_id": 1})
        port = server.port
        server.kill()
        with mongo(server) as client, pytest.raises(ServerSelectionTimeoutError):
            client.tests.numbers.find_one()
        server.start()
        assert server.port == port
        with mongo(server) as client:
            assert client.tests.numbers.find_one() == {"_id": 1}
            server.pause()
            eventually(lambda: state(server.pid) == "T")
            server.resume()
            assert client.tests.numbers.find_one() == {"_id": 1}


def test_mongodb_has_change_streams_and_transactions() -> None:
    with start_mongod() as server, mongo(server) as client:
        numbers = client.tests.numbers
        numbers.insert_one({"_id": 1})
        with numbers.watch() as changes, client.start_session() as session:
            with session.start_transaction():
                numbers.insert_one({"_id": 2}, session=session)
                numbers.insert_one({"_id": 3}, session=session)
            assert [changes.next()["documentKey"]["_id"] for _ in range(2)] == [2, 3]


def test_cassandra_survives_an_outage() -> None:
    with start_cassandra() as server:
        assert cassandra_ready(server.host, server.port)
        server.pause()
        assert not cassandra_ready(server.host, server.port)
        server.resume()
        eventually(lambda: cassandra_ready(server.host, server.port))
        server.kill()
        assert not cassandra_ready(server.host, server.port)
        server.start()
        pid = server.pid
        assert Path(f"/proc/{pid}").exists()
        server.stop()
        assert state(pid) == ""

"""The documents' contract on MongoDB, and what only MongoDB can promise."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from domain.errors import UnavailableError
from projections.documents.mongo import MongoDocuments, open_mongo_documents
from projections.documents.port import After, Change, Documents, Value
from projections.documents.rules import stored_name
from tests.contract.documents_contract import *  # noqa: F403 -- the contract's tests run where they are imported
from tests.contract.documents_kit import ROWS, STATE, DocumentsFactory, doc, one, put, row
from tests.servers import Server, free_port, start_mongod


@pytest.fixture
def database_url(mongodb_url: str) -> str:
    """A database of the test's own."""
    return urlsplit(mongodb_url)._replace(path=f"/tidings_{uuid.uuid4().hex}").geturl()


@pytest.fixture
async def documents_factory(database_url: str) -> AsyncIterator[DocumentsFactory]:
    opened: list[MongoDocuments] = []

    async def open_documents() -> MongoDocuments:
        documents = await open_mongo_documents(database_url)
        opened.append(documents)
        return documents

    yield open_documents
    for documents in opened:
        await documents.close()
    with MongoClient[dict[str, object]](database_url) as client:
        client.drop_database(client.get_default_database().name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](database_url) as client:
        yield client.get_default_database()


async def test_every_read_walks_the_index_that_it_names_and_sorts_nothing(
    documents: Documents, database: Database[dict[str, Any]]
) -> None:
    await documents.put(ROWS, [row(f"r{n:03}", 1, owner=f"o{n % 3}", kind=n % 7, key=f"{n}", at=n) for n in range(900)])
    database.command("profile", 2)
    kinds: list[list[Value]] = [[f"o{n % 3}", n] for n in range(7)]
    for reverse in (False, True):
        for after in (None, After("500", "r500")):
            await documents.page(ROWS, "by_owner", ["o1"], after=after, limit=20, reverse=reverse)
            owners = [[f"o{n}"] for n in range(250)]
            await documents.page_many(ROWS, "by_owner", owners, after=after, limit=20, reverse=reverse)
        for after in (None, After(450, "r450")):
            await documents.page_many(ROWS, "by_owner_kind", kinds, after=after, limit=20, reverse=reverse)
    assert await documents.count(ROWS, "by_owner", ["o1"], 20) == 20
    assert await documents.remove(ROWS, "by_owner", ["o1"], below="2", position=1, limit=20) == 20
    await documents.scan(ROWS, after="r100", limit=20)
    await documents.get(ROWS, [f"r{n:03}" for n in range(20)])
    database.command("profile", 0)

    # Two finds for 250 prefixes; of a removal both the find and the delete.
    operations = list(database["system.profile"].find({"ns": {"$regex": r"contract\."}}))
    assert len(operations) == 21
    for operation in operations:
        assert "IXSCAN" in operation["planSummary"], operation
        assert "COLLSCAN" not in operation["planSummary"], operation
        assert not operation.get("hasSortStage"), operation
        # The keys that many prefixes begin with are examined, their documents are not; one more stands at the place itself.
        assert operation["docsExamined"] <= 21, operation
        assert operation["keysExamined"] <= 450, operation


async def test_no_index_but_that_of_ids_is_unique(documents: Documents, database: Database[dict[str, Any]]) -> None:
    for name in database.list_collection_names(filter={"name": {"$regex": r"contract\."}}):
        for index in database[name].list_indexes():
            assert "unique" not in index
            assert index["name"] == "_id_" or set(index["partialFilterExpression"]) | {"_id"} == set(index["key"])


async def test_documents_are_not_prepared_while_an_index_is_being_built(
    documents_factory: DocumentsFactory, database: Database[dict[str, Any]]
) -> None:
    documents = await documents_factory()
    assert isinstance(documents, MongoDocuments)
    rows = database[stored_name(ROWS, 1)]
    rows.insert_many([{"_id": f"r{n}", "owner": "o", "kind": 1, "key": f"{n}", "at": n} for n in range(30_000)])
    preparing = asyncio.create_task(documents.prepare([ROWS]))
    async with asyncio.timeout(60):
        while not await documents.prepared([ROWS]):
            pass
    # From then on every read has its index.
    one_of: Sequence[Value] = ("o", 1)
    for index in ROWS.indexes:
        await documents.page(ROWS, index.name, one_of[: len(index.equals)], limit=1)
    await preparing


async def test_a_duplicate_key_answer_is_sent_again_and_never_taken_for_applied(
    documents: Documents, database: Database[dict[str, Any]]
) -> None:
    # A unique index stands in for the insert that another upsert met.
    for collection in (STATE, ROWS):
        stored = database[stored_name(collection, 1)]
        stored.create_index("n", unique=True, partialFilterExpression={"n": {"$exists": True}})
        stored.insert_one({"_id": "in the way", "n": 1})

    async def write() -> None:
        await documents.apply(STATE, [doc("a", 0, (1, put(n=1))), doc("b", 0, (1, put(n=2)))])
        await documents.put(ROWS, [row("a", 1, n=1), row("b", 1, n=2)])

    with pytest.raises(UnavailableError, match=r"duplicate key|met an insert"):
        await write()
    writing = asyncio.create_task(write())
    await asyncio.sleep(0.05)
    for collection in (STATE, ROWS):
        database[stored_name(collection, 1)].delete_one({"_id": "in the way"})
    await writing
    for collection in (STATE, ROWS):
        assert await documents.get(collection, ["a", "b"]) == {"a": {"n": 1}, "b": {"n": 2}}


async def test_what_the_server_refuses_is_not_taken_for_an_outage(
    documents: Documents, database: Database[dict[str, Any]]
) -> None:
    for collection in (STATE, ROWS):
        database.command("collMod", stored_name(collection, 1), validator={"n": {"$ne": 3}})
    with pytest.raises(BulkWriteError):
        await documents.apply(STATE, [doc("a", 0, (1, put(n=3)))])
    with pytest.raises(BulkWriteError):
        await documents.put(ROWS, [row("a", 1, n=3)])


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mongodb://127.0.0.1:{port}/tidings?appName=x", "127.0.0.1:{port}/tidings cannot be reached: 127.0.0.1"),
        ("mongodb://user:secret@127.0.0.1:{port}/", "127.0.0.1:{port}/"),
        ("mongodb://127.0.0.1:no-port", "127.0.0.1:no-port"),
        ("mongo", "mongo"),
    ],
)
@pytest.mark.parametrize("port", [free_port()])
@pytest.mark.slow  # five seconds each: the driver's patience
async def test_a_server_that_cannot_be_reached_is_named_without_its_password(url: str, address: str, port: int) -> None:
    with pytest.raises(UnavailableError, match=re.escape(address.format(port=port))) as raised:
        await open_mongo_documents(url.format(port=port))
    assert "secret" not in str(raised.value)


async def test_a_server_that_refuses_the_password_is_named_without_it(mongodb_url: str) -> None:
    parts = urlsplit(mongodb_url)
    with pytest.raises(UnavailableError, match=f"{re.escape(parts.netloc)}.* refuses: .*[Aa]uthentication") as raised:
        await open_mongo_documents(parts._replace(netloc=f"user:secret@{parts.netloc}").geturl())
    assert "secret" not in str(raised.value)


@pytest.fixture
def own_server(mongodb_url: str) -> Iterator[Server]:
    """A server that may be frozen and killed: the shared one serves other tests too."""
    server = start_mongod()
    yield server
    server.close()


@pytest.mark.slow
async def test_an_outage_is_told_to_every_caller_and_heals_by_itself(own_server: Server) -> None:
    documents = await open_mongo_documents(own_server.url)
    await documents.prepare([STATE, ROWS])
    await documents.apply(STATE, [doc("d", 0, (1, put(n=1)))])

    own_server.pause()
    await _gone(documents)
    reads = [documents.get(STATE, ["d"]) for _ in range(30)]
    writes = [documents.apply(STATE, [doc("d", shard, (1, Change(inc={"n": 1})))]) for shard in range(1, 6)]
    answers: list[object] = list(await asyncio.gather(*reads, *writes, return_exceptions=True))
    assert [type(answer) for answer in answers] == [UnavailableError] * 35
    own_server.resume()
    await _healed(documents)

    own_server.kill()
    await _gone(documents)
    with pytest.raises(UnavailableError):
        await documents.get(STATE, ["d"])
    own_server.start()
    await _healed(documents)
    # What was acknowledged survived the kill; what was not is sent again, and counts once whether or not it had arrived.
    for shard in range(1, 6):
        await documents.apply(STATE, [doc("d", shard, (1, Change(inc={"n": 1})))])
    assert await one(documents, "d") == {"n": 6}
    await documents.close()


async def _gone(documents: Documents) -> None:
    """A process that is told to stop may still answer for a moment."""
    for _ in range(10_000):
        try:
            await documents.ping()
        except UnavailableError:
            return
    raise AssertionError("the store goes on answering")


async def _healed(documents: Documents) -> None:
    for _ in range(100):
        try:
            return await documents.ping()
        except UnavailableError:
            await asyncio.sleep(0.1)
    raise AssertionError("the store is back, but not for those who had it open")

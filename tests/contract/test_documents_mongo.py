"""The documents' contract on MongoDB, and what only MongoDB can promise."""

import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient

from projections.documents.mongo import MongoDocuments, open_mongo_documents
from tests.contract.documents_contract import *  # noqa: F403 -- the contract's tests run where they are imported
from tests.contract.documents_kit import DocumentsFactory


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

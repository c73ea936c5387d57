"""The documents' contract on SQLite, and what only SQLite can promise."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from projections.documents.sqlite import SqliteDocuments, open_sqlite_documents
from tests.contract.documents_contract import *  # noqa: F403 -- the contract's tests run where they are imported
from tests.contract.documents_kit import DocumentsFactory


@pytest.fixture
async def documents_factory(tmp_path: Path) -> AsyncIterator[DocumentsFactory]:
    opened: list[SqliteDocuments] = []

    async def open_documents() -> SqliteDocuments:
        documents = await open_sqlite_documents(tmp_path / "documents.db")
        opened.append(documents)
        return documents

    yield open_documents
    for documents in opened:
        await documents.close()

"""The documents' contract on SQLite, and what only SQLite can promise."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.errors import UnavailableError
from projections.documents.port import After, Documents, Value
from projections.documents.rules import index_name, stored_name
from projections.documents.sqlite import SqliteDocuments, open_sqlite_documents, reading, store, writing
from tests.contract.documents_contract import *  # noqa: F403 -- the contract's tests run where they are imported
from tests.contract.documents_kit import ROWS, DocumentsFactory, one, row


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


async def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("certainly no database, and long enough to be told from an empty one")
    for path in (tmp_path / "missing" / "documents.db", tmp_path, tmp_path / "text.db"):
        with pytest.raises(UnavailableError, match=str(path)):
            await open_sqlite_documents(path)


async def test_a_file_that_another_process_locks_is_unavailable_until_it_is_free(
    documents: Documents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.01)
    impatient = await open_sqlite_documents(tmp_path / "documents.db")
    other = sqlite3.connect(tmp_path / "documents.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="locked"):
            await impatient.put(ROWS, [row("r", 1)])
        # Who reads is never locked out.
        assert await one(impatient, "r", ROWS) is None
        other.execute("COMMIT")
        await impatient.put(ROWS, [row("r", 1)])
        assert await one(impatient, "r", ROWS) == {}
    finally:
        other.close()
        await impatient.close()


async def test_a_mistake_in_a_call_is_not_taken_for_an_outage(documents_factory: DocumentsFactory) -> None:
    unprepared = await documents_factory()
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await unprepared.get(ROWS, ["r"])


@pytest.mark.usefixtures("documents")
def test_every_read_walks_the_index_that_it_names_and_sorts_nothing(tmp_path: Path) -> None:
    plans: list[str] = []
    connection, planner = (sqlite3.connect(tmp_path / "documents.db") for _ in range(2))

    def explain(statement: str) -> None:
        if statement.startswith(("SELECT", "DELETE")):
            plans.extend(step for *_, step in planner.execute(f"EXPLAIN QUERY PLAN {statement}"))

    connection.set_trace_callback(explain)
    table, places = stored_name(ROWS, 1), {"key": After("k", "r"), "at": After(5, "r")}
    prefixes: dict[str, list[Value]] = {"by_owner": ["o"], "by_owner_kind": ["o", True]}
    for name, prefix in prefixes.items():
        index = ROWS.index(name)
        walk, place = f"SEARCH {table} USING INDEX {table}:{index_name(index)} ", places[index.sort]
        for reverse in (False, True):
            reading.page(connection, table, index, [prefix], None, 20, reverse)
            reading.page(connection, table, index, [prefix], place, 20, reverse)
            beyond = f"(={index.sort},id){'<' if reverse else '>'}(?,?)"
            assert [step.startswith(walk) for step in plans] == [True, True]
            assert [beyond in step for step in plans] == [False, True]
            plans.clear()
        reading.count(connection, table, index, prefix, 20)
        writing.remove(connection, table, index, prefix, place.sort, 5, 20)
        assert len([step for step in plans if step.startswith(walk)]) == 2
        assert not [step for step in plans if "TEMP B-TREE" in step or step == f"SCAN {table}"]
        plans.clear()
    reading.scan(connection, table, "r", 20)
    reading.get(connection, table, ["r"])
    assert len([step for step in plans if step.startswith(f"SEARCH {table} USING INDEX sqlite_autoindex")]) == 2
    connection.close()
    planner.close()

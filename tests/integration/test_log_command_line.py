"""``tidings log`` as an operator meets it: what it says, and its exit codes."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from api.stores import StoreError
from domain.errors import LogError


@pytest.fixture
def runner(tmp_path: Path) -> CliRunner:
    return CliRunner(
        env={
            "DATA_DIR": str(tmp_path),
            "COLUMNS": "200",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "LOG_URL": "",
            "DOCUMENTS_URL": "",
        }
    )


def said(result: Result) -> str:
    return " ".join(result.output.split())


def test_a_log_is_closed_verified_mended_and_opened_again(runner: CliRunner, tmp_path: Path) -> None:
    assert isinstance(runner.invoke(app, ["log", "verify"]).exception, StoreError)
    assert not (tmp_path / "log.db").exists()
    assert runner.invoke(app, ["migrate"]).exit_code == 0
    assert runner.invoke(app, ["log", "close"]).exit_code == 2
    closed = runner.invoke(app, ["log", "close", "--yes"])
    assert (closed.exit_code, said(closed)) == (0, "Generation 1 has ended in all 8 shards (8 of them just now).")
    assert "(0 of them" in said(runner.invoke(app, ["log", "close", "--yes"]))
    clean = runner.invoke(app, ["log", "verify"])
    assert (clean.exit_code, said(clean)) == (0, "ok nothing is wrong (rows: 8 log, 8 index)")
    assert runner.invoke(app, ["log", "open-generation"]).exit_code == 2
    opened = runner.invoke(app, ["log", "open-generation", "--yes"])
    assert (opened.exit_code, "generation 2" in said(opened)) == (0, True)
    assert isinstance(runner.invoke(app, ["log", "open-generation", "--yes"]).exception, LogError)
    assert runner.invoke(app, ["log", "verify"]).exit_code == 0
    assert runner.invoke(app, ["log", "verify", "--shard", "8"]).exit_code == 2


def test_findings_are_told_and_what_is_derived_is_mended(runner: CliRunner, tmp_path: Path) -> None:
    for command in ("migrate", "log close --yes"):
        assert runner.invoke(app, command.split()).exit_code == 0
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection, connection:
        connection.execute("DROP TRIGGER events_never_change")
        connection.execute("UPDATE event_log SET payload = x'ff' WHERE shard = 3")
    found = runner.invoke(app, ["log", "verify", "--json"])
    verdict = json.loads(found.stdout)
    assert (found.exit_code, verdict["clean"], verdict["counts"]) == (1, False, {"unreadable": 1, "index_differs": 1})
    assert [each.get("shard") for each in verdict["findings"]] == [3, None]
    mended = runner.invoke(app, ["log", "verify", "--repair"])
    assert mended.exit_code == 1
    assert "mended 1 indexes and triggers made anew" in said(mended)
    assert "1 findings: 1 unreadable" in said(mended)
    assert "shard 3, generation 1, position 1, stream shard-3, version 1" in said(mended)

"""What the command line says of itself, and the schema file that it keeps."""

import asyncio
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli import app
from api.cli.schema import SCHEMA_FILE
from api.schema.schema import schema
from api.settings import load_settings
from api.stores import StoreError, open_documents
from domain.envelope import sequence

RUNNER = CliRunner(env={"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"})


def test_every_command_explains_itself() -> None:
    said = RUNNER.invoke(app, ["--help"]).output
    commands = re.findall(r"│ ([a-z-]+) ", said.split("Commands")[1])
    assert set(commands) == {
        *("serve", "work", "migrate", "schema", "status", "doctor", "seed", "secrets"),
        *("events", "log", "rebuild", "verify", "dead-letters"),
    }
    for command in commands:
        help_ = RUNNER.invoke(app, [command, "--help"])
        assert (help_.exit_code, "Usage" in help_.output) == (0, True), command


def test_unknown_command_or_option_is_wrong_use() -> None:
    assert RUNNER.invoke(app, ["server"]).exit_code == 2
    assert RUNNER.invoke(app, ["serve", "--prot", "1"]).exit_code == 2
    for size in ("--accounts=1", "--accounts=4040", "--posts=-1"):
        assert RUNNER.invoke(app, ["seed", size]).exit_code == 2, size


@pytest.mark.parametrize(
    "command",
    [
        *("status", "verify", "rebuild --all", "log verify", "log close --yes", "log open-generation --yes"),
        *(
            "events tail --no-follow",
            "events show ada",
            "events export -",
            "dead-letters list",
            "secrets rotate-master",
        ),
    ],
)
def test_what_looks_into_a_log_makes_none(tmp_path: Path, command: str) -> None:
    """In the wrong working directory an empty log would look as if all were well."""
    result = RUNNER.invoke(app, command.split(), env={"DATA_DIR": str(tmp_path / "elsewhere"), "LOG_URL": ""})
    assert isinstance(result.exception, StoreError)
    assert "DATA_DIR says where it is" in str(result.exception)
    assert not (tmp_path / "elsewhere").exists()


def test_documents_that_are_ahead_of_their_log_are_not_well(tmp_path: Path) -> None:
    env = {"DATA_DIR": str(tmp_path), "LOG_URL": "", "DOCUMENTS_URL": "", "LOG_LEVEL": "error"}
    for command in ("migrate", "status"):
        assert RUNNER.invoke(app, [command], env=env).exit_code == 0

    async def run_ahead() -> None:
        documents = await open_documents(load_settings(data_dir=tmp_path))
        await documents.save_checkpoint("accounts", 3, sequence(1, 7), None)
        await documents.close()

    asyncio.run(run_ahead())
    told = RUNNER.invoke(app, ["status"], env=env)
    assert told.exit_code == 1
    assert told.output.count("ahead of the log") == 1


def test_the_list_of_settings_holds_no_password() -> None:
    address = {"DOCUMENTS_URL": "mongodb://me:hidden@h/db", "MASTER_KEY": "hidden"}
    said = RUNNER.invoke(app, ["doctor", "--settings"], env=address).output
    assert "mongodb://h/db" in said
    assert "hidden" not in said


def test_schema_file_is_what_the_code_gives(tmp_path: Path) -> None:
    file = tmp_path / "schema.graphql"
    assert RUNNER.invoke(app, ["schema", "--check", "--file", str(file)]).exit_code == 1
    assert RUNNER.invoke(app, ["schema", "--file", str(file)]).exit_code == 0
    assert RUNNER.invoke(app, ["schema", "--check", "--file", str(file)]).exit_code == 0
    assert RUNNER.invoke(app, ["schema", "--print"]).output == file.read_text() == schema.as_str().rstrip() + "\n"
    file.write_text(file.read_text() + "\n")
    assert RUNNER.invoke(app, ["schema", "--check", "--file", str(file)]).exit_code == 1


def test_schema_file_of_the_repository_is_up_to_date() -> None:
    assert SCHEMA_FILE.read_text() == schema.as_str().rstrip() + "\n"

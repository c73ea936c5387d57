"""`python -m tests.servers -- COMMAND` on servers that are there already: it hands on addresses, exit codes and signals."""

import os
import signal
import subprocess
import sys
from functools import partial

import pytest

from . import CASSANDRA, MONGODB

GIVEN = {CASSANDRA: "cassandra.example:9042", MONGODB: "mongodb://mongodb.example/?replicaSet=rs0"}


def start(*command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.servers", *command],
        env={**os.environ, **GIVEN},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A run in the background of a shell ignores interrupts, and would hand that down.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one call of the system
    )


def run(*command: str) -> tuple[int, str, str]:
    with start(*command) as process:
        output, errors = process.communicate(timeout=30)
        return process.returncode, output, errors


def test_the_command_sees_the_addresses_that_were_given() -> None:
    code, output, _ = run("--", "sh", "-c", f"echo ${CASSANDRA} ${MONGODB} $TIDINGS_REQUIRE_SERVERS")
    assert (code, output) == (0, f"{GIVEN[CASSANDRA]} {GIVEN[MONGODB]} 1\n")


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)])
def test_the_exit_code_is_the_commands_own(script: str, code: int) -> None:
    assert run("--", "sh", "-c", script)[0] == code


def test_a_missing_command_is_named() -> None:
    code, _, errors = run("--", "no-such-command")
    assert code == 127
    assert "no-such-command" in errors


def test_options_after_the_dashes_are_the_commands() -> None:
    assert run("--", "sh", "-c", 'echo "$@"', "sh", "--help")[:2] == (0, "--help\n")


def test_scripts_beside_the_interpreter_are_found() -> None:
    code, output, _ = run("--", "pytest", "--version")
    assert code == 0
    assert output.startswith("pytest ")


def test_help_explains_itself() -> None:
    code, output, _ = run("--help")
    assert code == 0
    assert CASSANDRA in output
    assert MONGODB in output


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, 128 + signal.SIGINT)],
)
def test_a_signal_ends_waiting(number: signal.Signals, code: int) -> None:
    with start() as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"export {CASSANDRA}='{GIVEN[CASSANDRA]}'\n"
        process.send_signal(number)
        assert process.wait(10) == code


def test_a_terminated_run_terminates_its_command_and_ends_as_it_does() -> None:
    with start("--", "sh", "-c", "trap 'echo ended; exit 3' TERM; echo began; while :; do sleep 0.05; done") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "began\n"
        process.terminate()
        assert process.stdout.readline() == "ended\n"
        assert process.wait(10) == 3


def test_an_interrupt_waits_for_the_command_to_end_in_its_own_way() -> None:
    with start("--", "sh", "-c", "trap 'exit 5' INT; echo began; while :; do sleep 0.05; done") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "began\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(10) == 5

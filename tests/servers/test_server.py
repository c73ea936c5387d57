"""A server's life, shown on small commands in place of the servers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .server import Server, ServerError

NAP = ["sleep", "60"]

CALLER = """
import sys
from tests.servers.server import Server
server = Server("Nap", "127.0.0.1", 1, "", lambda directory: ["sleep", "60"], lambda host, port: True, 5)
server.start()
print(server.pid, server._directory, flush=True)
sys.stdin.read()
"""


def a_server(command: list[str], *, answers: bool = True, ready_seconds: float = 5) -> Server:
    return Server("Nap", "127.0.0.1", 1, "nap://", lambda _: command, lambda _host, _port: answers, ready_seconds)


def state(pid: int) -> str:
    """The process's state letter (proc(5)), or nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_closed_server_leaves_no_process_and_no_folder() -> None:
    with a_server(NAP) as server:
        server.start()
        pid, directory = server.pid, server._directory
        assert directory is not None
        assert directory.exists()
    assert state(pid) == ""
    assert not directory.exists()


@pytest.mark.parametrize("end", [Server.stop, Server.kill])
def test_a_server_starts_again_on_its_data(end: Callable[[Server], None]) -> None:
    with a_server(["sh", "-c", "echo x >> data; exec sleep 60"]) as server:
        for runs in (1, 2):
            server.start()
            assert server._directory is not None
            data = server._directory / "data"
            eventually(lambda data=data, runs=runs: data.exists() and data.read_text() == "x\n" * runs)  # type: ignore[misc]
            end(server)
            assert not server.running()


def test_a_paused_server_is_frozen_and_can_still_be_stopped() -> None:
    with a_server(NAP) as server:
        server.start()
        pid = server.pid
        server.pause()
        eventually(lambda: state(pid) == "T")
        server.resume()
        eventually(lambda: state(pid) == "S")
        server.pause()
        server.stop()
        assert state(pid) == ""


def test_a_server_that_ends_at_once_is_quoted() -> None:
    with (
        a_server(["sh", "-c", "echo the disk is full; exit 3"], answers=False) as server,
        pytest.raises(ServerError, match=r"ended while it was starting[\s\S]*the disk is full"),
    ):
        server.start()


def test_a_server_that_never_answers_is_given_up() -> None:
    with (
        a_server(NAP, answers=False, ready_seconds=0.2) as server,
        pytest.raises(ServerError, match=r"did not answer within 0\.2 s"),
    ):
        server.start()


def test_what_cannot_be_executed_is_named() -> None:
    with a_server(["/no/such/server"]) as server, pytest.raises(ServerError, match="/no/such/server"):
        server.start()


def test_a_server_that_does_not_run_says_so() -> None:
    server = a_server(NAP)
    for action in (server.pause, server.resume, lambda: server.pid):
        with pytest.raises(ServerError, match="not running"):
            action()


def test_a_server_is_not_started_twice() -> None:
    with a_server(NAP) as server:
        server.start()
        with pytest.raises(ServerError, match="running already"):
            server.start()


def test_a_killed_caller_takes_its_server_and_its_data_along() -> None:
    with subprocess.Popen([sys.executable, "-c", CALLER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        pid, directory = caller.stdout.readline().decode().split()
        assert state(int(pid)) != ""
        assert Path(directory).exists()
        os.kill(caller.pid, signal.SIGKILL)
    eventually(lambda: state(int(pid)) == "")
    eventually(lambda: not Path(directory).exists())

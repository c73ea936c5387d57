"""One running server as tests see it: start, stop, kill, pause, resume, and start again on the same port and data."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

TETHER = Path(__file__).with_name("tether.py")
STOP_SECONDS = 30.0
POLL_SECONDS = 0.1
LOG = "server.log"
LOG_LINES = 25

Command = Callable[[Path], list[str]]
"""Makes the command that runs a server from the empty folder that is its own; called once, at the first start."""
Probe = Callable[[str, int], bool]
"""Whether the server at (host, port) serves requests; raises nothing."""


class ServerError(RuntimeError):
    """A server could not be installed or started; the message says why and what to do next."""


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port of `host` that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def last_lines(path: Path, count: int = LOG_LINES) -> str:
    """The end of a log file, or a note that there is none."""
    if not path.exists():
        return "(no log was written)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-count:])


class Server:
    """A server on `host`:`port`, tethered to the process that started it. `url` is how clients name it; `ready_seconds` bounds a start."""

    def __init__(
        self, name: str, host: str, port: int, url: str, command: Command, probe: Probe, ready_seconds: float
    ) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.url = url
        self._make_command = command
        self._probe = probe
        self._ready_seconds = ready_seconds
        self._directory: Path | None = None
        self._command: list[str] = []
        self._tether: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process id; raises ServerError while it is not running."""
        self._require_running()
        return self._pid

    def running(self) -> bool:
        """Whether the process exists, paused or not."""
        return self._tether is not None and self._tether.poll() is None

    def start(self) -> None:
        """Start, or start again on the same port and data, and return when the server answers."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start the process and return at once; `wait_ready` waits for it."""
        if self.running():
            raise ServerError(f"{self.name} is running already; stop() or kill() it first.")
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix=f"tidings-{self.name.lower()}-"))
            self._command = self._make_command(self._directory)
        # A session of its own keeps a Ctrl-C for the caller, which then stops its servers in order.
        self._tether = subprocess.Popen(
            [sys.executable, str(TETHER), str(self._directory / LOG), json.dumps(self._remains()), *self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd=self._directory,
        )
        assert self._tether.stdout is not None
        line = self._tether.stdout.readline()
        if not line:
            self._reap()
            raise ServerError(f"{self.name} could not be executed: {self._command[0]}")
        self._pid = int(line)

    def wait_ready(self) -> None:
        """Return when the server answers; raise ServerError with its last words when it ends or takes too long."""
        deadline = time.monotonic() + self._ready_seconds
        while not self._probe(self.host, self.port):
            if not self.running():
                raise ServerError(f"{self.name} ended while it was starting. Its last lines:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{self.name} did not answer within {self._ready_seconds:g} s. Its last lines:\n{self.log_tail()}"
                )
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Ask the server to end, and wait until it has. Data and port are kept for `start`."""
        if self.running():
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
        self._reap()

    def kill(self) -> None:
        """End the server as a crash of its process would. Data and port are kept for `start`."""
        if self.running():
            self._signal(signal.SIGKILL)
        self._reap()

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing answers."""
        self._require_running()
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self._require_running()
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop the server for good and delete its data."""
        try:
            self.stop()
        finally:
            self._discard()

    def log_tail(self) -> str:
        """The last lines of what the server itself wrote."""
        return last_lines(self._directory / LOG) if self._directory else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _require_running(self) -> None:
        if not self.running():
            raise ServerError(f"{self.name} is not running; call start() first.")

    def _remains(self) -> list[str]:
        """The command that deletes the data when nobody is left to call `close`."""
        return ["rm", "-rf", str(self._directory)]

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # It ended by itself between the question and the signal.
            os.kill(self._pid, number)

    def _discard(self) -> None:
        directory, self._directory = self._directory, None
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)

    def _reap(self) -> None:
        tether = self._tether
        if tether is None:
            return
        try:
            tether.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            tether.wait(STOP_SECONDS)
        finally:
            self._tether = None
            for pipe in (tether.stdin, tether.stdout):
                if pipe is not None:
                    pipe.close()

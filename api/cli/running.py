"""What every command begins with: settings, log lines, an event loop."""

import asyncio
import errno
import gc
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import uvloop
from rich.console import Console

from api.logs import configure_logs
from api.settings import Settings, load_settings, sqlite_path
from api.stores import StoreError

T = TypeVar("T")


PIPE_WIDTH: Final = 200


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Whoever read has gone: nothing more can be said, and the command decides whether that is a failure (rich would end the process)."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


# A pipe has no width, and tables in it are not to be cut to that of some terminal. (There may be no standard output at all.)
console = _Console(
    highlight=False, soft_wrap=True, width=None if sys.stdout is not None and sys.stdout.isatty() else PIPE_WIDTH
)


def tell(line: str) -> None:
    """Says what a server says as it begins; whether anybody reads it or not, it serves."""
    with suppress(OSError):
        console.print(line)


def begin(**overrides: Any) -> Settings:
    """Settings from the environment and the command's options (None: not given), with logging set up by them."""
    settings = load_settings(**overrides)
    configure_logs(settings.log_level, settings.log_format)
    return settings


def begin_on_log() -> Settings:
    """As ``begin``, for what looks into a log: where its file is not there, as in another working directory, it says so (StoreError) and makes none."""
    settings = begin()
    address = settings.log_address
    if address.startswith("sqlite:") and not sqlite_path(address).exists():
        raise StoreError("LOG_URL" if settings.log_url else "DATA_DIR", address, "there is no log")
    return settings


SWITCH_SECONDS: Final = 0.0005
"""How long a thread may keep the interpreter while others wait. With Python's 5 ms, the threads of the drivers and of SQLite starve beside a busy event
loop: at one command in flight on SQLite the slowest hundredth took 70 to 1,700 ms, with this 21 ms."""

GC_THRESHOLD: Final = 50_000
"""New objects between two looks of the garbage collector at the young. With Python's 700, a process that keeps hundreds of commands in flight spends a
quarter of its time on looking at what is in use: reference counts free nearly all of it without."""


def run(work: Coroutine[Any, Any, T]) -> T:
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(GC_THRESHOLD)
    # What has been imported stays for good, and need not be looked at again and again.
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@contextmanager
def stopping() -> Iterator[asyncio.Event]:
    """An event that the first SIGTERM or SIGINT sets, from here to the end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

"""Errands: work that an answer gives rise to and nobody waits for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from domain.errors import UnavailableError

MOST: Final = 64

_log = structlog.get_logger("tidings.errands")


class Errands:
    """At most ``most`` at a time, one of a name; what comes beyond that is dropped, for the next answer will ask for it again."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Whether it was begun."""
        if name in self._running or len(self._running) >= self._most:
            return False
        task = asyncio.create_task(_guarded(name, work))
        self._running[name] = task
        task.add_done_callback(lambda _: self._running.pop(name, None))
        return True

    async def close(self) -> None:
        """Stops what runs and waits for that."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _guarded(name: str, work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except UnavailableError:
        _log.info("errand given up: a store is out of reach", errand=name)
    except Exception:  # noqa: BLE001 (logged, and nobody waits for it)
        _log.exception("errand failed", errand=name)

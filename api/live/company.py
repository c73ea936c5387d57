"""Company: guests to whom the same happens are shown it once. Nothing is kept for later: what is read is shared by those who ask while it is read, what is
rendered by those who were shown the same."""

import asyncio
import weakref
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Company:
    """Of one process."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[Any]] = {}
        self._rendered: dict[int, tuple[weakref.ref[object], dict[Hashable, Any]]] = {}

    async def look(self, key: Hashable, work: Callable[[], Coroutine[None, None, T]]) -> T:
        """What ``work`` finds, or what it is finding for another who asked for ``key``. Raises what ``work`` raises."""
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._arrived(key, done))
        # Whoever goes away meanwhile leaves it to the others.
        return cast("T", await asyncio.shield(task))

    def _arrived(self, key: Hashable, task: "asyncio.Task[Any]") -> None:
        del self._under_way[key]
        if not task.cancelled():
            # Or it would be logged as never retrieved where all who asked have gone.
            task.exception()

    def rendered(self, event: object) -> dict[Hashable, Any]:
        """What has been made of this very object, by what was asked of it; for as long as somebody holds it."""
        id_ = id(event)
        if id_ not in self._rendered:
            try:
                self._rendered[id_] = weakref.ref(event, lambda _: self._rendered.pop(id_)), {}
            except TypeError:
                # A number or a text, of which equal ones may be the same object.
                return {}
        return self._rendered[id_][1]

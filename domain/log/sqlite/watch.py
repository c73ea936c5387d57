"""Who waits for a shard to grow, and what wakes them: this process's appends at once, those of others by polling."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

_BUSY_PAUSE: Final = 0.005
_IDLE_PAUSE: Final = 0.25

Waiter = tuple[int, "asyncio.Future[None]"]


class Watch:
    """The newest known head (a sequence) of every shard. ``poll`` reads the heads that the store holds; it is asked only while someone waits,
    every 5 ms while others append, down to every 250 ms while they do not."""

    def __init__(self, heads: Sequence[int], poll: Callable[[], Awaitable[Sequence[int]]]) -> None:
        self._heads = list(heads)
        self._poll = poll
        self._waiters: list[set[Waiter]] = [set() for _ in heads]
        self._polling: asyncio.Task[None] | None = None
        self._pause = _BUSY_PAUSE

    def advance(self, heads: Sequence[int]) -> bool:
        """Takes notice of heads and wakes who waited for them; says whether any was new."""
        moved = False
        for shard, head in enumerate(heads):
            if head > self._heads[shard]:
                moved = True
                self._heads[shard] = head
                for waiter in self._waiters[shard]:
                    if head > waiter[0] and not waiter[1].done():
                        waiter[1].set_result(None)
        return moved

    async def wait(self, shard: int, after: int, timeout: float) -> None:
        """See EventLog.wait."""
        if self._heads[shard] > after:
            return
        waiter = (after, asyncio.get_running_loop().create_future())
        self._waiters[shard].add(waiter)
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._keep_polling())
        try:
            async with asyncio.timeout(timeout):
                await waiter[1]
        except TimeoutError:
            pass
        finally:
            self._waiters[shard].discard(waiter)

    async def _keep_polling(self) -> None:
        while any(self._waiters):
            await asyncio.sleep(self._pause)
            try:
                moved = self.advance(await self._poll())
            except Exception as error:  # noqa: BLE001 -- raised where someone waits for it
                self._fail(error)
                return
            self._pause = _BUSY_PAUSE if moved else min(self._pause * 2, _IDLE_PAUSE)

    def _fail(self, error: Exception) -> None:
        for _, future in set().union(*self._waiters):
            if not future.done():
                future.set_exception(error)

    async def close(self) -> None:
        """Wakes all who wait."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        for waiters in self._waiters:
            for _, future in waiters:
                if not future.done():
                    future.set_result(None)

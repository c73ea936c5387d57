"""A pulse wakes whoever waits for something to change. Check, then wait, with no await between: no beat is missed."""

import asyncio


class Pulse:
    def __init__(self) -> None:
        self._next = asyncio.Event()

    def beat(self) -> None:
        """Wakes all who wait now."""
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self) -> None:
        """Returns at the next beat."""
        await self._next.wait()

"""A guard by itself: what passes it, what it cuts off, and what it leaves alone."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from api.errors import RequestError
from api.live.guards import Guard


class Source:
    """Counts up when it is let, and remembers how it was closed."""

    def __init__(self) -> None:
        self.gate = asyncio.Semaphore(0)
        self.closed = False

    async def run(self) -> AsyncGenerator[int, None]:
        number = 0
        try:
            while True:
                await self.gate.acquire()
                number += 1
                yield number
        finally:
            self.closed = True


async def test_what_comes_passes_until_the_end() -> None:
    async def three() -> AsyncGenerator[int, None]:
        for number in range(3):
            yield number

    assert [number async for number in Guard().pass_on(three())] == [0, 1, 2]


async def test_the_end_of_the_session_cuts_a_wait_short() -> None:
    guard, source = Guard(), Source()
    async with aclosing(guard.pass_on(source.run())) as passed:
        source.gate.release()
        assert await anext(passed) == 1
        waiting = asyncio.ensure_future(anext(passed))
        await asyncio.sleep(0)
        guard.end()
        with pytest.raises(RequestError) as ended:
            await waiting
    assert [(error.extensions or {})["code"] for error in ended.value.errors] == ["UNAUTHENTICATED"]
    assert source.closed


async def test_what_its_reader_waits_for_is_left_alone() -> None:
    guard, source = Guard(), Source()
    source.gate.release()
    async with aclosing(guard.pass_on(source.run())) as passed:
        assert await anext(passed) == 1
        guard.end()
        # Sending the first result takes as long as it takes; then it is over.
        await asyncio.sleep(0)
        with pytest.raises(RequestError):
            await anext(passed)


async def test_nothing_passes_once_the_session_has_ended() -> None:
    guard, source = Guard(), Source()
    guard.end()
    source.gate.release()
    with pytest.raises(RequestError):
        await anext(guard.pass_on(source.run()))


async def test_a_source_that_times_out_is_not_taken_for_the_end() -> None:
    async def late() -> AsyncGenerator[int, None]:
        raise TimeoutError("the source's own")
        yield 0

    with pytest.raises(TimeoutError, match="own"):
        await anext(Guard().pass_on(late()))

"""Convoys: who travels together, who waits, and whose fault stays whose."""

import asyncio
from collections.abc import Sequence

import pytest

from domain.errors import UnavailableError
from projections.documents.mongo.convoy import FULL, Convoy


class Calls:
    """What was sent, call by call; each call ends when it is let go."""

    def __init__(self, *, held: bool = False) -> None:
        self.sent: list[list[int]] = []
        self.error: Exception | None = None
        self._open = asyncio.Event()
        if not held:
            self._open.set()

    async def send(self, items: Sequence[int]) -> Sequence[int]:
        self.sent.append(list(items))
        await self._open.wait()
        if 13 in items:
            raise self.error or ValueError("refused")
        return [10 * item for item in items]

    def let_go(self) -> None:
        self._open.set()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_those_who_ask_in_one_turn_travel_together_and_get_their_own_answers() -> None:
    calls = Calls()
    convoy = Convoy(calls.send, most=100, at_once=4)
    assert list(await asyncio.gather(convoy([1, 2]), convoy([]), convoy([3]))) == [[10, 20], [], [30]]
    assert calls.sent == [[1, 2, 3]]


async def test_who_asks_while_a_call_is_under_way_goes_with_the_next() -> None:
    calls = Calls(held=True)
    convoy = Convoy(calls.send, most=100, at_once=4)
    asked = [asyncio.create_task(convoy([1]))]
    await turns()
    for number in (2, 3):
        asked.append(asyncio.create_task(convoy([number])))
        await turns()
    assert calls.sent == [[1]]
    calls.let_go()
    assert list(await asyncio.gather(*asked)) == [[10], [20], [30]]
    assert calls.sent == [[1], [2, 3]]


async def test_full_calls_go_side_by_side_as_many_as_may_be() -> None:
    calls = Calls(held=True)
    convoy = Convoy(calls.send, most=FULL, at_once=2)
    asked = [asyncio.create_task(convoy([number] * FULL)) for number in (1, 2, 3)]
    await turns()
    assert [items[0] for items in calls.sent] == [1, 2]
    calls.let_go()
    await asyncio.gather(*asked)
    assert [len(items) for items in calls.sent] == [FULL] * 3


async def test_a_call_holds_no_more_than_it_may_but_for_one_who_asks_for_more() -> None:
    calls = Calls()
    convoy = Convoy(calls.send, most=3, at_once=1)
    await asyncio.gather(convoy([1, 1]), convoy([2, 2]), convoy([3] * 5), convoy([4]))
    assert calls.sent == [[1, 1], [2, 2], [3] * 5, [4]]


async def test_a_refusal_is_its_own_askers_alone() -> None:
    calls = Calls()
    convoy = Convoy(calls.send, most=100, at_once=4)
    good, bad, other = await asyncio.gather(convoy([1]), convoy([13]), convoy([2]), return_exceptions=True)
    assert (good, other) == ([10], [20])
    assert isinstance(bad, ValueError)


async def test_an_outage_is_everybodys_and_is_not_tried_again_here() -> None:
    calls = Calls()
    calls.error = UnavailableError("gone")
    convoy = Convoy(calls.send, most=100, at_once=4)
    answers = await asyncio.gather(convoy([1]), convoy([13]), return_exceptions=True)
    assert list(answers) == [calls.error] * 2
    assert len(calls.sent) == 1


async def test_who_gives_up_leaves_the_others_their_answers() -> None:
    calls = Calls(held=True)
    convoy = Convoy(calls.send, most=100, at_once=4)
    one, two = asyncio.create_task(convoy([1])), asyncio.create_task(convoy([2]))
    await turns()
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    calls.let_go()
    assert await two == [20]

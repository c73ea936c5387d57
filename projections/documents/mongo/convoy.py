"""Convoys: what several ask of one collection while a call is under way goes together in the next one.

Where events trickle in, some seventy consumers change a few documents each; where pages are asked for, many look for the same people. A driver's call
costs the same for one document as for a hundred, so that calls grow with the load, and nobody waits where there is none.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from domain.errors import UnavailableError

Q = TypeVar("Q")
A = TypeVar("A")

FULL: Final = 250
"""Items from which a call goes off beside others; fewer wait for the one under way."""


@dataclass(frozen=True, slots=True)
class _Party(Generic[Q, A]):
    """Who travels together: the items of one who asked, and where the answers go."""

    items: Sequence[Q]
    answers: "asyncio.Future[Sequence[A]]"

    def settle(self, answers: Sequence[A] | Exception) -> None:
        if self.answers.done():
            return
        if isinstance(answers, Exception):
            self.answers.set_exception(answers)
        else:
            self.answers.set_result(answers)


class Convoy(Generic[Q, A]):
    """``send`` answers each of its items; it may be given those of many who asked, up to ``most``, and is under way ``at_once`` times at most. It begins
    after it was asked for, never before. Each item must stand for itself: where a call is refused, everyone's own are sent alone."""

    def __init__(self, send: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], *, most: int, at_once: int) -> None:
        self._send = send
        self._most = most
        self._at_once = at_once
        self._waiting: deque[_Party[Q, A]] = deque()
        self._items = 0
        self._under_way: set[asyncio.Task[None]] = set()
        self._called = False

    async def __call__(self, items: Sequence[Q]) -> Sequence[A]:
        """Raises what ``send`` raises."""
        party: _Party[Q, A] = _Party(items, asyncio.get_running_loop().create_future())
        self._waiting.append(party)
        self._items += len(items)
        if not self._called:
            # In a turn of its own, for those who ask in this one too.
            self._called = True
            asyncio.get_running_loop().call_soon(self._depart)
        return await party.answers

    def _depart(self) -> None:
        self._called = False
        while self._waiting and (not self._under_way or self._items >= FULL) and len(self._under_way) < self._at_once:
            task = asyncio.get_running_loop().create_task(self._carry(self._next()))
            self._under_way.add(task)
            task.add_done_callback(self._arrived)

    def _arrived(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        self._depart()

    def _next(self) -> Sequence[_Party[Q, A]]:
        parties: list[_Party[Q, A]] = []
        count = 0
        while self._waiting and (not parties or count + len(self._waiting[0].items) <= self._most):
            party = self._waiting.popleft()
            self._items -= len(party.items)
            # Whoever has given up meanwhile is left behind.
            if not party.answers.done():
                parties.append(party)
                count += len(party.items)
        return parties

    async def _carry(self, parties: Sequence[_Party[Q, A]]) -> None:
        if not parties:
            return
        try:
            answers = await self._send([item for party in parties for item in party.items])
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            if len(parties) > 1 and not isinstance(error, UnavailableError):
                for party in parties:
                    await self._carry([party])
                return
            for party in parties:
                party.settle(error)
            return
        start = 0
        for party in parties:
            party.settle(answers[start : start + len(party.items)])
            start += len(party.items)

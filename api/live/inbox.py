"""An inbox: what one subscription has not been given yet, bounded."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from projections.signals import Signal

CAPACITY: Final = 500


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event's signals for one subscription. ``others``: when it was handed out, all up to here had been, in every shard."""

    shard: int
    position: int
    signals: tuple[Signal, ...]
    others: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Lag:
    """The end of a subscription that could not go on. ``count`` deliveries found no room; 0: the signals themselves stand still."""

    count: int


class Inbox:
    """Filled by the router, emptied by one subscription. What finds no room is counted, and the subscription ends behind what did."""

    def __init__(self, after: Mapping[int, int], capacity: int = CAPACITY) -> None:
        self._after = dict(after)
        self._capacity = capacity
        self._waiting: deque[Delivery] = deque()
        self._dropped = 0
        self._ended = False
        self._filled = asyncio.Event()

    def offer(self, delivery: Delivery) -> None:
        """Takes what the subscription has not seen in its replay."""
        if delivery.position <= self._after.get(delivery.shard, 0):
            return
        if self._dropped or len(self._waiting) >= self._capacity:
            self._dropped += 1
        else:
            self._waiting.append(delivery)
        self._filled.set()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._filled.set()

    async def take(self, most: int) -> Sequence[Delivery] | Lag:
        """The next deliveries, up to ``most``, waited for; a Lag once there are none left and some were lost."""
        while not self._waiting and not self._dropped and not self._ended:
            self._filled.clear()
            await self._filled.wait()
        if not self._waiting:
            return Lag(self._dropped)
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

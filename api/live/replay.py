"""Replay: what a subscription has missed, read from the store in the order in which it was recorded, before it listens."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from heapq import heapify, heappop, heapreplace
from itertools import groupby

from api.live.inbox import Delivery
from api.live.router import FOLLOWS, PAGE, settled
from projections.documents.port import Documents
from projections.signals import Signal, SignalKind, author_topic, is_told, read_signals


class Topics:
    """What a subscription listens to, as the follows and unfollows that pass by change it.

    ``since`` is how far in each shard they are known already: what lies behind that changes nothing.
    """

    def __init__(self, topics: Iterable[str], since: Mapping[int, int]) -> None:
        self.names = set(topics)
        self.since = since

    def wants(self, signal: Signal) -> bool:
        """Whether the signal is to be delivered; a follow is not, but counts."""
        if self.names.isdisjoint(signal.topics):
            return False
        if signal.kind not in FOLLOWS:
            return True
        if signal.account is not None and signal.position > self.since.get(signal.shard, 0):
            turn = self.names.add if signal.kind is SignalKind.FOLLOW_ADDED else self.names.discard
            turn(author_topic(signal.account))
        return False


class _Run:
    """One shard's events in (after, upto], read page by page."""

    def __init__(self, documents: Documents, shard: int, after: int, upto: int, *, told: bool) -> None:
        self.shard = shard
        self._told = told
        self._documents = documents
        self._reached = after
        self._upto = upto
        self._events: deque[list[Signal]] = deque()

    async def next(self) -> list[Signal]:
        """The signals of the next event; none at the end."""
        while not self._events and self._reached < self._upto:
            page = await read_signals(self._documents, self.shard, self._reached, PAGE, told=self._told)
            covered, self._reached = settled(page, self._upto)
            self._events += [list(group) for _, group in groupby(covered, key=lambda signal: signal.position)]
        return self._events.popleft() if self._events else []


async def replay(
    documents: Documents, after: Mapping[int, int], upto: Mapping[int, int], topics: Topics
) -> AsyncGenerator[Delivery, None]:
    """What was to be delivered of (after, upto], all shards in one order of time; ``upto`` is covered by the signals' checkpoint."""
    passed = dict(after)
    # Follows that pass by bring no such topic.
    told = is_told(topics.names)
    runs = [_Run(documents, shard, after.get(shard, 0), end, told=told) for shard, end in upto.items()]
    firsts = await asyncio.gather(*(run.next() for run in runs))
    heads = [(first[0].at, run.shard, first, run) for first, run in zip(firsts, runs, strict=True) if first]
    heapify(heads)
    while heads:
        _, shard, signals, run = heads[0]
        wanted = tuple(signal for signal in signals if topics.wants(signal))
        if wanted:
            yield Delivery(shard, signals[0].position, wanted, dict(passed))
        # Not sooner: who breaks off within an event gets all of it again.
        passed[shard] = signals[0].position
        following = await run.next()
        if following:
            heapreplace(heads, (following[0].at, shard, following, run))
        else:
            heappop(heads)

"""Folds histories into real stores the way workers may: shard by shard in any order, in batches of any size, and some of it twice."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet

from domain.envelope import Recorded
from projections import families
from projections.documents.port import After, Collection, Document, Documents
from projections.folding import Family
from projections.home import home_family
from projections.homefeed import HomePage, home_page, tend_home
from projections.paging import Page, Window
from projections.runtime.applying import run_deferred
from projections.runtime.batches import fold_batch
from projections.timelines import HomeLimits
from tests.contract.families_history import SHARDS
from tests.runtime_kit import Faults

T = TypeVar("T")


def seeds(count: int) -> list[int | ParameterSet]:
    """For parametrize: the first world is among the fast tests, the others among the slow ones."""
    return [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, count))]


OpenStore = Callable[[Sequence[Collection]], AbstractAsyncContextManager[Documents]]
"""Opens a store of its own with these collections."""

SMALL = HomeLimits(kept=6, slack=2, filled=4, push_threshold=2, step=2, trim_every=1, apart=0, ahead=0)
"""Bounds so low that a few posts reach all of them."""
LARGE_PUSH = HomeLimits(kept=6, slack=2, filled=4, push_threshold=100, step=2, trim_every=1, apart=0, ahead=0)

APART_PUSHING = HomeLimits(kept=24, slack=4, filled=20, push_threshold=100, step=2, trim_every=1, apart=3, ahead=16)
"""As small as they can be where a post is not to stand in a home twice in a row."""
APART_MERGING = replace(APART_PUSHING, push_threshold=2)


def with_home(limits: HomeLimits) -> Sequence[Family]:
    """Home under these limits, and what its pages hydrate from."""
    hydrated = [family for family in families.ALL if family.name in {"accounts", "posts", "viewer_edges"}]
    return [*hydrated, home_family(limits)]


def collections_of(some: Sequence[Family]) -> Sequence[Collection]:
    return [collection for family in some for collection in family.collections]


async def fold(documents: Documents, family: Family, events: Sequence[Recorded]) -> None:
    """One batch of one shard: state first, then what was deferred."""
    while events:
        batch = fold_batch(family, events, parked=lambda _: False, operations=1_000_000)
        assert not batch.letters
        for collection, docs in batch.docs.items():
            await documents.apply(collection, docs)
        for collection, rows in batch.rows.items():
            await documents.put(collection, rows)
        await run_deferred(documents, batch.deferred)
        events = events[batch.events :]


@dataclass
class Worker:
    """One family's way through one shard."""

    family: Family
    events: Sequence[Recorded]
    done: int = 0

    async def step(self, documents: Documents, rng: random.Random, *, again: bool = True) -> None:
        """Folds the next few events, and sometimes those before them once more: a checkpoint that was not saved."""
        start = max(0, self.done - rng.randrange(4)) if again and rng.random() < 0.3 else self.done
        end = min(len(self.events), self.done + rng.randrange(1, 6))
        await fold(documents, self.family, self.events[start:end])
        # Another process may have gone further meanwhile.
        self.done = max(self.done, end)

    @property
    def busy(self) -> bool:
        return self.done < len(self.events)


def workers_of(some: Sequence[Family], log: Sequence[Recorded]) -> Sequence[Worker]:
    shards = [[recorded for recorded in log if recorded.shard == shard] for shard in range(SHARDS)]
    return [Worker(family, events) for family in some for events in shards]


async def fold_all(documents: Documents, workers: Sequence[Worker], rng: random.Random) -> None:
    """In an order that ``rng`` draws."""
    while waiting := [worker for worker in workers if worker.busy]:
        await rng.choice(waiting).step(documents, rng)


async def contents(documents: Documents, collection: Collection) -> Mapping[str, Document]:
    found = await documents.scan(collection, limit=10_000)
    return {row.id: row.fields for row in found}


async def visit(documents: Documents, viewer: str, now: int, limits: HomeLimits, builder: str = "api") -> HomePage:
    """What the api does when somebody opens their home."""
    home = await home_page(documents, viewer, Window(3), now, limits)
    if home.tend:
        await tend_home(documents, viewer, builder, now, limits)
    return home


async def walk(read: Callable[[Window], Awaitable[Page[T]]], first: int, *, backward: bool = False) -> Sequence[T]:
    """All items of a list, page by page. Checks what every page promises: its size, its order, and that more follows only where it says so."""
    nodes: list[T] = []
    after: After | None = None
    for _ in range(1_000):
        page = await read(Window(first, after, backward))
        assert len(page.items) <= first
        here = [item.node for item in page.items]
        nodes = here + nodes if backward else nodes + here
        more, after = (page.has_previous, page.start) if backward else (page.has_next, page.end)
        if not more:
            return nodes
        assert after is not None
    raise AssertionError("the list does not end")


class Crash(Exception):  # noqa: N818 -- what befalls a process is no error of its code
    """The process died."""


class Interrupted(Faults):
    """Lets something else happen, from beginning to end, before one of the calls: as if this process had been paused there."""

    def __init__(self, at: int, other: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._left = at
        self._other = other

    async def before(self, operation: str) -> None:
        await super().before(operation)
        self._left -= 1
        if self._left == -1:
            self.fired[operation, "paused"] += 1
            await self._other()


class Counted(Faults):
    """Counts finds, and the waves that they come in: a wave begins when nothing else is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.waves = 0
        self._open = 0

    @property
    def finds(self) -> int:
        return sum(self.seen[name] for name in ("get", "page", "page_many", "count", "scan"))

    async def before(self, operation: str) -> None:
        await super().before(operation)
        self.waves += not self._open
        self._open += 1
        # Whoever starts in this wave has started before the first answer comes.
        await asyncio.sleep(0)

    async def after(self, operation: str) -> None:
        await super().after(operation)
        self._open -= 1

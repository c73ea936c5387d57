"""Scenes for home's two-sided races, and how they are played at every point where one side can be paused."""

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial

from projections.documents.port import Documents
from projections.homefeed import home_page
from projections.paging import Page, Window
from projections.rules import FeedItem
from projections.timelines import (
    HomeLimits,
    Timeline,
    get_timelines,
)
from tests.contract.families_history import SHARDS, World
from tests.contract.families_kit import (
    Interrupted,
    OpenStore,
    collections_of,
    fold,
    visit,
    walk,
    with_home,
)
from tests.contract.families_oracle import Oracle
from tests.runtime_kit import FaultyDocuments


class Scene:
    """A world, its documents, and one checkpoint a shard: who catches up takes everything since that again, as a worker that takes over does."""

    def __init__(self, store: Documents, limits: HomeLimits) -> None:
        self.store = store
        self.world = World()
        self.limits = limits
        self._done: Counter[int] = Counter()

    async def catch_up(self, documents: Documents | None = None) -> None:
        for shard in range(SHARDS):
            events = [recorded for recorded in self.world.log if recorded.shard == shard]
            for family in with_home(self.limits):
                home = family.name == "home"
                await fold(documents if documents and home else self.store, family, events[self._done[shard] :])
            self._done[shard] = max(self._done[shard], len(events))

    async def visit(self, who: str, documents: Documents | None = None) -> None:
        await visit(documents or self.store, who, self.world.now, self.limits)

    async def timeline(self, owner: str) -> Timeline:
        return (await get_timelines(self.store, [owner]))[owner]

    async def read(self, who: str, documents: Documents | None = None, first: int = 3) -> list[str]:
        async def page(window: Window) -> Page[FeedItem]:
            return (await home_page(documents or self.store, who, window, self.world.now, self.limits)).page

        return [item.id for item in await walk(page, first)]

    async def check(self, who: str) -> None:
        for first in (1, 3, 50):
            assert await self.read(who, first=first) == Oracle(self.world).home(who, self.limits.apart)


Act = Callable[[Scene], Awaitable[None]]
Paused = Callable[[Scene, Documents], Awaitable[None]]


async def at_every_call(
    open_store: OpenStore, limits: HomeLimits, before: Act, paused: Paused, other: Act, after: Act
) -> None:
    """Plays the scene once for each store call of ``paused``, and ``other`` as a whole in front of that call."""
    for at in itertools.count():
        async with open_store(collections_of(with_home(limits))) as store:
            scene = Scene(store, limits)
            await before(scene)
            interrupted = Interrupted(at, partial(other, scene))
            await paused(scene, FaultyDocuments(store, interrupted))
            if not interrupted.fired:
                assert at > 1
                return
            await scene.catch_up()
            await after(scene)


async def check_bob(scene: Scene) -> None:
    await scene.check("bob")


async def bob_follows_two(scene: Scene) -> None:
    scene.world.follow("bob", "ada")
    scene.world.follow("bob", "cyd")
    scene.world.say("ada", 2)
    scene.world.say("cyd", 2)
    await scene.catch_up()


async def bob_reads_two(scene: Scene) -> None:
    await bob_follows_two(scene)
    await scene.visit("bob")


async def bob_visits(scene: Scene) -> None:
    await scene.visit("bob")


async def bob_builds(scene: Scene, documents: Documents) -> None:
    await scene.visit("bob", documents)


async def ada_posts(scene: Scene) -> None:
    scene.world.say("ada")
    await scene.catch_up()


async def ada_posts_slowly(scene: Scene, documents: Documents) -> None:
    scene.world.say("ada")
    await scene.catch_up(documents)


async def cyd_posts_much(scene: Scene) -> None:
    scene.world.say("cyd", 12)
    await scene.catch_up()

"""What homes promise on every document store of posts that several people repost. Used as families_contract is."""

import random
from collections.abc import Sequence

import msgspec
import pytest

from projections.homefeed import home_page
from projections.paging import Window
from projections.timelines import TIMELINES, HomeLimits, Timeline, put_entries, timeline_entries
from tests.contract.families_contract import check_homes
from tests.contract.families_history import PEOPLE, Action, World
from tests.contract.families_kit import (
    APART_MERGING,
    APART_PUSHING,
    OpenStore,
    collections_of,
    seeds,
    visit,
    with_home,
    workers_of,
)
from tests.contract.families_oracle import Oracle
from tests.contract.home_races_kit import Scene

BOTH = pytest.mark.parametrize("limits", [APART_MERGING, APART_PUSHING], ids=["merging", "pushing"])

WRITE, FOLLOW, UNFOLLOW, REPLY, REPOST, UNDO, DELETE, MUTE = 0, 3, 6, 12, 14, 16, 19, 8
"""Actions of families_history, by number."""
OFTEN = (WRITE, WRITE, REPLY, REPOST, REPOST, REPOST, REPOST, REPOST, UNDO)
SELDOM = (FOLLOW, FOLLOW, FOLLOW, UNFOLLOW, MUTE, DELETE)


def actions(rng: random.Random, length: int, *, seldom: float = 0.1) -> Sequence[Action]:
    """Mostly reposts, of the same few posts."""
    kinds = [rng.choice(SELDOM if rng.random() < seldom else OFTEN) for _ in range(length)]
    return [(kind, rng.randrange(6), rng.randrange(48), rng.randrange(48)) for kind in kinds]


def crowd(rng: random.Random, length: int) -> World:
    """A world in which most follow each other."""
    world = World()
    for follower in PEOPLE:
        for followee in PEOPLE:
            if follower != followee and rng.random() < 0.8:
                world.follow(follower, followee)
    for action in actions(rng, length):
        world.act(action)
    return world


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(2))
@BOTH
async def test_homes_without_repeats_equal_the_oracle(open_store: OpenStore, seed: int, limits: HomeLimits) -> None:
    rng, some = random.Random(seed), with_home(limits)
    world = crowd(rng, 140)
    async with open_store(collections_of(some)) as documents:
        workers = workers_of(some, world.log)
        while waiting := [worker for worker in workers if worker.busy]:
            worker = rng.choice(waiting)
            await worker.step(documents, rng)
            if rng.random() < 0.3:
                await visit(documents, rng.choice(PEOPLE), worker.events[worker.done - 1].recorded_at, limits)
        assert any(Oracle(world).home(viewer) != Oracle(world).home(viewer, limits.apart) for viewer in PEOPLE)
        await check_homes(documents, world, limits)


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(2))
@pytest.mark.parametrize("undone", [False, True], ids=["growing", "undone"])
@BOTH
async def test_who_goes_down_meets_once_what_stands_there(
    open_store: OpenStore, seed: int, undone: bool, limits: HomeLimits
) -> None:
    rng = random.Random(seed)
    async with open_store(collections_of(with_home(limits))) as store:
        scene = Scene(store, limits)
        scene.world = crowd(rng, 120)
        await scene.catch_up()
        for viewer in PEOPLE[:3]:
            if rng.random() < 0.7:
                await scene.visit(viewer)
            before = Oracle(scene.world).home(viewer, limits.apart)
            met, always = await walked(scene, viewer, rng, undone=undone)
            assert len(met) == len(set(met))
            assert always <= set(met)
            if not undone:
                assert met == before


async def walked(scene: Scene, viewer: str, rng: random.Random, *, undone: bool) -> tuple[list[str], set[str]]:
    """A home by pages of any sizes, while things go on; and what stood in it all the time."""
    world, limits = scene.world, scene.limits
    met: list[str] = []
    always = set(Oracle(world).home(viewer, limits.apart))
    window = Window(rng.randint(1, 6))
    while True:
        page = (await home_page(scene.store, viewer, window, world.now, limits)).page
        met += [item.node.id for item in page.items]
        if not page.has_next:
            return met, always
        for kind in rng.choices((WRITE, REPOST, REPOST, UNDO, DELETE) if undone else (WRITE, REPOST), k=5):
            world.act((kind, rng.randrange(6), rng.randrange(48), 1))
        await scene.catch_up()
        always &= set(Oracle(world).home(viewer, limits.apart))
        window = Window(rng.randint(1, 6), page.end)


BUILT = pytest.mark.parametrize("built", [False, True], ids=["merged", "built"])


@BUILT
@BOTH
async def test_a_post_comes_by_the_first_who_reposts_it_while_that_stands(
    open_store: OpenStore, built: bool, limits: HomeLimits
) -> None:
    async with open_store(collections_of(with_home(limits))) as store:
        scene = Scene(store, limits)
        world = scene.world
        for followee in ("ada", "cyd", "dee"):
            world.follow("bob", followee)
        world.say("eve")
        if built:
            await scene.visit("bob")

        async def shown() -> list[tuple[str, str | None]]:
            await scene.catch_up()
            page = (await home_page(store, "bob", Window(5), world.now, limits)).page
            by = [item.node.reposted_by for item in page.items]
            return [(item.node.id, one.id if one else None) for item, one in zip(page.items, by, strict=True)]

        for who in ("ada", "cyd", "dee"):
            world.repost(who, "post0")
        assert await shown() == [("ada-post0", "ada")]
        world.undo("ada", "post0")
        assert await shown() == [("cyd-post0", "cyd")]
        world.repost("ada", "post0")
        assert await shown() == [("cyd-post0", "cyd")]
        world.follow("bob", "cyd", reposts=False)
        assert await shown() == [("dee-post0", "dee")]
        world.follow("bob", "eve")
        assert await shown() == [("post0", None)]
        world.unfollow("bob", "eve")
        world.undo("dee", "post0")
        assert await shown() == [("ada-post0", "ada")]


@BUILT
@BOTH
async def test_a_post_may_come_again_further_up(open_store: OpenStore, built: bool, limits: HomeLimits) -> None:
    async with open_store(collections_of(with_home(limits))) as store:
        scene = Scene(store, limits)
        scene.world.follow("bob", "ada")
        scene.world.follow("bob", "cyd")
        if built:
            await scene.visit("bob")
        scene.world.say("ada", limits.apart)
        scene.world.repost("cyd", "post0")
        await scene.catch_up()
        assert await scene.read("bob") == [f"post{number}" for number in reversed(range(limits.apart))]
        scene.world.undo("cyd", "post0")
        scene.world.say("ada")
        scene.world.repost("cyd", "post0")
        await scene.catch_up()
        assert (await scene.read("bob"))[0] == "cyd-post0"


async def test_a_timeline_of_before_there_were_brinks_is_read_and_trimmed(open_store: OpenStore) -> None:
    limits = APART_PUSHING
    async with open_store(collections_of(with_home(limits))) as store:
        scene = Scene(store, limits)
        scene.world.follow("bob", "ada")
        scene.world.say("ada", 30)
        await scene.catch_up()
        await scene.visit("bob")
        standing = await scene.timeline("bob")
        assert standing.floor < standing.brink
        old = msgspec.to_builtins(standing)
        del old["brink"]
        assert await store.put_if(TIMELINES, "dee", None, old | {"owner": "dee"})
        rows = await timeline_entries(store, "bob", after=None, limit=100)
        await put_entries(store, msgspec.convert(old | {"owner": "dee"}, Timeline), rows)
        scene.world.follow("dee", "ada")
        scene.world.say("ada", 10)
        await scene.catch_up()
        assert (await scene.timeline("dee")).brink > standing.floor
        await scene.check("dee")

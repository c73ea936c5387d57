"""What timelines promise on every document store when nothing races. Used as families_contract is."""

from contextlib import suppress

from projections.homefeed import home_page
from projections.latches import pulled_authors
from projections.paging import Window
from projections.timelines import HomeLimits, build, drop, timeline_entries, touch
from tests.contract.families_kit import LARGE_PUSH, SMALL, Crash, Interrupted, OpenStore, collections_of, with_home
from tests.contract.families_oracle import Oracle
from tests.contract.home_races_kit import Scene, ada_posts, bob_follows_two, bob_reads_two
from tests.runtime_kit import FaultyDocuments


async def test_a_build_whose_builder_died_is_taken_over(open_store: OpenStore) -> None:
    async def die() -> None:
        raise Crash

    async with open_store(collections_of(with_home(SMALL))) as store:
        scene = Scene(store, SMALL)
        await bob_follows_two(scene)
        for at in range(20):
            with suppress(Crash):
                await build(FaultyDocuments(store, Interrupted(at, die)), "bob", f"{at}", scene.world.now, SMALL)
            await ada_posts(scene)
            await scene.check("bob")
            scene.world.now += SMALL.takeover
        assert (await scene.timeline("bob")).ready


async def test_a_timeline_is_not_dropped_when_its_owner_was_here_meanwhile(open_store: OpenStore) -> None:
    async with open_store(collections_of(with_home(SMALL))) as store:
        scene = Scene(store, SMALL)
        await bob_reads_two(scene)
        seen = await scene.timeline("bob")
        await touch(store, "bob", scene.world.now + 1)
        await drop(store, seen, SMALL)
        assert (await scene.timeline("bob")).ready
        await drop(store, await scene.timeline("bob"), SMALL)
        assert not (await scene.timeline("bob")).live
        assert not await timeline_entries(store, "bob", after=None, limit=10)


async def test_an_unfollow_ends_the_merging(open_store: OpenStore) -> None:
    async with open_store(collections_of(with_home(SMALL))) as store:
        scene = Scene(store, SMALL)
        for follower in ("bob", "cyd", "dee"):
            scene.world.follow(follower, "ada")
        scene.world.say("ada")
        await scene.catch_up()
        assert await pulled_authors(store, "bob") == ["ada"]
        scene.world.unfollow("bob", "ada")
        await scene.catch_up()
        assert not await pulled_authors(store, "bob")
        scene.world.follow("bob", "ada")
        await scene.catch_up()
        assert await pulled_authors(store, "bob") == ["ada"]


async def test_a_follow_brings_more_than_a_timeline_holds(open_store: OpenStore) -> None:
    async with open_store(collections_of(with_home(LARGE_PUSH))) as store:
        scene = Scene(store, LARGE_PUSH)
        scene.world.say("ada", LARGE_PUSH.kept + 1)
        await scene.catch_up()
        await scene.visit("bob")
        scene.world.follow("bob", "ada")
        await scene.catch_up()
        await scene.check("bob")
        assert (await scene.timeline("bob")).floor == min(await _keys(scene, "bob"))


async def _keys(scene: Scene, owner: str) -> list[str]:
    return [entry.key for entry in await timeline_entries(scene.store, owner, after=None, limit=100)]


async def test_a_repost_made_again_stands_once_and_newer(open_store: OpenStore) -> None:
    async with open_store(collections_of(with_home(LARGE_PUSH))) as store:
        scene = Scene(store, LARGE_PUSH)
        await bob_reads_two(scene)
        scene.world.repost("ada", "post2")
        scene.world.say("ada")
        scene.world.undo("ada", "post2")
        await scene.catch_up()
        await scene.check("bob")
        scene.world.repost("ada", "post2")
        await scene.catch_up()
        assert (await scene.read("bob"))[0] == "ada-post2"
        await scene.check("bob")


async def test_a_page_fills_up_past_what_rules_hide(open_store: OpenStore) -> None:
    limits = HomeLimits()
    async with open_store(collections_of(with_home(limits))) as store:
        scene = Scene(store, limits)
        scene.world.say("dee")
        scene.world.follow("bob", "ada")
        scene.world.say("ada", 40)
        for _ in range(8):
            scene.world.answer("ada", "post0")
        await scene.catch_up()
        await scene.visit("bob")
        home = await home_page(store, "bob", Window(10), scene.world.now, limits)
        assert [item.node.id for item in home.page.items] == Oracle(scene.world).home("bob")[:10]

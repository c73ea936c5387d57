"""Home's two-sided races, each played at every point where one side can be paused: whoever comes second must see the other. Run on every store, as
families_contract is.
"""

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from projections.documents.port import Documents
from projections.homefeed import home_page
from projections.paging import Page, Window
from projections.rules import FeedItem
from projections.timelines import (
    HomeLimits,
    Timeline,
    build,
    drop,
    get_timelines,
    pulled_authors,
    timeline_entries,
    touch,
)
from tests.contract.families_history import SHARDS, Oracle, World
from tests.contract.families_kit import (
    LARGE_PUSH,
    SMALL,
    Crash,
    Interrupted,
    OpenStore,
    collections_of,
    fold,
    visit,
    walk,
    with_home,
)
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
            assert await self.read(who, first=first) == Oracle(self.world).home(who)


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


async def test_a_post_meets_a_build(open_store: OpenStore) -> None:
    await at_every_call(open_store, SMALL, bob_follows_two, ada_posts_slowly, bob_visits, check_bob)


async def test_a_build_meets_a_post(open_store: OpenStore) -> None:
    await at_every_call(open_store, SMALL, bob_follows_two, bob_builds, ada_posts, check_bob)


async def test_a_build_meets_more_posts_than_a_timeline_holds(open_store: OpenStore) -> None:
    await at_every_call(open_store, LARGE_PUSH, bob_follows_two, bob_builds, cyd_posts_much, check_bob)


async def test_a_build_meets_another_build(open_store: OpenStore) -> None:
    async def much_later(scene: Scene) -> None:
        scene.world.now += scene.limits.takeover
        await scene.visit("bob")
        await ada_posts(scene)

    await at_every_call(open_store, SMALL, bob_follows_two, bob_builds, much_later, check_bob)


async def test_a_follow_meets_a_build(open_store: OpenStore) -> None:
    async def before(scene: Scene) -> None:
        await bob_follows_two(scene)
        scene.world.say("dee", 3)
        await scene.catch_up()

    async def follows(scene: Scene, documents: Documents) -> None:
        scene.world.follow("bob", "dee")
        await scene.catch_up(documents)

    async def dee_follows(scene: Scene) -> None:
        scene.world.follow("bob", "dee")
        await scene.catch_up()

    await at_every_call(open_store, SMALL, before, follows, bob_visits, check_bob)
    await at_every_call(open_store, SMALL, before, bob_builds, dee_follows, check_bob)


async def test_a_follow_meets_posts_and_a_trim(open_store: OpenStore) -> None:
    async def before(scene: Scene) -> None:
        await bob_reads_two(scene)
        scene.world.say("dee", 4)
        await scene.catch_up()

    async def follows(scene: Scene, documents: Documents) -> None:
        scene.world.follow("bob", "dee")
        await scene.catch_up(documents)

    async def both_post(scene: Scene) -> None:
        scene.world.say("dee", 2)
        await cyd_posts_much(scene)

    await at_every_call(open_store, SMALL, before, follows, both_post, check_bob)
    await at_every_call(open_store, LARGE_PUSH, before, follows, both_post, check_bob)


async def test_a_trim_meets_another_trim(open_store: OpenStore) -> None:
    async def ada_fills(scene: Scene, documents: Documents) -> None:
        scene.world.say("ada", 6)
        await scene.catch_up(documents)

    await at_every_call(open_store, LARGE_PUSH, bob_reads_two, ada_fills, cyd_posts_much, check_bob)


async def test_a_late_trim_spares_a_later_build(open_store: OpenStore) -> None:
    """Its floor is above that of the timeline that has taken the place of its own."""

    async def before(scene: Scene) -> None:
        scene.world.say("dee", 8)
        await bob_reads_two(scene)

    async def ada_fills(scene: Scene, documents: Documents) -> None:
        scene.world.say("ada", 6)
        await scene.catch_up(documents)

    async def anew(scene: Scene) -> None:
        scene.world.rest()
        scene.world.say("cyd")
        await scene.catch_up()
        scene.world.unfollow("bob", "ada")
        scene.world.follow("bob", "dee")
        await scene.catch_up()
        await scene.visit("bob")

    await at_every_call(open_store, LARGE_PUSH, before, ada_fills, anew, check_bob)


async def test_an_imported_post_meets_a_trim(open_store: OpenStore) -> None:
    """It may get its row when the floor has passed it: the row is not shown, and the post is merged below the floor."""

    async def imports(scene: Scene, documents: Documents) -> None:
        scene.world.import_post("ada", 4)
        await scene.catch_up(documents)

    await at_every_call(open_store, LARGE_PUSH, bob_reads_two, imports, cyd_posts_much, check_bob)


async def test_a_build_that_was_taken_over_does_not_end_the_other(open_store: OpenStore) -> None:
    async def before(scene: Scene) -> None:
        scene.world.say("dee", 8)
        await bob_follows_two(scene)
        scene.world.say("ada", 4)
        await scene.catch_up()

    async def die() -> None:
        raise Crash

    async def another_begins(scene: Scene) -> None:
        scene.world.now += scene.limits.takeover
        scene.world.unfollow("bob", "ada")
        scene.world.follow("bob", "dee")
        await scene.catch_up()
        with suppress(Crash):
            # Its seventh call comes after its claim.
            await build(
                FaultyDocuments(scene.store, Interrupted(6, die)), "bob", "other", scene.world.now, scene.limits
            )

    await at_every_call(open_store, LARGE_PUSH, before, bob_builds, another_begins, check_bob)


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


async def test_a_drop_meets_its_owner(open_store: OpenStore) -> None:
    async def ada_posts_after_a_week(scene: Scene, documents: Documents) -> None:
        scene.world.rest()
        await ada_posts_slowly(scene, documents)

    async def bob_visits_twice(scene: Scene) -> None:
        await scene.visit("bob")
        await scene.visit("bob")

    await at_every_call(open_store, SMALL, bob_reads_two, ada_posts_after_a_week, bob_visits_twice, check_bob)


async def test_an_author_turns_from_push_to_merge(open_store: OpenStore) -> None:
    async def before(scene: Scene) -> None:
        await bob_reads_two(scene)
        scene.world.follow("dee", "ada")
        scene.world.follow("cyd", "ada")
        await scene.catch_up()

    async def more(scene: Scene) -> None:
        scene.world.follow("eve", "ada")
        await scene.catch_up()
        await scene.visit("eve")
        scene.world.unfollow("dee", "ada")
        scene.world.follow("dee", "ada")
        await ada_posts(scene)

    async def check_all(scene: Scene) -> None:
        scene.world.say("ada")
        await scene.catch_up()
        for who in ("ada", "bob", "cyd", "dee", "eve"):
            await scene.check(who)

    await at_every_call(open_store, SMALL, before, ada_posts_slowly, more, check_all)


async def test_a_reader_meets_trims_and_drops(open_store: OpenStore) -> None:
    """Whoever walks down their home misses nothing that was there all the time."""

    async def before(scene: Scene) -> None:
        await bob_follows_two(scene)
        scene.world.say("ada", 6)
        await scene.catch_up()
        await scene.visit("bob")

    async def reads(scene: Scene, documents: Documents) -> None:
        standing = Oracle(scene.world).home("bob")
        there = await scene.read("bob", documents, first=2)
        assert [item for item in there if item in standing] == standing

    async def nothing(_: Scene) -> None:
        """The reading itself is what is checked."""

    async def drops(scene: Scene) -> None:
        scene.world.rest()
        await ada_posts(scene)

    async def cyd_posts_some(scene: Scene) -> None:
        scene.world.say("cyd", 4)
        await scene.catch_up()

    await at_every_call(open_store, LARGE_PUSH, before, reads, cyd_posts_much, nothing)

    async def before_merging(scene: Scene) -> None:
        for follower in ("bob", "dee", "eve"):
            scene.world.follow(follower, "ada")
        await bob_follows_two(scene)
        await scene.visit("bob")
        for _ in range(3):
            scene.world.say("cyd")
            scene.world.say("ada")
        await scene.catch_up()

    await at_every_call(open_store, LARGE_PUSH, before, reads, cyd_posts_some, nothing)
    await at_every_call(open_store, SMALL, before_merging, reads, cyd_posts_some, nothing)
    await at_every_call(open_store, SMALL, before_merging, reads, cyd_posts_much, nothing)
    await at_every_call(open_store, LARGE_PUSH, before, reads, drops, nothing)


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

"""Home's two-sided races, each played at every point where one side can be paused: whoever comes second must see the other. Run on every store, as
families_contract is.
"""

from contextlib import suppress

import pytest

from projections.documents.port import Documents
from projections.timelines import build
from tests.contract.families_kit import LARGE_PUSH, SMALL, Crash, Interrupted, OpenStore
from tests.contract.families_oracle import Oracle
from tests.contract.home_races_kit import (
    Scene,
    ada_posts,
    ada_posts_slowly,
    at_every_call,
    bob_builds,
    bob_follows_two,
    bob_reads_two,
    bob_visits,
    check_bob,
    cyd_posts_much,
)
from tests.runtime_kit import FaultyDocuments


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


@pytest.mark.slow
async def test_a_trim_meets_another_trim(open_store: OpenStore) -> None:
    async def ada_fills(scene: Scene, documents: Documents) -> None:
        scene.world.say("ada", 6)
        await scene.catch_up(documents)

    await at_every_call(open_store, LARGE_PUSH, bob_reads_two, ada_fills, cyd_posts_much, check_bob)


@pytest.mark.slow
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


@pytest.mark.slow
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

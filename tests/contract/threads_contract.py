"""What threads promise on every document store: what hangs together is shown in its shape, in few waves however large it is."""

import random
from collections.abc import Sequence

import pytest

from projections import families, threads
from projections.documents.port import Documents
from projections.paging import Window
from projections.reading import replies_page
from projections.rules import PostView, Tombstone
from projections.threads import Shape, Thread, ThreadSort, read_thread
from tests.contract.families_history import FORGOTTEN, PEOPLE, World, random_actions
from tests.contract.families_kit import Counted, OpenStore, collections_of, fold_all, seeds, workers_of
from tests.contract.families_oracle import Oracle
from tests.runtime_kit import FaultyDocuments

DEEP = Shape(depth=50, branching=100)
SHOWN = [family for family in families.ALL if family.name in {"accounts", "posts", "viewer_edges"}]


def named(views: Sequence[PostView | Tombstone]) -> list[str]:
    return [view.id if isinstance(view, PostView) else f"({view.id})" for view in views]


def replies(thread: Thread) -> list[str]:
    return named([reply.post for reply in thread.replies])


async def folded(documents: Documents, world: World) -> None:
    await fold_all(documents, workers_of(SHOWN, world.log), random.Random(1))


@pytest.mark.slow
@pytest.mark.parametrize("whole", [400, 2], ids=["small", "large"])
@pytest.mark.parametrize("seed", seeds(2))
async def test_threads_equal_the_oracle(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, seed: int, whole: int
) -> None:
    monkeypatch.setattr(threads, "WHOLE", whole)
    world = World()
    world.say("bob", 3)
    # Mostly replies, so that there is something to hang on.
    for which, who, what, how in random_actions(random.Random(seed), 250):
        world.act((12 + which % 2 if which < 11 else which, who, what, how))
    assert sum(post.parent is not None for post in world.posts.values()) > 50
    oracle = Oracle(world)
    async with open_store(collections_of(SHOWN)) as documents:
        await folded(documents, world)
        for viewer in ("ada", FORGOTTEN, None):
            for post in world.posts.values():
                thread = await read_thread(documents, viewer, post.id, DEEP)
                visible = oracle.visible(viewer, post)
                assert isinstance(thread.anchor, PostView) is visible
                if visible:
                    assert replies(thread) == oracle.thread(viewer, post.id)
                    shown = [oracle.visible(viewer, world.posts[id_]) for id_ in post.ancestors]
                    assert [isinstance(view, PostView) for view in thread.ancestors] == shown
                elif isinstance(thread.anchor, Tombstone) and not thread.anchor.deleted:
                    assert thread == Thread(thread.anchor)


@pytest.mark.parametrize("whole", [400, 2], ids=["small", "large"])
@pytest.mark.parametrize("sort", [ThreadSort.OLDEST, ThreadSort.NEWEST])
async def test_the_list_of_replies_goes_on_where_a_thread_ends(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, sort: ThreadSort, whole: int
) -> None:
    monkeypatch.setattr(threads, "WHOLE", whole)
    world = World()
    world.say("ada")
    for number in range(59):
        world.answer(PEOPLE[number % 5], f"post{number // 3}")
    async with open_store(collections_of(SHOWN)) as documents:
        await folded(documents, world)
        backward = sort is ThreadSort.NEWEST
        thread = await read_thread(documents, "ada", "post0", Shape(depth=3, branching=2, sort=sort))
        ends = {"post0": thread.end} | {reply.post.id: reply.end for reply in thread.replies}
        assert sum(end is not None for end in ends.values()) == 7
        for post, end in ends.items():
            here = [reply.post.id for reply in thread.replies if reply.parent == post]
            assert (end is not None) is bool(here)
            every, rest = [
                [item.node.id for item in (await replies_page(documents, "ada", post, window)).items]
                for window in (Window(100), Window(100, end, backward))
            ]
            assert (rest + here[::-1] if backward else here + rest) == every
        top = await read_thread(documents, "ada", "post0", Shape(sort=ThreadSort.TOP))
        assert {top.end, *(reply.end for reply in top.replies)} == {None}


@pytest.mark.parametrize("whole", [400, 2], ids=["small", "large"])
async def test_what_hides_keeps_its_place_though_what_hangs_on_it_is_too_deep(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, whole: int
) -> None:
    monkeypatch.setattr(threads, "WHOLE", whole)
    world = World()
    world.say("ada")
    for parent in ("post0", "post0", "post2", "post0"):
        world.answer("bob", parent)
    for post in ("post1", "post2"):
        world.delete(post)
    async with open_store(collections_of(SHOWN)) as documents:
        await folded(documents, world)
        thread = await read_thread(documents, "ada", "post0", Shape(depth=1, branching=1))
        assert replies(thread) == ["(post2)"]
        rest = await replies_page(documents, "ada", "post0", Window(100, thread.end))
        assert [item.node.id for item in rest.items] == ["post4"]


async def test_a_thread_of_sixty_takes_five_waves(open_store: OpenStore) -> None:
    world, rng = World(), random.Random(1)
    world.say("ada")
    for _ in range(59):
        world.answer(rng.choice(PEOPLE[:5]), f"post{rng.randrange(len(world.posts))}")
    world.quote("bob", "post3")
    async with open_store(collections_of(SHOWN)) as documents:
        await folded(documents, world)
        for anchor in ("post0", "post7", "post60"):
            counted = Counted()
            thread = await read_thread(FaultyDocuments(documents, counted), "ada", anchor, DEEP)
            assert isinstance(thread.anchor, PostView)
            assert counted.waves <= 5
            assert counted.finds <= 8
        assert len((await read_thread(documents, "ada", "post0", DEEP)).replies) == 59


async def test_a_thread_is_cut_to_its_shape_and_says_so(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.say("ada")
    for parent in ("post0", "post0", "post0", "post1", "post4", "post5"):
        world.answer("bob", parent)
    world.like("cyd", "post3")
    async with open_store(collections_of(SHOWN)) as documents:
        await folded(documents, world)
        for whole in (400, 2):
            monkeypatch.setattr(threads, "WHOLE", whole)
            thread = await read_thread(documents, None, "post0", Shape(depth=2, branching=2))
            assert [(reply.post.id, reply.parent, reply.depth, reply.more) for reply in thread.replies] == [
                ("post1", "post0", 1, 0),
                ("post4", "post1", 2, 1),
                ("post2", "post0", 1, 0),
            ]
            assert thread.more == 1
            newest = await read_thread(documents, None, "post0", Shape(depth=1, sort=ThreadSort.NEWEST))
            assert replies(newest) == ["post3", "post2", "post1"]
            top = await read_thread(documents, None, "post0", Shape(depth=1, sort=ThreadSort.TOP))
            assert set(replies(top)[:2]) == {"post1", "post3"}
            assert (await read_thread(documents, None, "post0", Shape(depth=0))).more == 3
        deep = await read_thread(documents, None, "post6", Shape())
        assert (named(deep.ancestors), deep.more_ancestors) == (["post0", "post1", "post4", "post5"], False)
        assert (await read_thread(documents, None, "post6", Shape(above=False))).ancestors == []


async def test_what_hides_keeps_its_place_while_something_hangs_on_it(open_store: OpenStore) -> None:
    world = World()
    world.say("ada")
    for who, parent in (("bob", "post0"), ("cyd", "post1"), ("bob", "post0"), ("dee", "post2")):
        world.answer(who, parent)
    world.block("ada", "bob")
    world.delete("post2")
    async with open_store(collections_of(SHOWN)) as documents:
        await folded(documents, world)
        thread = await read_thread(documents, "ada", "post0", DEEP)
        assert [reply.post for reply in thread.replies[:2]] == [
            Tombstone("post1", deleted=False, blocked=True),
            Tombstone("post2", deleted=True),
        ]
        assert replies(thread) == ["(post1)", "(post2)", "post4"]
        below = await read_thread(documents, "ada", "post4", DEEP)
        assert named(below.ancestors) == ["post0", "(post1)", "(post2)"]
        assert await read_thread(documents, "ada", "post1", DEEP) == Thread(
            Tombstone("post1", deleted=False, blocked=True)
        )
        assert await read_thread(documents, "ada", "none", DEEP) == Thread(Tombstone("none", deleted=False))

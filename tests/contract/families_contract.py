"""What the families promise on every document store: for any history each list equals an oracle that never saw a document, and exact documents are
the same whatever way the events came. A store's test module imports all of it and brings a fixture ``open_store`` (families_kit.OpenStore).
"""

import itertools
import random
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import pytest

from projections import families, feeds
from projections.accounts import get_profiles, profile_by_handle
from projections.documents.port import Documents, Fidelity
from projections.feeds import AuthorFilter
from projections.homefeed import home_page
from projections.kept import bookmarks_page, likes_page, quotes_page
from projections.paging import Page, Window
from projections.people import (
    blocks_page,
    followers_page,
    following_page,
    known_followers_page,
    mutes_page,
    requests_page,
)
from projections.posts import get_posts, get_revisions
from projections.reading import author_page, hashtag_page, public_page, replies_page, see_posts
from projections.rules import FeedItem, PostView, Tombstone
from projections.timelines import HomeLimits
from projections.viewer_edges import NO_EDGE, get_edges
from tests.contract.families_history import FORGOTTEN, PEOPLE, SHARDS, World, random_actions
from tests.contract.families_kit import (
    LARGE_PUSH,
    SMALL,
    Counted,
    Crash,
    Interrupted,
    OpenStore,
    Worker,
    collections_of,
    contents,
    fold,
    fold_all,
    seeds,
    visit,
    walk,
    with_home,
    workers_of,
)
from tests.contract.families_oracle import Oracle
from tests.runtime_kit import FaultyDocuments

SEEDS = seeds(4)


def lived(seed: int, length: int = 150) -> World:
    world = World()
    for action in random_actions(random.Random(seed), length):
        world.act(action)
    return world


async def read_home(
    documents: Documents, viewer: str, world: World, limits: HomeLimits, window: Window
) -> Page[FeedItem]:
    return (await home_page(documents, viewer, window, world.now, limits)).page


async def check_homes(
    documents: Documents, world: World, limits: HomeLimits, sizes: Sequence[int] = (1, 3, 50)
) -> None:
    oracle = Oracle(world)
    for viewer in PEOPLE:
        for first in sizes:
            items = await walk(partial(read_home, documents, viewer, world, limits), first)
            assert [item.id for item in items] == oracle.home(viewer, limits.apart), f"home of {viewer} by {first}"
            check_reasons(world, viewer, items)


def check_reasons(world: World, viewer: str | None, items: Sequence[FeedItem]) -> None:
    """Of a repost who made it, of an answer to whom."""
    for item in items:
        parent = world.posts[item.entry.post].parent
        assert (item.reposted_by.id if item.reposted_by else None) == (item.entry.author if item.entry.repost else None)
        assert item.answers is (parent is not None and not item.entry.repost)
        hidden = not item.answers or parent is None or parent.author == FORGOTTEN or world.apart(viewer, parent.author)
        assert (item.reply_to.id if item.reply_to else None) == (None if hidden or parent is None else parent.author)


async def check_lists(documents: Documents, world: World, viewer: str | None, *, backward: bool) -> None:
    oracle = Oracle(world)
    through = partial(walk, first=3, backward=backward)
    for person in PEOPLE:
        for replies in (False, True):
            chosen = AuthorFilter.POSTS_AND_REPLIES if replies else AuthorFilter.POSTS
            items = await through(partial(author_page, documents, viewer, person, chosen=chosen))
            assert [item.id for item in items] == oracle.author(viewer, person, replies=replies)
            check_reasons(world, viewer, items)
        people = await through(partial(followers_page, documents, viewer, person))
        assert [view.id for view in people] == oracle.followers(viewer, person)
        people = await through(partial(following_page, documents, viewer, person))
        assert [view.id for view in people] == oracle.following(viewer, person)
        if viewer is not None:
            people = await through(partial(known_followers_page, documents, viewer, person))
            assert [view.id for view in people] == oracle.known(viewer, person)
    if viewer is not None:
        await check_own_lists(documents, world, viewer, backward=backward)
    items = await through(partial(public_page, documents, viewer, now=world.now))
    assert [item.id for item in items] == oracle.public(viewer)
    for tag in ("tea", "rain"):
        items = await through(partial(hashtag_page, documents, viewer, tag, now=world.now))
        assert [item.id for item in items] == oracle.hashtag(viewer, tag)
        check_reasons(world, viewer, items)
    for person in PEOPLE:
        items = await through(partial(author_page, documents, viewer, person, chosen=AuthorFilter.MEDIA))
        assert [item.id for item in items] == oracle.media(viewer, person)
    for post in world.posts:
        views = await through(partial(replies_page, documents, viewer, post))
        assert _named(views) == oracle.replies(viewer, post)
        quotes = await through(partial(quotes_page, documents, viewer, post))
        assert _named(quotes) == oracle.quotes(viewer, post)
        await check_quote(documents, world, viewer, post)


def _named(views: Sequence[PostView | Tombstone]) -> list[str]:
    """What stands in place of a post in brackets."""
    return [view.id if isinstance(view, PostView) else f"({view.id})" for view in views]


async def check_quote(documents: Documents, world: World, viewer: str | None, post: str) -> None:
    """A post comes with what it quotes, as the viewer may see that."""
    (view,) = await see_posts(documents, viewer, [post])
    quoted = world.posts[post].quoted
    if isinstance(view, PostView) and quoted is not None:
        assert view.quoted is not None
        assert isinstance(view.quoted, PostView) is Oracle(world).visible(viewer, quoted)


async def check_own_lists(documents: Documents, world: World, viewer: str, *, backward: bool) -> None:
    oracle = Oracle(world)
    through = partial(walk, first=3, backward=backward)
    blocked = await through(partial(blocks_page, documents, viewer))
    assert [view.id for view in blocked] == oracle.blocks(viewer)
    muted = await through(partial(mutes_page, documents, viewer, now=world.now))
    assert [view.id for view in muted] == oracle.mutes(viewer)
    asking = await through(partial(requests_page, documents, viewer))
    assert [view.id for view in asking] == oracle.requests(viewer)
    liked = await through(partial(likes_page, documents, viewer))
    assert [item.id for item in liked] == oracle.likes(viewer)
    kept = await through(partial(bookmarks_page, documents, viewer))
    assert [item.id for item in kept] == oracle.bookmarks(viewer)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("limits", [SMALL, LARGE_PUSH], ids=["merging", "pushing"])
async def test_homes_equal_the_oracle(open_store: OpenStore, seed: int, limits: HomeLimits) -> None:
    world, rng, some = lived(seed), random.Random(seed), with_home(limits)
    async with open_store(collections_of(some)) as documents:
        workers = workers_of(some, world.log)
        # People look at their homes while the history is being folded, so that timelines are built, pushed to, trimmed and dropped.
        while waiting := [worker for worker in workers if worker.busy]:
            worker = rng.choice(waiting)
            await worker.step(documents, rng)
            if rng.random() < 0.5:
                await visit(documents, rng.choice(PEOPLE), _time(worker), limits)
        await check_homes(documents, world, limits)


def _time(worker: Worker) -> int:
    return worker.events[worker.done - 1].recorded_at


class Bustle:
    """Home's workers and its readers, interrupted by one another between any two calls, or killed there."""

    def __init__(self, store: Documents, world: World, rng: random.Random, limits: HomeLimits) -> None:
        self._store, self._world, self._rng, self._limits = store, world, rng, limits
        self._some = with_home(limits)
        self._done: dict[tuple[str, int], int] = {}
        self._workers: Sequence[Worker] = ()

    async def catch_up(self) -> None:
        """Folds what has been recorded since the last time, the homes of it under interruptions."""
        workers = workers_of(self._some, self._world.log)
        for number, worker in enumerate(workers):
            worker.done = self._done.get((worker.family.name, number % SHARDS), 0)
        self._workers = [worker for worker in workers if worker.family.name == "home"]
        await fold_all(self._store, [worker for worker in workers if worker not in self._workers], self._rng)
        while any(worker.busy for worker in self._workers):
            await self._something(depth=0)
        self._done = {
            (worker.family.name, number % SHARDS): len(worker.events) for number, worker in enumerate(workers)
        }

    async def _something(self, depth: int) -> None:
        async def other() -> None:
            if depth and self._rng.random() < 0.2:
                raise Crash
            for _ in range(self._rng.randrange(4)):
                await self._something(depth + 1)

        deep = depth >= 3
        documents = FaultyDocuments(self._store, Interrupted(self._rng.randrange(24) if not deep else -1, other))
        with suppress(Crash):
            busy = [worker for worker in self._workers if worker.busy]
            if busy and self._rng.random() < 0.6:
                await self._rng.choice(busy).step(documents, self._rng)
            else:
                await visit(documents, self._rng.choice(PEOPLE), self._world.now, self._limits, str(self._rng.random()))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("limits", [SMALL, LARGE_PUSH], ids=["merging", "pushing"])
async def test_homes_equal_the_oracle_whoever_is_interrupted(
    open_store: OpenStore, seed: int, limits: HomeLimits
) -> None:
    world, rng = World(), random.Random(seed)
    async with open_store(collections_of(with_home(limits))) as store:
        bustle = Bustle(store, world, rng, limits)
        for _ in range(10):
            for action in random_actions(rng, 20):
                world.act(action)
            await bustle.catch_up()
            await check_homes(store, world, limits, (3,))


@pytest.mark.parametrize("seed", SEEDS)
async def test_lists_equal_the_oracle(open_store: OpenStore, seed: int) -> None:
    world, rng = lived(seed), random.Random(seed)
    async with open_store(collections_of(families.ALL)) as documents:
        await fold_all(documents, workers_of(families.ALL, world.log), rng)
        for viewer in ("ada", FORGOTTEN, None):
            for backward in (False, True):
                await check_lists(documents, world, viewer, backward=backward)
        await check_facts(documents, world)


async def test_a_deleted_reply_stays_while_something_hangs_on_it(open_store: OpenStore) -> None:
    world, rng = World(), random.Random(1)
    world.say("ada")
    for parent in ("post0", "post1", "post0"):
        world.answer("bob", parent)
    world.delete("post1")
    world.delete("post3")
    async with open_store(collections_of(families.ALL)) as documents:
        await fold_all(documents, workers_of(families.ALL, world.log), rng)
        page = await replies_page(documents, "ada", "post0", Window(5))
        assert [item.node for item in page.items] == [Tombstone("post1", deleted=True)]
        await check_lists(documents, world, "ada", backward=False)


async def test_all_follows_are_found_however_many(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "FOLLOWS_READ", 2)
    world = World()
    for other in PEOPLE[1:]:
        world.follow("ada", other)
    async with open_store(collections_of(families.ALL)) as documents:
        await fold_all(documents, workers_of(families.ALL, world.log), random.Random(1))
        assert await feeds.following_ids(documents, "ada") == list(PEOPLE[:0:-1])


async def check_facts(documents: Documents, world: World) -> None:
    """Contents and counts of people and posts."""
    profiles, posts = await get_profiles(documents, PEOPLE), await get_posts(documents, list(world.posts))
    for person in PEOPLE:
        counts = profiles[person].counts
        assert counts.posts == sum(post.author == person and not post.deleted for post in world.posts.values())
        assert counts.following == sum(who == person for who, _ in world.follows)
        assert counts.followers == sum(whom == person for _, whom in world.follows)
        assert profiles[person].redacted is (person == FORGOTTEN)
        assert await profile_by_handle(documents, person) == (None if person == FORGOTTEN else profiles[person])
    await check_edges(documents, world)
    for own in world.posts.values():
        post = posts[own.id]
        assert post.counts.likes == sum(liked == own.id for _, liked in world.likes)
        assert post.counts.bookmarks == sum(kept == own.id for _, kept in world.bookmarks)
        assert post.counts.quotes == sum(other.quoted is own and not other.deleted for other in world.posts.values())
        assert post.counts.reposts == sum(reposted == own.id for _, reposted in world.reposts)
        assert post.counts.replies == sum(other.parent is own and not other.deleted for other in world.posts.values())
        assert (post.deleted, post.author, post.sort_at) == (own.deleted, own.author, own.sort_at)
        assert (post.text is None) == (own.deleted or own.author == FORGOTTEN)
        assert post.tags == (() if own.deleted else own.tags)
        if post.text is not None:
            said = [revision.text for revision in await get_revisions(documents, post)]
            assert said == [own.text, *reversed(own.was)]


async def check_edges(documents: Documents, world: World) -> None:
    """What people are to each other."""
    pairs = list(itertools.permutations(PEOPLE, 2))
    edges = await get_edges(documents, pairs)
    for pair in pairs:
        edge = edges.get(pair, NO_EDGE)
        follows, mutes = world.follows.get(pair), world.mutes.get(pair)
        assert (edge.following, edge.followed_at) == ((True, follows[0]) if follows else (False, None))
        assert edge.reposts is (follows is None or follows[1])
        assert edge.requested is (pair in world.requests)
        assert edge.blocking is (pair in world.blocks)
        assert (edge.muting, edge.muted_until) == ((True, mutes[1]) if mutes else (False, None))


@pytest.mark.parametrize("seed", SEEDS)
async def test_exact_documents_do_not_depend_on_how_the_events_came(open_store: OpenStore, seed: int) -> None:
    world = lived(seed)
    collections = [own for own in collections_of(families.ALL) if own.fidelity is not Fidelity.CACHE]
    async with open_store(collections_of(families.ALL)) as plain, open_store(collections_of(families.ALL)) as other:
        for worker in workers_of(families.ALL, world.log):
            await fold(plain, worker.family, worker.events)
        await fold_all(other, workers_of(families.ALL, world.log), random.Random(seed))
        for collection in collections:
            assert await contents(plain, collection) == await contents(other, collection), collection.name


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("first", [1, 20])
async def test_a_home_page_takes_four_waves_and_eight_finds(open_store: OpenStore, built: bool, first: int) -> None:
    limits = HomeLimits(kept=60, slack=10, filled=40, push_threshold=2, step=2, apart=5, ahead=15)
    world, some = lived(1, 400), with_home(limits)
    async with open_store(collections_of(some)) as store:
        if built:
            for viewer in PEOPLE:
                await visit(store, viewer, world.now, limits)
        await fold_all(store, workers_of(some, world.log), random.Random(1))

        async def read(viewer: str, window: Window) -> Page[FeedItem]:
            counted = Counted()
            home = await home_page(FaultyDocuments(store, counted), viewer, window, world.now, limits)
            assert counted.waves <= 4
            assert counted.finds <= 8
            assert (home.state == "READY") is built
            return home.page

        for viewer in PEOPLE:
            await walk(partial(read, viewer), first)

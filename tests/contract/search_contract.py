"""What search promises on every document store: all that the viewer may see and that fits, and nothing else, for any history."""

import random
from collections.abc import Callable
from functools import partial

import pytest

from domain.events import PostCreated, PostDeleted
from domain.words import words
from projections import families
from projections.search import FAMILY as SEARCH
from projections.searching import parse, search_people, search_posts, search_tags
from tests.contract.families_history import FORGOTTEN, PEOPLE, Post, World, random_actions
from tests.contract.families_kit import OpenStore, collections_of, fold, fold_all, seeds, walk, workers_of
from tests.contract.families_oracle import Oracle
from tests.unit.folded import happened

SEARCHED = [
    family
    for family in families.ALL
    if family.name in {"accounts", "posts", "viewer_edges", "search", "home", "hashtag_feed"}
]
QUERIES: dict[str, Callable[[Post], bool]] = {
    "revision": lambda _: True,
    "post3": lambda post: post.id == "post3",
    "2 REVISION": lambda post: "2" in words(post.text),
    "revision tag:tea": lambda post: "tea" in post.tags,
    "#rain": lambda post: "rain" in post.tags,
    "from:bob": lambda post: post.author == "bob",
    "from:bob revision #tea": lambda post: post.author == "bob" and "tea" in post.tags,
    "nothing of that": lambda _: False,
    "revision before:2023-11-15": lambda post: post.sort_at < 1_700_006_400_000_000,
    "revision after:2023-11-14": lambda post: post.sort_at >= 1_700_006_400_000_000,
    "revision language:en": lambda _: False,
}


@pytest.mark.parametrize("seed", seeds(3))
async def test_what_is_found_equals_the_oracle(open_store: OpenStore, seed: int) -> None:
    world, rng = World(), random.Random(seed)
    for action in random_actions(rng, 150):
        world.act(action)
    oracle = Oracle(world)
    async with open_store(collections_of(SEARCHED)) as documents:
        await fold_all(documents, workers_of(SEARCHED, world.log), rng)
        for viewer in ("ada", FORGOTTEN, None):
            for query, fits in QUERIES.items():
                found = await walk(partial(search_posts, documents, viewer, parse(query)), 3)
                posts = [post for post in world.posts.values() if fits(post) and oracle.visible(viewer, post)]
                if "#rain" in query:
                    # Hashtags alone are looked up where everybody looks.
                    posts = [post for post in posts if post.visibility == "PUBLIC"]
                if query == "from:bob":
                    posts = [post for post in posts if post.visibility != "DIRECT"]
                expected = [id_ for _, id_ in sorted(((post.sort_at, post.id) for post in posts), reverse=True)]
                assert [view.id for view in found] == expected, query
            for prefix in ("a", "b", "EV", "@dee", "fay", "z"):
                people = await walk(partial(search_people, documents, viewer, prefix), 2)
                shown = [who for who in PEOPLE if who != FORGOTTEN and not world.apart(viewer, who)]
                assert {view.id for view in people} == {
                    who for who in shown if who.startswith(prefix.lower().lstrip("@"))
                }
        used = {
            tag
            for post in world.posts.values()
            if post.visibility == "PUBLIC" and not post.deleted
            for tag in post.tags
        }
        assert await walk(partial(search_tags, documents, "t"), 1) == sorted(tag for tag in used if tag[0] == "t")
        assert await walk(partial(search_tags, documents, "#ra"), 1) == sorted(tag for tag in used if tag[0] == "r")


@pytest.mark.parametrize("gone", [("taste",), ("tea",), ("tone",), ("taste", "tea")])
async def test_a_hashtag_that_nobody_uses_any_more_hides_none_that_follow(
    open_store: OpenStore, gone: tuple[str, ...]
) -> None:
    used = ("taste", "tea", "tone", "town")
    log = happened(
        *(PostCreated(post=tag, author="ada", visibility="PUBLIC", root=tag, tags=(tag,)) for tag in used),
        *(PostDeleted(post=tag, author="ada", tags=(tag,)) for tag in gone),
    )
    async with open_store(collections_of([SEARCH])) as documents:
        await fold(documents, SEARCH, log)
        for first in (1, 2, 4):
            found = await walk(partial(search_tags, documents, "t"), first)
            assert found == [tag for tag in used if tag not in gone], first

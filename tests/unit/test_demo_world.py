"""The demo world is a pure function of its sizes and seed."""

import pytest

from api.demo.world import build_world, friendships
from domain.limits import DEFAULT_LIMITS
from domain.names import handle_problems, handle_skeleton
from domain.text import spans, weighted_length


def test_the_whole_graph_has_its_published_size() -> None:
    world = build_world(accounts=4_039, posts=0, likes=0, reposts=0)
    assert len(friendships()) == 88_234
    assert len(set(world.follows)) == len(world.follows) == 176_468


def test_the_same_seed_gives_the_same_world() -> None:
    one = build_world(accounts=120, posts=300, likes=500, reposts=100, seed=7)
    assert one == build_world(accounts=120, posts=300, likes=500, reposts=100, seed=7)
    assert one.posts != build_world(accounts=120, posts=300, likes=500, reposts=100, seed=8).posts


def test_every_command_of_the_world_is_valid() -> None:
    people = build_world(accounts=4_039, posts=0, likes=0, reposts=0).accounts
    assert len({handle_skeleton(account.handle) for account in people}) == 4_039
    assert not any(handle_problems(account.handle, DEFAULT_LIMITS) for account in people)
    world = build_world(accounts=300, posts=3_000, likes=6_000, reposts=1_000)
    assert all(weighted_length(post.text, spans(post.text)) <= DEFAULT_LIMITS.text_graphemes for post in world.posts)
    assert all(post.reply_to is None or post.reply_to < post.number for post in world.posts)
    assert sum(post.reply_to is not None for post in world.posts) > 300
    assert len(set(world.likes)) == len(world.likes) == 6_000
    assert len(set(world.reposts)) == len(world.reposts) == 1_000


@pytest.mark.parametrize("sizes", [(1, 0, 0, 0), (4_040, 0, 0, 0), (10, -1, 0, 0)])
def test_sizes_out_of_range(sizes: tuple[int, int, int, int]) -> None:
    accounts, posts, likes, reposts = sizes
    with pytest.raises(ValueError, match=r"between|negative"):
        build_world(accounts=accounts, posts=posts, likes=likes, reposts=reposts)


def test_a_world_too_small_for_its_likes_gets_fewer() -> None:
    world = build_world(accounts=2, posts=3, likes=1_000, reposts=0)
    assert 0 < len(world.likes) <= 6

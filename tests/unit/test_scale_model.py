"""The model of scale: what it must obey whatever its numbers are, and that the page which quotes it quotes it."""

from dataclasses import replace
from pathlib import Path

from benchmarks.scale_model import SIZES, Behaviour, Costs, Limits, markdown, plan, spread

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


def test_the_page_shows_what_the_model_says() -> None:
    assert markdown([plan(size) for size in SIZES]) in PAGE.read_text()


def test_load_grows_with_the_accounts_and_machines_with_the_load() -> None:
    small, large = plan(1_000_000), plan(10_000_000)
    assert round(large.events / small.events, 6) == round(large.pages / small.pages, 6) == 10
    assert large.api >= 9 * small.filled["an API process"]
    assert large.log_year == 10 * small.log_year


def test_a_thousand_accounts_need_one_of_each() -> None:
    few = plan(1_000)
    assert (few.api, few.workers, few.mongo_shards, few.cassandra_nodes, few.shards) == (1, 1, 1, 1, 8)
    assert max(few.filled.values()) < 0.1


def test_what_costs_more_is_fuller() -> None:
    dear = plan(1_000_000, costs=replace(Costs(), page=1.0))
    assert dear.filled["an API process"] > plan(1_000_000).filled["an API process"]
    assert dear.fullest.startswith("an API process")


def test_merging_at_read_bounds_what_a_post_writes() -> None:
    everyone, bounded = (spread(100_000_000, Behaviour(), threshold) for threshold in (10**9, 2_000))
    assert everyone.followers == bounded.followers
    assert bounded.pushed < everyone.pushed
    assert everyone.merged == 0 < bounded.merged < 0.01
    assert bounded.largest > 50 * Limits().push_threshold


def test_the_same_seed_gives_the_same_spread() -> None:
    assert spread(1_000, Behaviour(), 100) == spread(1_000, Behaviour(), 100)
    assert spread(1_000, Behaviour(), 100) != spread(1_000, Behaviour(), 100, seed=8)

"""`make test-full` in small: what it does to the whole demo world, with a few people of it."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.full import Sizes, run_full
from tests.servers import Addresses
from tests.stack import Stack, cluster_stack, embedded_stack

SMALL = Sizes(accounts=40, posts=120, likes=300, reposts=40)


@pytest.fixture(params=["embedded", pytest.param("cluster", marks=pytest.mark.cluster)])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> AbstractAsyncContextManager[Stack]:
    if request.param == "embedded":
        return embedded_stack(tmp_path)
    return cluster_stack(
        Addresses(request.getfixturevalue("cassandra_address"), request.getfixturevalue("mongodb_url"))
    )


@pytest.mark.slow
async def test_a_small_world_is_what_the_log_says_and_loading_it_again_changes_nothing(
    stack: AbstractAsyncContextManager[Stack],
) -> None:
    said: list[str] = []
    outcome = await run_full(stack, SMALL, said.append)
    assert outcome.wrong == []
    assert [step.name for step in outcome.steps] == [
        "seed", "settle", "log verify", "verify", "seed again", "settle again",
    ]  # fmt: skip
    steps = {step.name: step for step in outcome.steps}
    assert steps["seed"].count == SMALL.commands
    assert steps["verify"].count > steps["log verify"].count > SMALL.commands
    assert any("events in the log" in line for line in said)

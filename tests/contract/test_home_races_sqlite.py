"""Homes on SQLite, where a test may open hundreds of stores: races, step by step, and histories that shrink."""

import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.families_contract import Bustle, check_homes
from tests.contract.families_history import Action, World
from tests.contract.families_kit import SMALL, OpenStore, collections_of, with_home
from tests.contract.home_races_contract import *  # noqa: F403 -- the contract's tests run where they are imported
from tests.runtime_kit import sqlite_documents

pytestmark = pytest.mark.slow


@pytest.fixture
def open_store(tmp_path: Path) -> OpenStore:
    numbers = itertools.count()
    return lambda collections: sqlite_documents(tmp_path / f"documents{next(numbers)}.db", collections)


ACTIONS = st.tuples(st.integers(0, 22), st.integers(0, 5), st.integers(0, 7), st.integers(0, 23))


# The fixture opens a store of its own each time.
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.lists(ACTIONS, max_size=25), max_size=4), seed=st.integers(0, 2**16))
async def test_homes_equal_the_oracle_for_any_history(
    open_store: OpenStore, chunks: Sequence[Sequence[Action]], seed: int
) -> None:
    world = World()
    async with open_store(collections_of(with_home(SMALL))) as store:
        bustle = Bustle(store, world, random.Random(seed), SMALL)
        for actions in chunks:
            for action in actions:
                world.act(action)
            await bustle.catch_up()
            await check_homes(store, world, SMALL, (2,))

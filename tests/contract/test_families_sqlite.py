"""The families on SQLite."""

import itertools
from pathlib import Path

import pytest

from tests.contract.families_contract import *  # noqa: F403 -- the contract's tests run where they are imported
from tests.contract.families_kit import OpenStore
from tests.contract.notifications_contract import *  # noqa: F403 -- see above
from tests.contract.repeats_contract import *  # noqa: F403 -- see above
from tests.contract.rows_contract import *  # noqa: F403 -- see above
from tests.contract.search_contract import *  # noqa: F403 -- see above
from tests.contract.threads_contract import *  # noqa: F403 -- see above
from tests.contract.timelines_contract import *  # noqa: F403 -- see above
from tests.runtime_kit import sqlite_documents


@pytest.fixture
def open_store(tmp_path: Path) -> OpenStore:
    numbers = itertools.count()
    return lambda collections: sqlite_documents(tmp_path / f"documents{next(numbers)}.db", collections)

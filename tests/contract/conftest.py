"""Contracts are modules that test modules import: their assertions should say as much as those of a test module."""

import pytest

pytest.register_assert_rewrite(
    *(
        f"tests.contract.log_{part}"
        for part in ("appending", "deciding", "forgetting", "kit", "life", "reading", "snapshots")
    )
)
pytest.register_assert_rewrite(
    *(f"tests.contract.documents_{part}" for part in ("control", "convergence", "pages", "rows", "state"))
)
pytest.register_assert_rewrite("tests.contract.families_contract", "tests.contract.families_kit")
pytest.register_assert_rewrite("tests.contract.home_races_contract", "tests.contract.home_races_kit")
pytest.register_assert_rewrite("tests.contract.rows_contract", "tests.contract.timelines_contract")

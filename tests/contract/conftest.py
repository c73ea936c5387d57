"""Contracts are modules that test modules import: their assertions should say as much as those of a test module."""

import pytest

pytest.register_assert_rewrite("tests.contract.log_contract")
pytest.register_assert_rewrite(
    *(f"tests.contract.documents_{part}" for part in ("control", "convergence", "pages", "rows", "state"))
)

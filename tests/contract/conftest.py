"""Contracts are modules that test modules import: their assertions should say as much as those of a test module."""

import pytest

pytest.register_assert_rewrite("tests.contract.log_contract")

"""What logs and dead letters say of a failure."""

import pytest

from domain.errors import CorruptStreamError, UnavailableError
from projections.runtime.faults import describe


def raised(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


@pytest.mark.parametrize("error", [ValueError("dear diary"), CorruptStreamError("dear diary")])
def test_a_failure_is_told_without_what_somebody_typed(error: Exception) -> None:
    told = describe(raised(error))
    assert "diary" not in told
    assert told.startswith(type(error).__name__)
    assert told.endswith("in raised")


def test_why_a_store_is_out_of_reach_is_told() -> None:
    assert describe(raised(UnavailableError("the disk is full"))).endswith("in raised: the disk is full")

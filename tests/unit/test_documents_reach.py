"""Which errors of MongoDB are an outage, that folds wait for, and which are of what was sent, that they set aside."""

import pytest
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError, ServerSelectionTimeoutError

from projections.documents.mongo.connection import is_out_of_reach

FULL_DISK, WRITE_CONFLICT, TEMPORARILY_UNAVAILABLE, STEPPED_DOWN = 14031, 112, 365, 189
BAD_VALUE, TOO_LARGE = 2, 10334


def refused(code: int) -> list[PyMongoError]:
    answer = {"index": 0, "code": code, "errmsg": "no"}
    return [OperationFailure("no", code), BulkWriteError({"writeErrors": [answer], "writeConcernErrors": []})]


@pytest.mark.parametrize("code", [FULL_DISK, WRITE_CONFLICT, TEMPORARILY_UNAVAILABLE, STEPPED_DOWN])
def test_what_a_server_is_short_of_is_waited_for(code: int) -> None:
    assert [is_out_of_reach(error) for error in refused(code)] == [True, True]
    assert is_out_of_reach(ServerSelectionTimeoutError("none"))


@pytest.mark.parametrize("code", [BAD_VALUE, TOO_LARGE])
def test_what_was_sent_wrong_is_not(code: int) -> None:
    assert [is_out_of_reach(error) for error in refused(code)] == [False, False]

"""Which errors of MongoDB are an outage, that folds wait for, and which are of what was sent, that they set aside."""

import pytest
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError, ServerSelectionTimeoutError

from domain.errors import UnavailableError
from projections.documents.mongo.connection import Connection, is_out_of_reach

FULL_DISK, WRITE_CONFLICT, TEMPORARILY_UNAVAILABLE, STEPPED_DOWN = 14031, 112, 365, 189
BAD_VALUE, TOO_LARGE = 2, 10334


def refused(code: int) -> list[PyMongoError]:
    answer = {"index": 0, "code": code, "errmsg": "no", "op": {"text": "dear diary"}}
    return [
        OperationFailure("no", code, {"text": "dear diary"}),
        BulkWriteError({"writeErrors": [answer], "writeConcernErrors": []}),
    ]


@pytest.mark.parametrize("code", [FULL_DISK, WRITE_CONFLICT, TEMPORARILY_UNAVAILABLE, STEPPED_DOWN])
def test_what_a_server_is_short_of_is_waited_for(code: int) -> None:
    assert [is_out_of_reach(error) for error in refused(code)] == [True, True]
    assert is_out_of_reach(ServerSelectionTimeoutError("none"))


@pytest.mark.parametrize("code", [BAD_VALUE, TOO_LARGE])
def test_what_was_sent_wrong_is_not(code: int) -> None:
    assert [is_out_of_reach(error) for error in refused(code)] == [False, False]


NOBODY = ServerSelectionTimeoutError("no, Timeout: 2.0s, Topology Description: <all that the driver knows>")


@pytest.mark.parametrize("error", [*refused(FULL_DISK), NOBODY], ids=["one", "many", "nobody"])
async def test_the_reason_is_told_and_nothing_besides(error: PyMongoError) -> None:
    connection = Connection("mongodb://127.0.0.1:1/tidings")
    with pytest.raises(UnavailableError) as told:
        async with connection.call():
            raise error
    await connection.close()
    assert str(told.value) == "MongoDB at 127.0.0.1:1/tidings cannot be reached: no"

"""Scalars: times are microseconds since the epoch inside and ISO 8601 in UTC outside."""

from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import Final, NewType

import strawberry

Timestamp = NewType("Timestamp", int)
"""Microseconds since the epoch."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def format_time(micros: int) -> str:
    """``2026-01-31T12:00:00.000000Z``: always of one length, so that the texts sort like the times."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds")[:26] + "Z"


def parse_time(value: object) -> int:
    """Microseconds of an ISO 8601 text with a date, a time and a zone. ValueError for any other, of which the client is told where it stands."""
    problem = ValueError("a DateTime is a string in ISO 8601 with its zone, such as 2026-01-31T12:00:00Z.")
    if not isinstance(value, str):
        raise problem
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise problem from None
    # A date alone has no zone; years at both ends of the calendar leave it in UTC.
    if moment.tzinfo is None or not 1 < moment.year < MAXYEAR:
        raise problem
    return (moment - _EPOCH) // _MICROSECOND


DATE_TIME: Final = strawberry.scalar(
    name="DateTime",
    description="A moment in ISO 8601 and UTC, to the microsecond: 2026-01-31T12:00:00.000000Z.",
    specified_by_url="https://scalars.graphql.org/andimarek/date-time",
    serialize=format_time,
    parse_value=parse_time,
)

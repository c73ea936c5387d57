"""Sort keys of feeds: a time and an id in one string whose order is time first, so that an index has one sort column and no ties."""

from typing import Final

_DIGITS: Final = 17
"""Microseconds since the epoch in 17 digits reach the year 5138."""

BOTTOM: Final = ""
"""Below every key: the floor of a timeline that holds everything."""


def sort_key(at: int, id_: str) -> str:
    """Keys compare as (at, id). What an import dates before 1970 sorts as 1970."""
    return f"{max(at, 0):0{_DIGITS}d}-{id_}"


def key_time(key: str) -> int:
    """The time of a key, in microseconds."""
    return int(key[:_DIGITS])

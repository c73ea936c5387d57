"""Markers: how far people have read their notifications; one stream per account."""

import msgspec

from domain.envelope import Recorded
from domain.events import NotificationsRead


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """``up_to`` in microseconds; 0: nothing has been read."""

    up_to: int = 0


def evolve(state: Marker, recorded: Recorded) -> Marker:
    match recorded.event:
        case NotificationsRead() as e:
            return Marker(up_to=e.up_to)
    return state


def read(state: Marker, account: str, up_to: int | None, now: int) -> tuple[NotificationsRead, ...]:
    """A marker only moves on, and never past ``now``: what is still to come is unread."""
    reached = now if up_to is None else min(up_to, now)
    return (NotificationsRead(account=account, up_to=reached),) if reached > state.up_to else ()

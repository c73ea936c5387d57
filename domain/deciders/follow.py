"""Follows: one stream per pair, in the shard of the one who is followed."""

import msgspec

from domain.envelope import Recorded
from domain.events import Followed, Unfollowed


class Follow(msgspec.Struct, frozen=True, kw_only=True):
    active: bool = False
    reposts: bool = True
    notify: bool = False


def evolve(state: Follow, recorded: Recorded) -> Follow:
    match recorded.event:
        case Followed() as e:
            return Follow(active=True, reposts=e.reposts, notify=e.notify)
        case Unfollowed():
            return Follow()
    return state


def follow(
    state: Follow, follower: str, followee: str, reposts: bool | None, notify: bool | None
) -> tuple[Followed, ...]:
    """A second follow changes the options that it names; with none to change it does nothing."""
    wanted = Follow(
        active=True,
        reposts=state.reposts if reposts is None else reposts,
        notify=state.notify if notify is None else notify,
    )
    if state == wanted:
        return ()
    return (
        Followed(
            follower=follower,
            followee=followee,
            reposts=wanted.reposts,
            notify=wanted.notify,
            renewed=state.active,
        ),
    )


def unfollow(state: Follow, follower: str, followee: str) -> tuple[Unfollowed, ...]:
    return (Unfollowed(follower=follower, followee=followee),) if state.active else ()

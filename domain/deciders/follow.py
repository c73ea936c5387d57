"""Follows: one stream per pair, in the shard of the one who is followed. A locked account is asked first."""

from enum import StrEnum

import msgspec

from domain.envelope import Recorded
from domain.errors import Code, refuse
from domain.events import (
    Event,
    Followed,
    FollowRequestAccepted,
    FollowRequested,
    FollowRequestRejected,
    FollowRequestWithdrawn,
    Unfollowed,
)


class Standing(StrEnum):
    """What the follower is to the followee."""

    NONE = "none"
    REQUESTED = "requested"
    ACTIVE = "active"


class Follow(msgspec.Struct, frozen=True, kw_only=True):
    """``begun`` is the version at which the follow or the request came to be, 0 where there is none: a later one has another. ``asked`` is the
    sequence of the request."""

    standing: Standing = Standing.NONE
    reposts: bool = True
    notify: bool = False
    begun: int = 0
    asked: int = 0

    @property
    def active(self) -> bool:
        return self.standing is Standing.ACTIVE

    @property
    def requested(self) -> bool:
        return self.standing is Standing.REQUESTED


def evolve(state: Follow, recorded: Recorded) -> Follow:
    match recorded.event:
        case Followed() as e:
            begun = state.begun if e.renewed else recorded.version
            return Follow(standing=Standing.ACTIVE, reposts=e.reposts, notify=e.notify, begun=begun)
        case FollowRequested() as e:
            begun, asked = (state.begun, state.asked) if e.renewed else (recorded.version, recorded.sequence)
            return Follow(standing=Standing.REQUESTED, reposts=e.reposts, notify=e.notify, begun=begun, asked=asked)
        case FollowRequestAccepted():
            # The follow itself comes with the next event of the batch.
            return state
        case Unfollowed() | FollowRequestRejected() | FollowRequestWithdrawn():
            return Follow()
    return state


def follow(
    state: Follow, follower: str, followee: str, reposts: bool | None, notify: bool | None, *, locked: bool = False
) -> tuple[Event, ...]:
    """A second follow, or request of a ``locked`` account, changes the options that it names; with none to change it does nothing. A request that
    is still there after the account was unlocked becomes the follow."""
    reposts = state.reposts if reposts is None else reposts
    notify = state.notify if notify is None else notify
    same = (reposts, notify) == (state.reposts, state.notify)
    if (state.active and same) or (locked and state.requested and same):
        return ()
    if locked and not state.active:
        asked = FollowRequested(
            follower=follower, followee=followee, reposts=reposts, notify=notify, renewed=state.requested
        )
        return (asked,)
    followed = Followed(follower=follower, followee=followee, reposts=reposts, notify=notify, renewed=state.active)
    return (FollowRequestAccepted(follower=follower, followee=followee), followed) if state.requested else (followed,)


def unfollow(state: Follow, follower: str, followee: str) -> tuple[Event, ...]:
    """By the follower: ends the follow, or withdraws the request."""
    if state.requested:
        return (FollowRequestWithdrawn(follower=follower, followee=followee),)
    return (Unfollowed(follower=follower, followee=followee),) if state.active else ()


def end(state: Follow, follower: str, followee: str, begun: int) -> tuple[Event, ...]:
    """As ``unfollow``, of the very follow or request that came to be at ``begun``: a later one stays."""
    return unfollow(state, follower, followee) if state.begun == begun else ()


def remove(state: Follow, follower: str, followee: str) -> tuple[Event, ...]:
    """By the followee."""
    return (Unfollowed(follower=follower, followee=followee),) if state.active else ()


def reject(state: Follow, follower: str, followee: str) -> tuple[Event, ...]:
    """By the followee."""
    return (FollowRequestRejected(follower=follower, followee=followee),) if state.requested else ()


def sever(state: Follow, follower: str, followee: str) -> tuple[Event, ...]:
    """By the followee, whatever stands."""
    return remove(state, follower, followee) + reject(state, follower, followee)


def accept(state: Follow, follower: str, followee: str) -> tuple[Event, ...]:
    """NOT_FOUND where nobody asked; nothing where the follow stands already."""
    if state.active:
        return ()
    if not state.requested:
        raise refuse(Code.NOT_FOUND, "There is no such request.", "userId")
    return (
        FollowRequestAccepted(follower=follower, followee=followee),
        Followed(follower=follower, followee=followee, reposts=state.reposts, notify=state.notify),
    )


def accept_pending(state: Follow, follower: str, followee: str, unlocked: int) -> tuple[Event, ...]:
    """Of an account that was unlocked at the sequence ``unlocked``: who asked later, under another lock, goes on waiting. Both are in one shard."""
    return accept(state, follower, followee) if state.requested and state.asked < unlocked else ()

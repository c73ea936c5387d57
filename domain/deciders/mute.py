"""Mutes: one stream per pair, in the shard of who mutes. A mute that has expired stands in its stream; readers go by their own time."""

import msgspec

from domain.envelope import Recorded
from domain.events import AccountMuted, AccountUnmuted


class Mute(msgspec.Struct, frozen=True, kw_only=True):
    """``until`` in microseconds, None: for good."""

    active: bool = False
    until: int | None = None


def evolve(state: Mute, recorded: Recorded) -> Mute:
    match recorded.event:
        case AccountMuted() as e:
            return Mute(active=True, until=e.until)
        case AccountUnmuted():
            return Mute()
    return state


def mute(state: Mute, actor: str, target: str, until: int | None) -> tuple[AccountMuted, ...]:
    """Another end is another mute; the same one changes nothing."""
    if state == Mute(active=True, until=until):
        return ()
    return (AccountMuted(actor=actor, target=target, until=until),)


def unmute(state: Mute, actor: str, target: str) -> tuple[AccountUnmuted, ...]:
    return (AccountUnmuted(actor=actor, target=target),) if state.active else ()

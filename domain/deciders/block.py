"""Blocks: one stream per pair, in the shard of who blocks. A block keeps two people apart both ways."""

import msgspec

from domain.envelope import Recorded
from domain.errors import Code, refuse
from domain.events import AccountBlocked, AccountUnblocked


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """``cause`` is the id of the event by which it stands, empty where there is none: a later block of the same pair has another."""

    cause: str = ""

    @property
    def active(self) -> bool:
        return bool(self.cause)


def evolve(state: Block, recorded: Recorded) -> Block:
    match recorded.event:
        case AccountBlocked():
            return Block(cause=recorded.event_id)
        case AccountUnblocked():
            return Block()
    return state


def block(state: Block, actor: str, target: str) -> tuple[AccountBlocked, ...]:
    return () if state.active else (AccountBlocked(actor=actor, target=target),)


def unblock(state: Block, actor: str, target: str) -> tuple[AccountUnblocked, ...]:
    return (AccountUnblocked(actor=actor, target=target),) if state.active else ()


def require_none(blocks: tuple[Block, ...], field: str, message: str = "One of you has blocked the other.") -> None:
    """BLOCKED where one of the blocks stands, whoever made it."""
    if any(block.active for block in blocks):
        raise refuse(Code.BLOCKED, message, field)

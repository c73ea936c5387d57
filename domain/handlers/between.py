"""What keeps people apart: the blocks between the actor of a command and those whom it concerns, either way."""

from collections.abc import Collection, Iterable, Mapping
from typing import Self

from domain.deciders import block as blocks
from domain.deciders.account import Account
from domain.deciders.block import Block
from domain.errors import Code, refuse
from domain.ids import account_stream, block_stream
from domain.log.port import EventLog, View


class Between:
    """What an execution reads of this: ``own`` lies in the actor's shard, besides the actor's account; ``theirs`` in those of the others. Blocks are
    named only of accounts that ever made one: a stream for each pair of people is a reading for each, and nearly all of them are empty."""

    def __init__(self, actor: str, others: Iterable[str], blocking: Collection[str]) -> None:
        self._actor = actor
        self._others = tuple(others)
        self._blocking = frozenset(blocking)

    @classmethod
    async def of(cls, log: EventLog, actor: str, others: Iterable[str]) -> Self:
        """Who of them ever blocked anybody is as this process has seen; the decision looks again."""
        others = tuple(dict.fromkeys(other for other in others if other != actor))
        if not others:
            return cls(actor, (), ())
        people = (actor, *others)
        states = View(await log.states([account_stream(person) for person in people]))
        blocking = [person for person in people if states.state(account_stream(person), Account).blocking]
        return cls(actor, others, blocking)

    @property
    def own(self) -> tuple[str, ...]:
        if self._actor not in self._blocking:
            return ()
        return tuple(block_stream(self._actor, other) for other in self._others)

    @property
    def theirs(self) -> tuple[str, ...]:
        made = tuple(block_stream(other, self._actor) for other in self._others if other in self._blocking)
        return (*(account_stream(other) for other in self._others), *made)

    def require_none(self, view: View, field: str) -> None:
        """BLOCKED where a block stands between the actor and any of them; CONFLICT where somebody made their first block just now."""
        for other in self._others:
            blocks.require_none(self._either(view, other), field)

    def require_mentionable(self, view: View, mentioned: Mapping[str, str]) -> None:
        """As ``require_none``, of those of them who are mentioned: {handle: account}."""
        for handle, account in mentioned.items():
            if account in self._others:
                message = f"@{handle} cannot be mentioned: one of you has blocked the other."
                blocks.require_none(self._either(view, account), "text", message)

    def _either(self, view: View, other: str) -> tuple[Block, Block]:
        return self._made(view, self._actor, other), self._made(view, other, self._actor)

    def _made(self, view: View, who: str, of: str) -> Block:
        if who in self._blocking:
            return view.state(block_stream(who, of), Block)
        if view.state(account_stream(who), Account).blocking:
            raise refuse(Code.CONFLICT, "Something else happened at the same time; please try again.")
        return Block()

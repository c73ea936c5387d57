"""What keeps people apart: the blocks between the actor of a command and those whom it concerns, either way."""

from collections.abc import Collection, Iterable

from domain.deciders import block as blocks
from domain.deciders.block import Block
from domain.ids import block_stream
from domain.log.port import View


class Between:
    """``own`` are the actor's blocks, filed under the actor; ``theirs`` those of the others, filed under them. An execution names all of them, those of
    the shard that it writes among its ``streams``."""

    def __init__(self, actor: str, others: Iterable[str]) -> None:
        self._actor = actor
        self._others = tuple(dict.fromkeys(other for other in others if other != actor))

    @property
    def own(self) -> tuple[str, ...]:
        return tuple(block_stream(self._actor, other) for other in self._others)

    @property
    def theirs(self) -> tuple[str, ...]:
        return tuple(block_stream(other, self._actor) for other in self._others)

    def require_none(self, view: View, field: str, *, of: Collection[str] | None = None) -> None:
        """BLOCKED where a block stands between the actor and any of them, or any ``of`` these."""
        for other in self._others:
            if of is None or other in of:
                own, theirs = block_stream(self._actor, other), block_stream(other, self._actor)
                blocks.require_none((view.state(own, Block), view.state(theirs, Block)), field)

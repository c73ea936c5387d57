"""What a handler answers, and what handlers share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from domain.context import Context
from domain.errors import Code, Problem, refuse
from domain.ids import is_id, shard_of, stream_shard
from domain.log.port import Draft, EventLog, Execution, Outcome, View

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Result:
    """``id`` names what the command is about (an account, a post, a session). ``repeat``: an idempotent create that had been done before."""

    id: str
    outcome: Outcome
    repeat: bool = False

    @property
    def changed(self) -> bool:
        return bool(self.outcome.events)


def require_actor(context: Context) -> str:
    """UNAUTHENTICATED for guests."""
    if context.actor is None:
        raise refuse(Code.UNAUTHENTICATED, "Sign in first.")
    return context.actor


def require_id(value: str, what: str, field: str) -> str:
    """NOT_FOUND for what cannot be an id: nothing has it."""
    if not is_id(value):
        raise refuse(Code.NOT_FOUND, f"There is no such {what}.", field)
    return value


def require_other(context: Context, user: str, deed: str) -> tuple[str, str]:
    """The actor, and the id of somebody else: INVALID for oneself, to whom nobody can do the ``deed``."""
    actor = require_actor(context)
    if require_id(user, "user", "userId") == actor:
        raise refuse(Code.INVALID, f"Nobody can {deed} themselves.", "userId")
    return actor, user


def key_problems(key: str | None, context: Context) -> list[Problem]:
    """What is wrong with an idempotency key, where there is one."""
    limit = context.limits.idempotency_key_bytes
    if key is None:
        return []
    if not key or not key.isprintable():
        return [Problem(Code.INVALID, "An idempotency key is one or more printable characters.", ("idempotencyKey",))]
    if len(key.encode()) > limit:
        return [Problem(Code.TOO_LONG, f"An idempotency key has at most {limit} bytes.", ("idempotencyKey",))]
    return []


def shard(log: EventLog, id_: str) -> int:
    return shard_of(id_, log.identity.shards)


async def state_of(log: EventLog, stream: str, kind: type[S]) -> S:
    """The stream's state as far as this process has seen; ``kind`` is the class it must have."""
    return View(await log.states([stream])).state(stream, kind)


def unchanged(_: View) -> Sequence[Draft]:
    """The decision that changes nothing."""
    return ()


async def confirm(log: EventLog, stream: str, context: Context) -> Outcome:
    """The stream's state at a confirmed head of its shard, with the position at which it holds."""
    execution = Execution(stream_shard(stream, log.identity.shards), (stream,), unchanged, context.metadata())
    return await log.execute(execution)

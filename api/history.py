"""A stream's history as it may be shown: who did what and when, and what each event changed in the folded state. Secrets are never in it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from api.schema.ids import Kind, kind_and_bare
from domain import deciders
from domain.deciders.claim import Claim
from domain.envelope import Recorded
from domain.errors import Code, refuse
from domain.ids import Namer, account_stream, category_of, claim_stream, is_id, post_stream
from domain.log.cloudevents import microseconds, timestamp
from domain.log.port import EventLog
from domain.names import fold_email, fold_handle, handle_claim

REDACTED: Final = "<redacted>"
SECRET: Final = "<secret>"  # noqa: S105 (what is shown in place of one)
_SECRET: Final = re.compile(r"(^|_)(hash|token|secret|password|rotated)(_|$)|^(password|token|secret)")
"""Names of what proves who somebody is: hashes of passwords and refresh tokens, those rotated away included."""


class Moment(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One event, with what it changed. ``changes`` are {path: (before, after)} of the stream's folded state; absent before and after is None."""

    stream: str
    version: int
    type: str
    event_id: str
    position: str
    occurred_at: str
    recorded_at: str
    command_id: str
    actor: str | None
    correlation_id: str
    causation_id: str | None
    traceparent: str | None
    data: object
    changes: dict[str, tuple[object, object]] | None = None


@dataclass(frozen=True, slots=True)
class History:
    """``state`` is that after the last of ``moments``."""

    stream: str
    moments: tuple[Moment, ...]
    state: object


def moment(recorded: Recorded, changes: dict[str, tuple[object, object]] | None = None) -> Moment:
    """An event as it may be shown."""
    metadata = recorded.metadata
    return Moment(
        stream=recorded.stream,
        version=recorded.version,
        type=recorded.event.name,
        event_id=recorded.event_id,
        position=f"{recorded.generation}/{recorded.shard}/{recorded.position}",
        occurred_at=timestamp(recorded.occurred_at),
        recorded_at=timestamp(recorded.recorded_at),
        command_id=metadata.command_id,
        actor=metadata.actor,
        correlation_id=metadata.correlation_id,
        causation_id=metadata.causation_id,
        traceparent=metadata.traceparent,
        data=showable(recorded.event, redacted=recorded.redacted),
        changes=changes,
    )


def history(stream: str, events: Sequence[Recorded], *, diff: bool = False) -> History:
    """Folds the events of one stream, in order, and notes on the way what each of them changed."""
    state = deciders.initial(stream)
    moments: list[Moment] = []
    for recorded in events:
        before, state = state, deciders.evolve(stream, state, recorded)
        moments.append(moment(recorded, changes(before, state) if diff else None))
    redacted = any(recorded.redacted for recorded in events)
    return History(stream, tuple(moments), showable(state, redacted=redacted) if events else None)


def showable(value: object, *, redacted: bool = False) -> object:
    """Plain values. What a person typed is REDACTED where ``redacted`` says that its key is gone; whatever proves who somebody is is SECRET always."""
    return _without_secrets(_plain(value), redacted=redacted)


def _plain(value: object) -> object:
    plain: object = msgspec.to_builtins(value, str_keys=True, order="deterministic")
    return plain


def _without_secrets(value: object, *, redacted: bool) -> object:
    if isinstance(value, dict):
        return {name: _shown(name, inner, redacted=redacted) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets(inner, redacted=redacted) for inner in value]
    return value


def _shown(name: str, value: object, *, redacted: bool) -> object:
    if name == "private" and value is None:
        return REDACTED if redacted else None
    if _SECRET.search(name) and isinstance(value, str | list | tuple | set | dict):
        return SECRET if value else value
    return _without_secrets(value, redacted=redacted)


def changes(before: object, after: object) -> dict[str, tuple[object, object]]:
    """{path: (before, after)} of all leaves that differ. A secret that changed is shown as one that did."""
    old, new = leaves(before), leaves(after)
    differing = [path for path in dict.fromkeys([*old, *new]) if old.get(path) != new.get(path)]
    return {path: (_leaf(path, old.get(path)), _leaf(path, new.get(path))) for path in differing}


def leaves(value: object) -> dict[str, object]:
    """{path: value} of all that is not itself an object."""
    return dict(_walk(_plain(value), ""))


def _walk(value: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _walk(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


def _leaf(path: str, value: object) -> object:
    return _shown(path.rpartition(".")[2], value, redacted=False)


def time_of(text: str) -> int:
    """Microseconds of an ISO 8601 time; one without an offset is UTC. Raises ValueError."""
    moment_ = datetime.fromisoformat(text)
    return microseconds(str(moment_ if moment_.tzinfo else moment_.replace(tzinfo=UTC)))


async def stream_named(log: EventLog, namer: Namer, name: str) -> str:
    """The stream that ``name`` stands for: a stream, a node id (u_…, p_…), a bare id of an account or post, a handle or an e-mail address.

    Refusal NOT_FOUND where it stands for none; a stream without events is found all the same where it is named whole.
    """
    parsed = kind_and_bare(name)
    if parsed is not None and parsed[0] in (Kind.USER, Kind.POST):
        return {Kind.USER: account_stream, Kind.POST: post_stream}[parsed[0]](parsed[1])
    if "-" in name and category_of(name) in deciders.REGISTRY:
        return name
    if is_id(name):
        for stream in (account_stream(name), post_stream(name)):
            if await log.load(stream, version=1):
                return stream
    elif (owner := await _owner(log, namer, name)) is not None:
        return account_stream(owner)
    raise refuse(
        Code.NOT_FOUND,
        f"{name} names no stream: give a stream (post-…), a node id (p_…, u_…), a handle or an e-mail address.",
    )


async def _owner(log: EventLog, namer: Namer, name: str) -> str | None:
    if "@" in name.strip().removeprefix("@"):
        claim = claim_stream(namer.claim_id("email", fold_email(name)))
    else:
        claim = claim_stream(handle_claim(namer, fold_handle(name)))
    states: Mapping[str, object] = await log.states([claim])
    state = states[claim]
    return state.owner if isinstance(state, Claim) and state.held else None

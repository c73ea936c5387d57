"""How commands and what came of them pass from process to process: MessagePack, many in one frame."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from domain.commands import Command
from domain.context import Context
from domain.envelope import Metadata, Recorded
from domain.errors import (
    Code,
    CorruptStreamError,
    LogError,
    OutcomeUnknownError,
    OverloadedError,
    Problem,
    Refusal,
    TidingsError,
    UnavailableError,
    UnknownEventError,
)
from domain.events import REGISTRY
from domain.handlers.result import Result
from domain.ids import Entropy, Namer
from domain.limits import Limits
from domain.log.port import Outcome

FRAME_BYTES: Final = 1024 * 1024
"""A frame is closed when it has grown to this; it may hold one more message of any size."""
MOST_BYTES: Final = 32 * 1024 * 1024
"""Largest frame that is taken."""

_OF_THE_PROCESS: Final = frozenset({"namer", "entropy"})
_FIELDS: Final = tuple(field for field in dataclasses.fields(Context) if field.name not in _OF_THE_PROCESS)


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """A command by its class's name. ``context`` holds what differs from the defaults."""

    number: int
    name: str
    command: msgspec.Raw
    context: dict[str, Any]


class _Event(msgspec.Struct, frozen=True, array_like=True):
    """An event as it was decided, with what is sealed in the log in clear: it goes to whoever has asked for it."""

    name: str
    schema_version: int
    event: msgspec.Raw
    event_id: str
    stream: str
    version: int
    metadata: Metadata
    occurred_at: int
    recorded_at: int
    attempt_id: str
    generation: int
    shard: int
    position: int


class Done(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A result. ``states`` are by stream, each as its category's state."""

    number: int
    id: str
    repeat: bool
    positions: dict[int, int]
    events: list[_Event]
    states: dict[str, msgspec.Raw]


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=2):
    number: int
    problems: list[tuple[Code, str, tuple[str, ...]]]


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """``code`` is that of the error; ``command`` is the command of which the outcome is unknown."""

    number: int
    code: str
    message: str
    command: str = ""


class Declined(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The command was not run: the process is of another version and does not know it, or it is about to end."""

    number: int


Answer = Done | Refused | Failed | Declined

_encode: Final = msgspec.msgpack.Encoder().encode
_asks: Final = msgspec.msgpack.Decoder(list[Ask])
_answers: Final = msgspec.msgpack.Decoder(list[Answer])
read_asks: Final = _asks.decode
read_answers: Final = _answers.decode


def asked(number: int, command: Command, context: Context) -> bytes:
    """A message that asks for ``command`` to be run."""
    values = ((field, getattr(context, field.name)) for field in _FIELDS)
    fields = {field.name: value for field, value in values if value != field.default}
    return _encode(Ask(number, type(command).__name__, msgspec.Raw(_encode(command)), fields))


def command_of(ask: Ask, kind: type[Command]) -> Command:
    return msgspec.msgpack.decode(ask.command, type=kind)


def context_of(ask: Ask, namer: Namer, entropy: Entropy) -> Context:
    """TypeError where it has a field that this program does not know."""
    fields = dict(ask.context)
    if "limits" in fields:
        fields["limits"] = msgspec.convert(fields["limits"], Limits)
    return Context(namer=namer, entropy=entropy, **fields)


def done(number: int, result: Result) -> bytes:
    outcome = result.outcome
    states = {stream: msgspec.Raw(_encode(state)) for stream, state in outcome.states.items()}
    events = [_sent(each) for each in outcome.events]
    return _encode(Done(number, result.id, result.repeat, dict(outcome.positions), events, states))


def failed(number: int, error: TidingsError) -> bytes:
    if isinstance(error, Refusal):
        return _encode(Refused(number, [(p.code, p.message, p.field) for p in error.problems]))
    command = error.command_id if isinstance(error, OutcomeUnknownError) else ""
    return _encode(Failed(number, error.code, str(error), command))


def declined(number: int) -> bytes:
    return _encode(Declined(number))


def result_of(answer: Done, initial: Callable[[str], object]) -> Result:
    """``initial`` gives a stream's state before its first event, and so the kind of its states."""
    states = {
        stream: msgspec.msgpack.decode(state, type=type(initial(stream))) for stream, state in answer.states.items()
    }
    outcome = Outcome(tuple(_received(each) for each in answer.events), answer.positions, states)
    return Result(answer.id, outcome, repeat=answer.repeat)


def error_of(answer: Refused | Failed) -> TidingsError:
    """The error that was raised there, as a class of the same code."""
    if isinstance(answer, Refused):
        return Refusal([Problem(code, message, tuple(field)) for code, message, field in answer.problems])
    if answer.code == OutcomeUnknownError.code:
        return OutcomeUnknownError(answer.command)
    return _ERRORS.get(answer.code, TidingsError)(answer.message)


_KINDS: Final[tuple[type[TidingsError], ...]] = (
    UnavailableError,
    OverloadedError,
    LogError,
    UnknownEventError,
    CorruptStreamError,
)
_ERRORS: Final = {kind.code: kind for kind in _KINDS}


def _sent(recorded: Recorded) -> _Event:
    event = recorded.event
    return _Event(
        event.name,
        event.schema_version,
        msgspec.Raw(_encode(event)),
        recorded.event_id,
        recorded.stream,
        recorded.version,
        recorded.metadata,
        recorded.occurred_at,
        recorded.recorded_at,
        recorded.attempt_id,
        recorded.generation,
        recorded.shard,
        recorded.position,
    )


def _received(sent: _Event) -> Recorded:
    return Recorded(
        event_id=sent.event_id,
        stream=sent.stream,
        version=sent.version,
        event=msgspec.msgpack.decode(sent.event, type=REGISTRY[sent.name, sent.schema_version]),
        metadata=sent.metadata,
        occurred_at=sent.occurred_at,
        recorded_at=sent.recorded_at,
        attempt_id=sent.attempt_id,
        generation=sent.generation,
        shard=sent.shard,
        position=sent.position,
    )


def frames(messages: Sequence[bytes]) -> Iterator[tuple[bytes, int]]:
    """Frames of all messages, in order, each with the number of messages in it."""
    group: list[msgspec.Raw] = []
    size = 0
    for message in messages:
        group.append(msgspec.Raw(message))
        size += len(message)
        if size >= FRAME_BYTES:
            yield _encode(group), len(group)
            group, size = [], 0
    if group:
        yield _encode(group), len(group)

"""The codec: an event to the columns of its row and back, whatever version it was stored in.

The field ``private`` of an event is sealed apart; everything else is its payload. Both are JSON by msgspec.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, get_type_hints

import msgspec

from domain.envelope import Metadata, Recorded
from domain.errors import LogError, UnknownEventError
from domain.events import REGISTRY, Event
from domain.log.sealing import forgotten, seal, unseal
from domain.upcasters import UPCASTERS, Upcaster, chain

_ROW_OVERHEAD: Final = 150
"""What a row weighs besides its bytes columns and names, roughly."""


class StoredEvent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One row of the log: every column, in the order in which adapters select and bind them (``StoredEvent(*row)``, ``astuple``), or pack them
    into one value. A field is only ever added, at the end, with a default.

    ``sealed`` and ``subject`` are None where nothing is sealed. Times are microseconds since the epoch.
    """

    generation: int
    shard: int
    position: int
    stream: str
    version: int
    event_id: str
    type: str
    schema_version: int
    payload: bytes
    sealed: bytes | None
    subject: str | None
    metadata: bytes
    occurred_at: int
    recorded_at: int
    attempt_id: str

    @property
    def size(self) -> int:
        """About how many bytes the row adds to a batch."""
        texts = len(self.stream) + len(self.event_id) + len(self.type) + len(self.attempt_id)
        return _ROW_OVERHEAD + texts + len(self.payload) + len(self.sealed or b"") + len(self.metadata)


COLUMNS: Final = StoredEvent.__struct_fields__
"""The names of the columns, in order."""

_encoder: Final = msgspec.json.Encoder()
_metadata: Final = msgspec.json.Decoder(Metadata)


@dataclass(frozen=True, slots=True)
class _Reader:
    """How one stored (type, schema version) is read. Without upcasters the payload decodes straight into its class."""

    event_class: type[Event]
    payload: msgspec.json.Decoder[Event]
    private: "msgspec.json.Decoder[Any] | None"
    upcasters: tuple[Upcaster, ...]


@cache
def _seals(event_class: type[Event]) -> bool:
    return "private" in event_class.__struct_fields__


@cache
def _reader(name: str, schema_version: int) -> _Reader:
    today = max((version for known, version in REGISTRY if known == name), default=None)
    if today is None:
        raise UnknownEventError(
            f"{name} v{schema_version} is not an event of this Tidings: deploy readers before writers"
        )
    event_class = REGISTRY[name, today]
    private = msgspec.json.Decoder(get_type_hints(event_class)["private"]) if _seals(event_class) else None
    upcasters = chain(name, schema_version, today, UPCASTERS)
    return _Reader(event_class, msgspec.json.Decoder(event_class), private, upcasters)


def encode(recorded: Recorded, *, subject: str | None, key: bytes | None) -> StoredEvent:
    """The row of ``recorded``; a private part is sealed under ``key``, which is ``subject``'s.

    Raises ValueError where there is a private part and no subject, and refuses where the subject's key was destroyed (key None).
    """
    event = recorded.event
    sealed = None
    if _seals(type(event)):
        fields = msgspec.structs.asdict(event)
        private = fields.pop("private")
        payload = _encoder.encode(fields)
        if private is not None:
            sealed = _seal(recorded, _encoder.encode(private), subject, key)
    else:
        payload = _encoder.encode(event)
    return StoredEvent(
        recorded.generation,
        recorded.shard,
        recorded.position,
        recorded.stream,
        recorded.version,
        recorded.event_id,
        event.name,
        event.schema_version,
        payload,
        sealed,
        subject if sealed is not None else None,
        _encoder.encode(recorded.metadata),
        recorded.occurred_at,
        recorded.recorded_at,
        recorded.attempt_id,
    )


def _seal(recorded: Recorded, plain: bytes, subject: str | None, key: bytes | None) -> bytes:
    name = recorded.event.name
    if subject is None:
        raise ValueError(f"{name} in {recorded.stream} has a private part, and its execution names no subject")
    if key is None:
        raise forgotten(subject)
    return seal(key, plain, event_id=recorded.event_id, stream=recorded.stream, type=name)


def decode(stored: StoredEvent, keys: Mapping[str, bytes | None]) -> Recorded:
    """The event of a row, as a class of today. ``keys`` are by subject; where the row's is missing or None, ``private`` is None (redacted).

    Raises UnknownEventError for a type or version that this program does not know, LogError for bytes that do not open or parse.
    """
    reader = _reader(stored.type, stored.schema_version)
    plain = _unseal(stored, keys)
    try:
        event = _event(reader, stored.payload, plain)
        metadata = _metadata.decode(stored.metadata)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise LogError(
            f"event {stored.event_id} ({stored.type} v{stored.schema_version}) in {stored.stream} cannot be read: {error}"
        ) from error
    return Recorded(
        event_id=stored.event_id,
        stream=stored.stream,
        version=stored.version,
        event=event,
        metadata=metadata,
        occurred_at=stored.occurred_at,
        recorded_at=stored.recorded_at,
        attempt_id=stored.attempt_id,
        generation=stored.generation,
        shard=stored.shard,
        position=stored.position,
        redacted=stored.sealed is not None and plain is None,
    )


def _unseal(stored: StoredEvent, keys: Mapping[str, bytes | None]) -> bytes | None:
    if stored.sealed is None or stored.subject is None:
        return None
    key = keys.get(stored.subject)
    if key is None:
        return None
    return unseal(key, stored.sealed, event_id=stored.event_id, stream=stored.stream, type=stored.type)


def _event(reader: _Reader, payload: bytes, plain: bytes | None) -> Event:
    if reader.upcasters:
        raw = msgspec.json.decode(payload)
        raw["private"] = msgspec.json.decode(plain) if plain is not None else None
        for upcaster in reader.upcasters:
            raw = upcaster(raw)
        return msgspec.convert(raw, reader.event_class)
    event = reader.payload.decode(payload)
    if plain is None or reader.private is None:
        return event
    return msgspec.structs.replace(event, private=reader.private.decode(plain))

"""The log as it is stored: rows and wrapped keys, for what an operator does to a log as a whole (exports, imports, the rotation of its master key).

Nothing here is decided, opened or decoded. An import alone writes, into a log that holds nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

import msgspec

from domain.envelope import Metadata
from domain.errors import LogError
from domain.events import SegmentPadded
from domain.ids import Entropy, mint_id
from domain.log.batching import Base, Limits, log_stream, room_after
from domain.log.codec import StoredEvent
from domain.log.port import LogIdentity

Command = Sequence[StoredEvent]
"""The rows of one command in one shard: they are appended together or not at all."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a log goes: the sequence of each shard's newest event (shards without events are absent), and the number of rows, padding included."""

    ends: Mapping[int, int]
    rows: int


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A subject's key as it is stored; ``wrapped`` is None where it was destroyed."""

    subject: str
    wrapped: bytes | None


class Archive(Protocol):
    """Errors of every method: UnavailableError (store out of reach), LogError (the log cannot be trusted, or somebody else writes to it)."""

    @property
    def identity(self) -> LogIdentity: ...

    @property
    def server_key_fingerprint(self) -> str: ...

    async def extent(self) -> Extent: ...

    async def rows(self, shard: int, after: int, limit: int) -> Sequence[StoredEvent]:
        """At most ``limit`` rows with sequence > ``after``, dense and in order, over all generations; () at the end."""
        ...

    async def restore(self, commands: Mapping[int, Sequence[Command]]) -> None:
        """Appends what an export held, by shard, in order. Positions, attempts and generation are new; all else is kept, save that a time of recording
        below that of the row before is raised to it."""
        ...

    async def finish(self) -> None:
        """After the last ``restore``: all that is derived from the rows is there."""
        ...

    async def keys(self, after: str | None, limit: int) -> Sequence[StoredKey]:
        """At most ``limit`` keys that follow the subject ``after`` in an order of the store's own; None: from the first."""
        ...

    async def restore_keys(self, keys: Sequence[StoredKey]) -> None:
        """Adds each key where its subject has none. A destroyed one destroys, and what is destroyed stays so."""
        ...

    async def rewrap(self, changes: Sequence[tuple[StoredKey, bytes]]) -> int:
        """Replaces what is stored by the bytes beside it, and returns how often it did: not where it is no longer stored so, as when the key was destroyed
        meanwhile."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where the next row goes. ``padded`` is the version of the shard's own stream (domain.log.batching.log_stream)."""

    base: Base
    padded: int


_LIMITS: Final = Limits()
_encode: Final = msgspec.json.Encoder().encode


def batches(commands: Sequence[Command], place: Place, entropy: Entropy) -> Iterator[list[StoredEvent]]:
    """The rows of the batches that append ``commands`` at ``place``, each of one segment, filled up where the next command does not fit.

    Raises LogError for a command of more events than a batch holds.
    """
    layout = _Layout(place, entropy)
    for command in commands:
        if len(command) > _LIMITS.events:
            raise LogError(
                f"command of {len(command)} events in {command[0].stream}: there are at most {_LIMITS.events}"
            )
        yield from layout.add(command)
    yield from layout.flush()


class _Layout:
    def __init__(self, place: Place, entropy: Entropy) -> None:
        self._base = place.base
        self._padded = place.padded
        self._entropy = entropy
        self._seen = place.base.seen
        self._recorded_at = place.base.recorded_at
        self._rows: list[StoredEvent] = []
        self._size = 0

    def add(self, command: Command) -> Iterator[list[StoredEvent]]:
        size = sum(row.size for row in command)
        if self._rows and (len(self._rows) + len(command) > _LIMITS.events or self._size + size > _LIMITS.bytes):
            yield from self.flush()
        if len(self._rows) + len(command) > self._room():
            self._rows += [self._padding() for _ in range(self._room() - len(self._rows))]
            yield from self.flush()
        self._rows += command
        self._size += size

    def _room(self) -> int:
        return room_after(self._seen, self._base.segment_size)

    def _padding(self) -> StoredEvent:
        self._padded += 1
        return StoredEvent(
            generation=0,
            shard=0,
            position=0,
            stream=log_stream(self._base.shard),
            version=self._padded,
            event_id="",
            type=SegmentPadded.name,
            schema_version=SegmentPadded.schema_version,
            payload=b"{}",
            sealed=None,
            subject=None,
            metadata=b"",
            occurred_at=0,
            recorded_at=0,
            attempt_id="",
        )

    def flush(self) -> Iterator[list[StoredEvent]]:
        if not self._rows:
            return
        attempt = mint_id(0, self._entropy)
        placed = [self._placed(row, attempt, index) for index, row in enumerate(self._rows)]
        self._seen += len(placed)
        self._rows, self._size = [], 0
        yield placed

    def _placed(self, row: StoredEvent, attempt: str, index: int) -> StoredEvent:
        self._recorded_at = max(self._recorded_at, row.recorded_at)
        changes: dict[str, object] = {
            "generation": self._base.generation,
            "shard": self._base.shard,
            "position": self._seen + index + 1,
            "recorded_at": self._recorded_at,
            "attempt_id": attempt,
        }
        if not row.event_id:
            changes |= {
                "event_id": f"{attempt}-{index}",
                "metadata": _encode(Metadata(command_id=attempt)),
                "occurred_at": self._recorded_at,
            }
        return msgspec.structs.replace(row, **changes)


def moved(place: Place, last: StoredEvent, padded: int) -> Place:
    """``place`` after the row ``last``, with ``padded`` more rows of the shard's own stream."""
    base = replace(place.base, seen=last.position, recorded_at=last.recorded_at)
    return Place(base, place.padded + padded)

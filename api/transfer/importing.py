"""Reads an export into an empty log, or goes on where an interrupted import ended: the log itself says how far that came."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from domain.envelope import sequence
from domain.errors import TransferError, UnknownEventError
from domain.events import REGISTRY
from domain.ids import category_of, stream_shard
from domain.log.archive import Archive
from domain.log.cloudevents import Chain, Chunk, Reader
from domain.log.codec import StoredEvent

_PAGE: Final = 500

Told = Callable[[int, int], None]
"""Told of events that are in the log, and of the bytes of the export that they took up to here."""


@dataclass(slots=True)
class Imported:
    """``events`` of the export are in the log; ``appended`` of them by this run."""

    events: int = 0
    appended: int = 0


@dataclass(slots=True)
class _Lane:
    """What one shard of the log holds already, read along with the export."""

    rows: AsyncIterator[StoredEvent]
    open: bool = True

    async def next(self) -> StoredEvent | None:
        if self.open:
            async for row in self.rows:
                return row
            self.open = False
        return None


@dataclass(slots=True)
class _Chunked:
    commands: dict[int, list[list[StoredEvent]]] = field(default_factory=dict)
    count: int = 0

    def add(self, shard: int, row: StoredEvent, *, joins: bool) -> None:
        own = self.commands.setdefault(shard, [])
        if joins and own:
            own[-1].append(row)
        else:
            own.append([row])
        self.count += 1


async def import_log(archive: Archive, found: Iterable[bytes], key: bytes, told: Told) -> Imported:
    """Appends what ``found``, the lines of an export, hold and the log does not; chunk by chunk, each proven before anything of it is appended.

    Raises TransferError where the export is damaged, of another SERVER_KEY, or not what the log begins with. What was complete before is in
    the log then, and the import can be repeated with the whole file.
    """
    reader = Reader(Chain(key), archive.server_key_fingerprint)
    given = iter(found)
    reader.begin(next(given, b""))
    shards = archive.identity.shards
    lanes = [_Lane(_held(archive, shard)) for shard in range(shards)]
    done = Imported()
    for chunk in reader.chunks(given):
        missing = await _missing(chunk, lanes, shards)
        if missing.count:
            await archive.restore(missing.commands)
        done.events = chunk.mark.events
        done.appended += missing.count
        told(chunk.mark.events, chunk.size)
    for lane in lanes:
        extra = await lane.next()
        if extra is not None:
            raise _in_the_way(extra)
    await archive.finish()
    return done


async def _held(archive: Archive, shard: int) -> AsyncIterator[StoredEvent]:
    after = 0
    while rows := await archive.rows(shard, after, _PAGE):
        for row in rows:
            if category_of(row.stream) != "shard":
                yield row
        after = sequence(rows[-1].generation, rows[-1].position)


async def _missing(chunk: Chunk, lanes: Sequence[_Lane], shards: int) -> _Chunked:
    missing = _Chunked()
    before: tuple[int, StoredEvent] | None = None
    for row in chunk.rows:
        _require_known(row.type, row.schema_version)
        shard = stream_shard(row.stream, shards)
        held = await lanes[shard].next()
        if held is None:
            missing.add(shard, row, joins=before is not None and before[0] == shard and _of_one_command(before[1], row))
        elif (held.event_id, held.stream, held.version) != (row.event_id, row.stream, row.version):
            raise _in_the_way(held)
        before = shard, row
    return missing


def _of_one_command(before: StoredEvent, row: StoredEvent) -> bool:
    """Whether both were appended together by one command: its events have one attempt, with which their ids begin."""
    attempts = [each.event_id.rpartition("-")[0] for each in (before, row)]
    return before.metadata == row.metadata and attempts[0] == attempts[1]


def _require_known(name: str, schema_version: int) -> None:
    if not any(known == name and version >= schema_version for known, version in REGISTRY):
        raise UnknownEventError(
            f"{name} v{schema_version} is not an event of this Tidings: import with the one that exported it, or a newer one"
        )


def _in_the_way(row: StoredEvent) -> TransferError:
    return TransferError(
        f"the log holds event {row.event_id} ({row.stream}, version {row.version}), which the export does not have there: "
        "an import goes into an empty log, or one that was begun with this very export"
    )

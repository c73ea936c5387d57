"""Writes a log out as CloudEvents, shards merged by time of recording, and goes on where an interrupted export ended."""

import heapq
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from domain.envelope import sequence, split_sequence
from domain.errors import TransferError
from domain.ids import Entropy, category_of
from domain.log.archive import Archive, Extent
from domain.log.cloudevents import (
    CHUNK_EVENTS,
    MAX_LINE,
    Chain,
    Reader,
    TruncatedError,
    header_line,
    line_of,
    mark_line,
    source_of,
)
from domain.log.codec import StoredEvent

_ROWS: Final = 4_096
"""Held in memory at a time, of all shards together."""

Progress = Callable[[int], None]
"""Told of rows that are done with."""


@dataclass(frozen=True, slots=True)
class Begun:
    """An export under way. ``positions`` are the sequences by shard up to which it is written, ``size`` the bytes that are whole."""

    chain: Chain
    export_id: str
    events: int
    positions: Mapping[int, int]
    size: int


def lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, none of them read further than any export goes."""
    return iter(lambda: file.readline(MAX_LINE + 1), b"")


def begun_in(path: Path, fingerprint: str, key: bytes) -> Begun | None:
    """What an interrupted export left in ``path``, None where that holds nothing. TransferError where it is complete, or no export of this world."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    with path.open("rb") as file:
        reader = Reader(Chain(key), fingerprint)
        found = lines(file)
        try:
            reader.begin(next(found))
        except TruncatedError:
            return None
        chain, events, positions, size = reader.chain.copy(), 0, {}, reader.size
        try:
            for chunk in reader.chunks(found):
                if chunk.last:
                    raise TransferError(
                        f"{path} holds a whole export of {chunk.mark.events:,} events: name another file"
                    )
                chain, events = reader.chain.copy(), chunk.mark.events
                positions, size = dict(chunk.mark.positions), chunk.size
        except TruncatedError:
            pass
    return Begun(chain, reader.export_id, events, positions, size)


def fresh(file: BinaryIO, fingerprint: str, key: bytes, entropy: Entropy) -> Begun:
    """Begins an export in an empty file."""
    export_id = entropy(8).hex()
    header = header_line(export_id, fingerprint)
    chain = Chain(key)
    chain.begin(header)
    file.write(header)
    return Begun(chain, export_id, 0, {}, len(header))


async def export_log(archive: Archive, file: BinaryIO, begun: Begun, extent: Extent, progress: Progress) -> int:
    """Writes what follows ``begun``, up to ``extent``, and the end; returns the number of events of the whole export."""
    fingerprint = archive.server_key_fingerprint
    source = source_of(fingerprint)
    chain, events, positions = begun.chain, begun.events, dict(begun.positions)
    pending, before = 0, None
    async for row in _merged(archive, begun.positions, extent, progress):
        if pending >= CHUNK_EVENTS and _begins_command(row, before):
            file.write(mark_line(chain, begun.export_id, fingerprint, events, positions, last=False))
            file.flush()
            pending = 0
        before = row
        positions[row.shard] = sequence(row.generation, row.position)
        if category_of(row.stream) == "shard":
            continue
        line = line_of(row, source)
        chain.add(line)
        file.write(line)
        events, pending = events + 1, pending + 1
    file.write(mark_line(chain, begun.export_id, fingerprint, events, positions, last=True))
    file.flush()
    return events


def _begins_command(row: StoredEvent, before: StoredEvent | None) -> bool:
    return before is None or (row.shard, row.metadata, row.attempt_id) != (
        before.shard,
        before.metadata,
        before.attempt_id,
    )


async def _merged(
    archive: Archive, positions: Mapping[int, int], extent: Extent, progress: Progress
) -> AsyncIterator[StoredEvent]:
    page = max(16, _ROWS // max(1, len(extent.ends)))
    lanes = {
        shard: _lane(archive, shard, positions.get(shard, 0), end, page)
        for shard, end in extent.ends.items()
        if end > positions.get(shard, 0)
    }
    heap: list[tuple[int, int, int, StoredEvent]] = []

    async def advance(shard: int) -> None:
        async for row in lanes[shard]:
            # Inside a shard times never fall, so that merging by time keeps each shard's order, and a batch stays together.
            heapq.heappush(heap, (row.recorded_at, shard, sequence(row.generation, row.position), row))
            return

    for shard in lanes:
        await advance(shard)
    while heap:
        _, shard, _, row = heapq.heappop(heap)
        yield row
        progress(1)
        await advance(shard)


async def _lane(archive: Archive, shard: int, after: int, end: int, page: int) -> AsyncIterator[StoredEvent]:
    while after < end:
        rows = await archive.rows(shard, after, page)
        if not rows:
            raise TransferError(
                f"shard {shard} cannot be read beyond {split_sequence(after)[1]}: try again in a moment"
            )
        for row in rows:
            if sequence(row.generation, row.position) > end:
                return
            yield row
        after = sequence(rows[-1].generation, rows[-1].position)


def truncate(path: Path, size: int) -> BinaryIO:
    """The file, cut to its first ``size`` bytes, to be written on."""
    path.touch(mode=0o600)
    file = path.open("r+b")
    file.truncate(size)
    file.seek(0, os.SEEK_END)
    return file

"""The pure heart of a verification: what rows of a shard, and rows of a stream, must look like one after the other.

Nothing here reads a store. Memory does not grow with the log: what must hold between rows that lie far apart is compared by sums of hashes.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from zlib import crc32

import msgspec

from domain.errors import LogError
from domain.events import GenerationClosed, SegmentPadded
from domain.ids import stream_shard
from domain.log.batching import log_stream, segment_of
from domain.log.codec import StoredEvent, decode
from domain.log.findings import Finding, Kind, finding_at, finding_of
from domain.log.port import MAX_COMMAND_EVENTS

ATTEMPTS: Final = 65_536
"""Attempts of a shard that are remembered: one that came again within so many batches is found."""
BUCKETS: Final = 4_096
_DIGEST: Final = 16
_MASK: Final = (1 << 8 * _DIGEST) - 1


class ShardCheck:
    """The rows of one shard and generation, fed in the order of their positions."""

    def __init__(self, generation: int, shard: int, *, shards: int, segment_size: int) -> None:
        self._generation = generation
        self._shard = shard
        self._shards = shards
        self._segment_size = segment_size
        self._last: StoredEvent | None = None
        self._index = 0
        self._padding = 0
        self._attempts: OrderedDict[str, int] = OrderedDict()

    def feed(self, row: StoredEvent) -> Iterator[Finding]:
        last = self._last
        position = last.position if last is not None else 0
        follows = row.position == position + 1
        if not follows:
            yield finding_at(row, Kind.POSITION, f"position {position + 1}", f"position {row.position}")
        if last is not None and row.recorded_at < last.recorded_at:
            yield finding_at(row, Kind.TIME, f"recorded at {last.recorded_at} or later", row.recorded_at)
        if last is not None and last.type == GenerationClosed.name:
            yield finding_at(row, Kind.CLOSED, f"nothing after the generation was closed at {position}", row.type)
        if _shard_of(row.stream, self._shards) != self._shard:
            yield finding_at(row, Kind.PLACE, f"a stream of shard {self._shard}", row.stream)
        yield from self._attempt(row, last, follows)
        yield from self._pad(row, last)
        self._last = row

    def _attempt(self, row: StoredEvent, last: StoredEvent | None, follows: bool) -> Iterator[Finding]:
        """Rows of an attempt stand together in one segment, its own events numbered from 0; imported ones keep the ids that they had."""
        attempt = row.attempt_id
        if not attempt or not row.event_id:
            yield finding_at(
                row, Kind.ATTEMPT, "an attempt and an event id", f"{attempt or 'none'}, {row.event_id or 'none'}"
            )
        if last is not None and attempt == last.attempt_id:
            self._index += 1
            if segment_of(row.position, self._segment_size) != segment_of(last.position, self._segment_size):
                yield finding_at(row, Kind.ATTEMPT, "an attempt within one segment", f"{attempt} goes on")
        else:
            self._index = 0
            before = self._attempts.get(attempt)
            if before is not None:
                yield finding_at(row, Kind.ATTEMPT, f"rows of {attempt} together, from {before} on", "it came again")
            self._attempts[attempt] = row.position
            if len(self._attempts) > ATTEMPTS:
                self._attempts.popitem(last=False)
        named, _, number = row.event_id.rpartition("-")
        if named == attempt and number != str(self._index):
            # Behind a hole nobody knows how many are missing.
            if follows:
                yield finding_at(row, Kind.ATTEMPT, f"event {attempt}-{self._index}", row.event_id)
            self._index = int(number) if number.isdecimal() else self._index

    def _pad(self, row: StoredEvent, last: StoredEvent | None) -> Iterator[Finding]:
        """Padding fills a segment up to its end, and is less than a batch."""
        padded = row.type == SegmentPadded.name
        if self._padding and last is not None and not padded and last.position % self._segment_size:
            yield finding_at(row, Kind.PADDING, "padding up to the segment's end", row.type)
        starts = segment_of(row.position, self._segment_size) * self._segment_size + 1 == row.position
        self._padding = 0 if not padded else 1 if starts else self._padding + 1
        if self._padding >= MAX_COMMAND_EVENTS:
            yield finding_at(row, Kind.PADDING, f"less than {MAX_COMMAND_EVENTS} rows of padding", self._padding)
        if row.type in (SegmentPadded.name, GenerationClosed.name) and row.stream != log_stream(self._shard):
            yield finding_at(row, Kind.PLACE, f"stream {log_stream(self._shard)}", row.stream)

    def end(self, head: int, *, closed: bool) -> Iterator[Finding]:
        """After the last row: ``head`` is what the store says, ``closed`` whether a later generation has begun."""
        last = self._last
        position = last.position if last is not None else 0
        place = (self._generation, self._shard, position)
        if position != head:
            yield finding_of(Kind.HEAD, *place, f"rows up to the head {head}", f"{position} is last")
        if self._padding and position % self._segment_size:
            yield finding_of(Kind.PADDING, *place, "padding up to the segment's end", "it stops short")
        if closed and (last is None or last.type != GenerationClosed.name):
            found = last.type if last is not None else "no event"
            yield finding_of(Kind.CLOSED, *place, f"{GenerationClosed.name} as the last", found)


def _shard_of(stream: str, shards: int) -> int | None:
    try:
        return stream_shard(stream, shards)
    except (ValueError, IndexError):
        return None


class StreamCheck:
    """Rows of streams, fed stream after stream and by (version, generation, position).

    ``above`` are the (first, last) versions of what is known of streams from elsewhere, above the rows that are fed; they are taken out as their streams
    are met.
    """

    def __init__(self, above: dict[str, tuple[int, StoredEvent]] | None = None) -> None:
        self._above = above if above is not None else {}
        self._stream = ""
        self._version = 0
        self._place = (0, 0)

    def feed(self, stream: str, version: int, generation: int, shard: int, position: int) -> Iterator[Finding]:
        if stream != self._stream:
            yield from self.end()
            self._stream, self._version, self._place = stream, 0, (0, 0)
        wrong: list[tuple[str, str]] = []
        if version != self._version + 1:
            wrong.append((f"version {self._version + 1}", f"version {version}"))
        if (generation, position) <= self._place:
            place = f"a place after position {self._place[1]} of generation {self._place[0]}"
            wrong.append((place, f"position {position}"))
        for expected, found in wrong:
            yield msgspec.structs.replace(
                finding_of(Kind.VERSION, generation, shard, position, expected, found), stream=stream, version=version
            )
        self._version = version
        self._place = (generation, position)

    def end(self) -> Iterator[Finding]:
        """After a stream's last row."""
        above = self._above.pop(self._stream, None)
        if above is not None:
            yield from _joins(self._version, *above)

    def rest(self) -> Iterator[Finding]:
        """After all streams: those of which nothing was fed."""
        for above in self._above.values():
            yield from _joins(0, *above)


def _joins(version: int, first: int, row: StoredEvent) -> Iterator[Finding]:
    if first != version + 1:
        yield finding_at(row, Kind.VERSION, f"version {version + 1}", f"version {first}")


class Above:
    """Rows above what the index must hold, in the order of their shard: each stream's first is kept, the others are compared with the one before."""

    def __init__(self) -> None:
        self.first: dict[str, tuple[int, StoredEvent]] = {}
        self._last: dict[str, int] = {}

    def feed(self, row: StoredEvent) -> Iterator[Finding]:
        last = self._last.get(row.stream)
        self._last[row.stream] = row.version
        if last is None:
            # Without its bytes: a tail may be long.
            self.first[row.stream] = (row.version, msgspec.structs.replace(row, payload=b"", sealed=None, metadata=b""))
        else:
            yield from _joins(last, row.version, row)


def bucket_of(stream: str) -> int:
    return crc32(stream.encode()) % BUCKETS


class Sums:
    """A sum of the hashes of rows for each bucket of streams: equal for two sets of rows in any order if, and practically only if, the sets are equal."""

    def __init__(self) -> None:
        self.sums = [0] * BUCKETS

    def add(self, stream: str, row: bytes) -> None:
        """``row`` is all of the row, in one form wherever it lies."""
        bucket = bucket_of(stream)
        digest = hashlib.blake2b(row, digest_size=_DIGEST).digest()
        self.sums[bucket] = self.sums[bucket] + int.from_bytes(digest, "big") & _MASK

    def differing(self, other: "Sums") -> frozenset[int]:
        """The buckets in which the two are not of equal rows."""
        pairs = zip(self.sums, other.sums, strict=True)
        return frozenset(bucket for bucket, (one, two) in enumerate(pairs) if one != two)


def unreadable(rows: Sequence[StoredEvent], keys: Mapping[str, bytes | None]) -> Iterator[Finding]:
    """Rows that this program cannot decode, or whose sealed part cannot be opened though its key was not destroyed. ``keys`` by subject: None where
    destroyed, absent where never made."""
    for row in rows:
        if (row.sealed is None) != (row.subject is None):
            yield finding_at(row, Kind.KEY, "a sealed part with its subject, or neither", f"subject {row.subject}")
        elif row.subject is not None and row.subject not in keys:
            yield finding_at(row, Kind.KEY, f"a key of {row.subject}, or a mark that it was destroyed", "neither")
        try:
            decode(row, keys)
        except LogError as error:
            yield finding_at(row, Kind.UNREADABLE, f"{row.type} v{row.schema_version}, readable", error)

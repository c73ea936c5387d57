"""States of streams: folded from rows, and kept for the streams that are hot."""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from domain.envelope import Recorded
from domain.errors import LogError
from domain.ids import category_of
from domain.log.batching import Aggregates, Snapshot, blank, fold
from domain.log.codec import StoredEvent, decode
from domain.log.snapshots import EVERY, keep, revive
from domain.log.sqlite import queries
from domain.log.sqlite.keys import Keys
from domain.log.sqlite.queries import newest_version, rows_of_stream, rows_of_streams


def load(
    connection: sqlite3.Connection, streams: Iterable[str], aggregates: Aggregates, keys: Keys, *, keeping: bool = False
) -> Iterator[tuple[str, Snapshot | LogError]]:
    """Every stream's snapshot, or why it has none: what cannot be read in one stream does not stop the others. With ``keeping``, for a connection that
    writes, those that took many events to fold are kept."""
    wanted = list(streams)
    own = [stream for stream in wanted if not _is_the_logs(stream)]
    rows = rows_of_streams(connection, own, aggregates.edition())
    opened = keys.read(connection, {row.subject for found in rows.values() for row in found if row.subject is not None})
    for stream in wanted:
        if _is_the_logs(stream):
            # Its padding adds up to many rows, and says nothing but its version.
            yield stream, Snapshot(newest_version(connection, stream), aggregates.initial(stream))
            continue
        try:
            snapshot = _folded(connection, stream, rows.get(stream, ()), aggregates, keys, opened, keeping=keeping)
        except LogError as error:
            yield stream, error
        else:
            yield stream, snapshot


def _folded(
    connection: sqlite3.Connection,
    stream: str,
    rows: Sequence[StoredEvent],
    aggregates: Aggregates,
    keys: Keys,
    opened: Mapping[str, bytes | None],
    *,
    keeping: bool,
) -> Snapshot:
    snapshot = blank(aggregates, stream)
    if rows and rows[0].version > 1:
        resumed = _resumed(connection, stream, rows[0], aggregates, keys)
        if resumed is None:
            rows = rows_of_stream(connection, stream, None, None)
            opened = keys.read(connection, {row.subject for row in rows if row.subject is not None})
        else:
            snapshot, rows = resumed, rows[1:]
    for row in rows:
        snapshot = advance(aggregates, snapshot, row, opened)[0]
    # A key that is not there may come yet, with an import.
    if keeping and len(rows) >= EVERY and all(row.subject is None or row.subject in opened for row in rows):
        own = keys.read(connection, snapshot.subjects)
        kept = keep(aggregates, stream, snapshot, rows[-1].event_id, own)
        if kept is not None:
            queries.keep(connection, stream, kept)
    return snapshot


def _resumed(
    connection: sqlite3.Connection, stream: str, row: StoredEvent, aggregates: Aggregates, keys: Keys
) -> Snapshot | None:
    """The kept snapshot that ends with ``row``."""
    kept = queries.kept(connection, stream)
    if kept is None or (kept.version, kept.event_id) != (row.version, row.event_id):
        return None
    own = keys.read(connection, {kept.subject}) if kept.subject is not None else {}
    return revive(aggregates, stream, kept, own)


def _is_the_logs(stream: str) -> bool:
    return category_of(stream) == "shard"


def advance(
    aggregates: Aggregates, snapshot: Snapshot, row: StoredEvent, keys: Mapping[str, bytes | None]
) -> tuple[Snapshot, Recorded]:
    """The snapshot after a row of its stream, and the row's event."""
    recorded = decode(row, keys)
    subject = row.subject if getattr(recorded.event, "private", None) is not None else None
    return fold(aggregates, snapshot, recorded, subject), recorded


class StateCache:
    """Snapshots of the streams used last, all at the position up to which their shards were folded. For the writer's thread alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._snapshots: OrderedDict[str, Snapshot] = OrderedDict()

    def __contains__(self, stream: str) -> bool:
        return stream in self._snapshots

    def get(self, stream: str) -> Snapshot | None:
        snapshot = self._snapshots.get(stream)
        if snapshot is not None:
            self._snapshots.move_to_end(stream)
        return snapshot

    def update(self, snapshots: Mapping[str, Snapshot]) -> None:
        for stream, snapshot in snapshots.items():
            self._snapshots[stream] = snapshot
            self._snapshots.move_to_end(stream)
        while len(self._snapshots) > self._size:
            self._snapshots.popitem(last=False)

    def discard(self, stream: str) -> None:
        self._snapshots.pop(stream, None)

    def forget_opened(self) -> None:
        """Drops every state that holds something which a key has opened."""
        for stream in [stream for stream, snapshot in self._snapshots.items() if snapshot.subjects]:
            del self._snapshots[stream]

    def clear(self) -> None:
        self._snapshots.clear()

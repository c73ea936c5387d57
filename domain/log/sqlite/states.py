"""States of streams: folded from rows, and kept for the streams that are hot."""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from domain.envelope import Recorded
from domain.errors import LogError
from domain.ids import category_of
from domain.log.batching import Aggregates, Snapshot, blank, fold
from domain.log.codec import StoredEvent, decode
from domain.log.sqlite.keys import Keys
from domain.log.sqlite.queries import newest_version, rows_of_streams


def load(
    connection: sqlite3.Connection, streams: Iterable[str], aggregates: Aggregates, keys: Keys
) -> Iterator[tuple[str, Snapshot | LogError]]:
    """Every stream's snapshot, or why it has none: what cannot be read in one stream does not stop the others."""
    wanted = list(streams)
    rows = rows_of_streams(connection, (stream for stream in wanted if not _is_the_logs(stream)))
    opened = keys.read(connection, {row.subject for found in rows.values() for row in found if row.subject is not None})
    for stream in wanted:
        snapshot = blank(aggregates, stream)
        if _is_the_logs(stream):
            # Its padding adds up to many rows, and says nothing but its version.
            yield stream, Snapshot(newest_version(connection, stream), snapshot.state)
            continue
        try:
            for row in rows.get(stream, ()):
                snapshot = advance(aggregates, snapshot, row, opened)[0]
        except LogError as error:
            yield stream, error
        else:
            yield stream, snapshot


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

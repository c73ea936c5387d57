"""The view: snapshots of streams as of what the tail has seen, kept while a command needs them and for as long as there is room."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from domain.log.batching import Snapshot


@dataclass(slots=True, eq=False)
class Entry:
    """``pins`` counts the commands that need it. A dropped entry is not kept up any more: whoever holds it must load anew."""

    stream: str
    snapshot: Snapshot
    pins: int = 0
    dropped: bool = False


class View:
    """At most ``size`` entries, or as many as are pinned; the least recently used go first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, stream: str) -> Entry | None:
        return self._entries.get(stream)

    def pin(self, stream: str) -> Entry | None:
        """The stream's entry, which stays until it is unpinned or dropped; None where there is none."""
        entry = self._entries.get(stream)
        if entry is not None:
            entry.pins += 1
            self._entries.move_to_end(stream)
        return entry

    def unpin(self, entry: Entry) -> None:
        entry.pins -= 1
        self._evict()

    def add(self, stream: str, snapshot: Snapshot) -> Entry:
        """A new entry, pinned; the stream must have none."""
        entry = self._entries[stream] = Entry(stream, snapshot, pins=1)
        self._evict()
        return entry

    def _evict(self) -> None:
        # Pinned entries move to the end, so that no later search meets them again soon.
        for _ in range(len(self._entries)):
            if len(self._entries) <= self._size:
                return
            stream, entry = next(iter(self._entries.items()))
            if entry.pins:
                self._entries.move_to_end(stream)
            else:
                self.drop(stream)

    def drop(self, stream: str) -> None:
        entry = self._entries.pop(stream, None)
        if entry is not None:
            entry.dropped = True

    def clear(self) -> None:
        for entry in self._entries.values():
            entry.dropped = True
        self._entries.clear()

    def drop_subject(self, subject: str) -> None:
        """Drops what was opened with a key that is gone."""
        for stream in [stream for stream, entry in self._entries.items() if subject in entry.snapshot.subjects]:
            self.drop(stream)

    def advance(self, changed: Mapping[str, Snapshot]) -> None:
        """Sets the snapshots of streams that changed."""
        for stream, snapshot in changed.items():
            entry = self._entries.get(stream)
            if entry is not None:
                entry.snapshot = snapshot
            else:
                self._entries[stream] = Entry(stream, snapshot)
        self._evict()

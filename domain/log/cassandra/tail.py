"""The tail: the rows after the floor, in memory, in order; what the index may not hold yet, and what consumers read most."""

from collections.abc import Sequence

from domain.events import GenerationClosed
from domain.log.codec import StoredEvent


class Tail:
    """Rows (floor, seen] of one shard. ``seen`` moves by rows alone, one at a time and without a hole; ``floor`` only to a
    watermark that was read from the store."""

    def __init__(self, floor: int, recorded_at: int) -> None:
        self.floor = floor
        self.recorded_at = recorded_at
        self.closed = False
        self._rows: list[StoredEvent] = []
        self._by_stream: dict[str, list[StoredEvent]] = {}

    @property
    def seen(self) -> int:
        return self.floor + len(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: StoredEvent) -> None:
        if row.position != self.seen + 1:
            raise ValueError(f"position {row.position} does not follow {self.seen}")
        self._rows.append(row)
        self._by_stream.setdefault(row.stream, []).append(row)
        self.recorded_at = row.recorded_at
        if row.type == GenerationClosed.name:
            self.closed = True

    def after(self, position: int, limit: int) -> Sequence[StoredEvent]:
        """At most ``limit`` rows above ``position``, which is at or above the floor."""
        start = position - self.floor
        return self._rows[start : start + limit]

    def of(self, stream: str) -> Sequence[StoredEvent]:
        return self._by_stream.get(stream, ())

    def raise_floor(self, floor: int) -> None:
        """Drops the rows up to ``floor``, at most all."""
        count = min(floor, self.seen) - self.floor
        if count <= 0:
            return
        for row in self._rows[:count]:
            rows = self._by_stream[row.stream]
            # Rows of a stream are in the order of the shard, so the one that goes is its first.
            del rows[0]
            if not rows:
                del self._by_stream[row.stream]
        del self._rows[:count]
        self.floor += count

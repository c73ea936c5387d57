"""The tail: the rows after the floor, in memory, in order; what the index may not hold yet, and what consumers read most."""

from collections.abc import Sequence

from domain.log.batching import closes
from domain.log.codec import StoredEvent


class Tail:
    """Rows (floor, seen] of one shard, and the row at ``seen`` in any case (None at 0). ``seen`` moves by rows alone, one at a time and
    without a hole; ``floor`` only to a watermark that was read from the store."""

    def __init__(self, last: StoredEvent | None) -> None:
        self.floor = last.position if last is not None else 0
        self.last = last
        self._rows: list[StoredEvent] = []
        self._by_stream: dict[str, list[StoredEvent]] = {}

    @property
    def seen(self) -> int:
        return self.floor + len(self._rows)

    @property
    def recorded_at(self) -> int:
        return self.last.recorded_at if self.last is not None else 0

    @property
    def closed(self) -> bool:
        """Whether the generation has ended."""
        return self.last is not None and closes(self.last)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: StoredEvent) -> None:
        if row.position != self.seen + 1:
            raise ValueError(f"position {row.position} does not follow {self.seen}")
        self._rows.append(row)
        self._by_stream.setdefault(row.stream, []).append(row)
        self.last = row

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

"""What commands ought to come to, on plain dictionaries: knows nothing of the code that it judges, but the bytes in the tables."""

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tests.simulation.log.workload import Op

State = Mapping[str, Any]
Wanted = tuple[str, str, Mapping[str, Any]]
"""An event to be: stream, type, payload."""
NOTHING: State = {"events": 0, "total": 0, "owner": None}


@dataclass(frozen=True)
class Row:
    """A row of the log, or of the index."""

    shard: int
    segment: int
    position: int
    stream: str
    version: int
    event_id: str
    type: str
    payload: Mapping[str, Any]
    subject: str | None
    command: str
    occurred_at: int
    recorded_at: int
    attempt: str

    @property
    def short(self) -> tuple[int, str, int, str]:
        return self.position, self.stream, self.version, self.event_id


_BODY = (
    "generation", "shard", "position", "stream", "version", "event_id", "type", "schema_version", "payload", "sealed", "subject", "metadata",
    "occurred_at", "recorded_at", "attempt_id",
)  # fmt: skip


def row_of(body: bytes, segment: int = -1) -> Row:
    """From its body; ``segment`` is that of the log in which it lies."""
    cells = dict(zip(_BODY, msgspec.msgpack.decode(body), strict=False))
    payload = json.loads(cells["payload"])
    return Row(
        shard=cells["shard"],
        segment=segment,
        position=cells["position"],
        stream=cells["stream"],
        version=cells["version"],
        event_id=cells["event_id"],
        type=cells["type"],
        payload={"amount": 1, **payload} if cells["type"] == "test.counted" else payload,
        subject=cells["subject"],
        command=json.loads(cells["metadata"])["command_id"],
        occurred_at=cells["occurred_at"],
        recorded_at=cells["recorded_at"],
        attempt=cells["attempt_id"],
    )


def after(state: State, row: Row) -> State:
    """The state that follows."""
    owner = state["owner"]
    if row.type == "test.taken":
        owner = row.payload["owner"]
    elif row.type == "test.left":
        owner = None
    amount = row.payload["amount"] if row.type == "test.counted" else 0
    return {"events": state["events"] + 1, "total": state["total"] + amount, "owner": owner}


def verdict(op: Op, state: Mapping[str, State]) -> str | Sequence[Wanted]:  # noqa: PLR0911 -- a table in words
    """The events that ``op`` makes of these states, or the refusal's code, or ``unchanged``."""
    first = op.streams[0]
    if op.kind == "guarded" and state[op.given]["owner"] != op.owner:
        return "FORBIDDEN"
    if op.kind in ("count", "guarded"):
        start = state[first]["events"]
        return [(first, "test.counted", {"amount": start + 1 + each}) for each in range(op.amount)]
    if op.kind == "move":
        if state[first]["total"] < op.amount:
            return "LIMIT_REACHED"
        second = op.streams[1]
        return [(first, "test.counted", {"amount": -op.amount}), (second, "test.counted", {"amount": op.amount})]
    if op.kind == "take":
        owner = state[first]["owner"]
        if owner is None:
            return [(first, "test.taken", {"owner": op.owner})]
        return "unchanged" if owner == op.owner else "CONFLICT"
    if op.kind == "leave":
        owner = state[first]["owner"]
        if owner is None:
            return "unchanged"
        return [(first, "test.left", {})] if owner == op.owner else "FORBIDDEN"
    if op.kind == "fresh":
        tally = op.streams[1]
        counted = {"amount": state[tally]["events"] + 1}
        return [(first, "test.taken", {"owner": op.owner}), (tally, "test.counted", counted)]
    return [(first, "test.noted", {"topic": "weather"})]


class Past:
    """The log as it was at any position."""

    def __init__(self, shards: Mapping[int, Sequence[Row]]) -> None:
        self.shards = shards
        self._positions: defaultdict[str, list[int]] = defaultdict(list)
        self._states: defaultdict[str, list[State]] = defaultdict(list)
        self.rows: defaultdict[str, list[Row]] = defaultdict(list)
        for rows in shards.values():
            for row in rows:
                states = self._states[row.stream]
                states.append(after(states[-1] if states else NOTHING, row))
                self._positions[row.stream].append(row.position)
                self.rows[row.stream].append(row)

    def state(self, stream: str, position: int) -> State:
        count = self.count(stream, position)
        return self._states[stream][count - 1] if count else NOTHING

    def count(self, stream: str, position: int) -> int:
        """How many events the stream has up to a position of its shard."""
        return bisect_right(self._positions[stream], position)

    def moments(self, streams: Sequence[str], low: int, high: int) -> list[int]:
        """Positions between ``low`` and ``high`` that stand for all of them: only at these do the streams change."""
        found = {low}
        for stream in streams:
            positions = self._positions[stream]
            found.update(positions[bisect_right(positions, low) : bisect_right(positions, high)])
        return sorted(found)

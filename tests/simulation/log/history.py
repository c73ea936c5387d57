"""What happened in a run, as seen from outside: what was asked and answered, what the cluster truly did and when, and a trace of it all."""

import hashlib
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.log.cql import Write
from tests.simulation.log.loop import Process
from tests.simulation.log.storage import Mutation
from tests.simulation.log.workload import Op

SKEW_LIMIT = 2_600_000
"""Microseconds: a clock that is this much off is off beyond any doubt (R8 says two seconds, less the round trip)."""


@dataclass(eq=False)
class Asked:
    """A command and what its caller was told: nothing where ``answer`` is empty."""

    op: Op
    process: str
    asked_at: float
    answered_at: float = 0.0
    answer: str = ""
    code: str = ""
    events: Sequence[tuple[int, str, int, str]] = ()
    """(position, stream, version, event id)."""
    position: int | None = None


@dataclass(frozen=True)
class Seen:
    """What a reader was shown of a stream (``events`` as of ``load``, ``state`` as of ``states``), or of a shard (``head``)."""

    kind: str
    process: str
    name: str
    asked_at: float
    answered_at: float
    found: Any


class Course:
    """How a shard's head moved, as the cluster knows: by when which position."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._heads: list[int] = []

    def reached(self, position: int, now: float) -> None:
        if not self._heads or position > self._heads[-1]:
            self._times.append(now)
            self._heads.append(position)

    def at(self, moment: float) -> int:
        before = bisect_right(self._times, moment)
        return self._heads[before - 1] if before else 0

    def cut(self, position: int, now: float) -> None:
        """The shard was set back."""
        self._times.append(now)
        self._heads.append(position)


@dataclass
class Tail:
    """What one consumer of one process has read of a shard."""

    process: str
    shard: int
    rows: list[tuple[int, str, int, str]] = field(default_factory=list)


class History:
    """``chosen``: a quorum had accepted the append. ``settled``: a quorum had it committed, so that every read shows it."""

    def __init__(self, trace: Callable[[str], None] | None = None) -> None:
        self.asked: list[Asked] = []
        self.seen: list[Seen] = []
        self.tails: list[Tail] = []
        self.complaints: list[str] = []
        self.set_back_at: float | None = None
        self.chosen: defaultdict[int, Course] = defaultdict(Course)
        self.settled_heads: defaultdict[int, Course] = defaultdict(Course)
        self.answers: defaultdict[str, list[str]] = defaultdict(list)
        """What was told of every send of an attempt, in order."""
        self.reached: Counter[str] = Counter()
        self.raised: Callable[[int, int], None] = lambda _shard, _watermark: None
        self._trace = trace
        self._hash = hashlib.blake2b(digest_size=16)
        self._wrong_since: dict[Process, float] = {}
        self._wrong_answers: Counter[Process] = Counter()
        self._clock_known_wrong: dict[Process, float] = {}

    def note(self, now: float, who: str, what: str) -> None:
        line = f"{now:10.6f} {who:<8} {what}"
        self._hash.update(line.encode())
        if self._trace is not None:
            self._trace(line)

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()

    # What the cluster did

    def chose(self, mutation: Mutation, now: float) -> None:
        if mutation.table.name.endswith(".event_log"):
            _, shard, _ = mutation.key[1]
            head = max(change.row[0] for change in mutation.changes if change.row is not None)
            self.chosen[shard].reached(head, now)
            self.note(now, "cluster", f"shard {shard} grew to {head} by {attempt_of(mutation)[-6:]}")
        elif mutation.table.name.endswith(".log_meta"):
            for change in mutation.changes:
                watermark = change.cells.get("watermark")
                if watermark is not None:
                    shard = int(mutation.key[1][0].removeprefix("shard-"))
                    self.note(now, "cluster", f"watermark of shard {shard} raised to {watermark}")
                    self.raised(shard, watermark)

    def settled(self, mutation: Mutation, now: float) -> None:
        if mutation.table.name.endswith(".event_log"):
            _, shard, _ = mutation.key[1]
            head = max(change.row[0] for change in mutation.changes if change.row is not None)
            self.settled_heads[shard].reached(head, now)

    # What the processes sent and were told

    def sent(self, process: Process, request: Sequence[tuple[Any, Any]], now: float) -> str | None:
        """The attempt id, where it is an append."""
        plan, _ = request[0]
        if not isinstance(plan, Write):
            return None
        if not plan.conditional or not plan.table.name.endswith(".event_log"):
            return None
        terms = dict(plan.cells)
        attempt = str(terms["head_attempt"].of(request[0][1]))
        if attempt not in self.answers:
            self.answers[attempt] = []
            known = self._clock_known_wrong.get(process)
            if known is not None and now > known:
                self.complaints.append(
                    f"{process.name} appends at {now:.3f} though its clock is {process.skew / 1e6:+.1f} s off (R8)"
                )
        return attempt

    def told(
        self, process: Process, attempt: str | None, clock_asked: float | None, answer: object, now: float
    ) -> None:
        if not process.alive:
            return
        if attempt is not None:
            word = str(answer[0][0]) if isinstance(answer, list) else type(answer).__name__
            self.answers[attempt].append(word)
        if clock_asked is not None and isinstance(answer, list):
            wrong = self._wrong_since.get(process)
            if wrong is not None and wrong < clock_asked and now - clock_asked < 0.5:
                # It may have given one answer up, and what was decided a moment ago is still on its way to its send.
                self._wrong_answers[process] += 1
                if self._wrong_answers[process] == 2:
                    self._clock_known_wrong[process] = now + 0.05

    def clock_set(self, process: Process, now: float) -> None:
        self._clock_known_wrong.pop(process, None)
        self._wrong_answers.pop(process, None)
        self._wrong_since.pop(process, None)
        if abs(process.skew) > SKEW_LIMIT:
            self._wrong_since[process] = now


def attempt_of(mutation: Mutation) -> str:
    return next(str(change.cells["head_attempt"]) for change in mutation.changes if "head_attempt" in change.cells)

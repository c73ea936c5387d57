"""The pure heart of an appender: what waiting commands decide on one shard, packed into one batch that is appended or not as a whole.

Nothing here reads a clock, a store or a source of randomness. An adapter gives the states at ``seen`` (the highest position whose rows it has
folded) and the queue; it gets rows for ``seen + 1 …`` and, for each command taken, what came of it. The batch holds only if the shard's head is
still ``seen`` when it is appended: then every event in it was decided on all events before it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Generic, Protocol, TypeVar

from domain.envelope import Metadata, Recorded, sequence
from domain.errors import CorruptStreamError, LogError, Refusal, UnavailableError
from domain.events import Event, GenerationClosed, SegmentPadded
from domain.ids import stream_shard
from domain.log.codec import StoredEvent, encode
from domain.log.port import MAX_COMMAND_EVENTS, Draft, Execution, Outcome, View

FIRST_GENERATION: Final = 1
"""Not 0, so that no sequence is mistaken for a position."""


class Aggregates(Protocol):
    """How streams fold, by their names; ``domain.deciders`` is one. States are immutable."""

    def initial(self, stream: str) -> object: ...

    def evolve(self, stream: str, state: object, recorded: Recorded) -> object: ...

    def edition(self) -> str:
        """Another one whenever a stream may fold to another state: what was folded under one edition does not hold under another. Empty: not known."""
        ...


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A stream folded up to ``version``. ``subjects`` are those whose keys opened something in it: it outlives none of them."""

    version: int
    state: object
    subjects: frozenset[str] = frozenset()


def blank(aggregates: Aggregates, stream: str) -> Snapshot:
    """The snapshot of a stream without events."""
    return Snapshot(0, aggregates.initial(stream))


def fold(aggregates: Aggregates, snapshot: Snapshot, recorded: Recorded, subject: str | None) -> Snapshot:
    """``snapshot`` after its stream's next event; ``subject`` as in the event's row. Raises CorruptStreamError where it is not the next."""
    if recorded.version != snapshot.version + 1:
        raise CorruptStreamError(
            f"{recorded.stream} has version {recorded.version} at position {recorded.position} of shard {recorded.shard}, "
            f"where {snapshot.version + 1} must follow"
        )
    subjects = snapshot.subjects if subject is None else snapshot.subjects | {subject}
    return Snapshot(recorded.version, aggregates.evolve(recorded.stream, snapshot.state, recorded), subjects)


def log_stream(shard: int) -> str:
    """The log's own stream in a shard, which holds what fills segments up."""
    return f"shard-{shard}"


def segment_of(position: int, segment_size: int) -> int:
    """The segment (0, 1, …) in which a position (1, 2, …) lies."""
    return (position - 1) // segment_size


def room_after(seen: int, segment_size: int) -> int:
    """How many positions are left in the segment of position ``seen + 1``."""
    return segment_size - seen % segment_size


def closes(row: StoredEvent) -> bool:
    """Whether nothing may follow the row in its generation."""
    return row.type == GenerationClosed.name


def generation_closed(generation: int) -> UnavailableError:
    """The answer to every command of a shard whose generation has ended."""
    return UnavailableError(f"generation {generation} of the log is closed; start again to append to the next")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the commands of one batch may add up to: events, and bytes as ``StoredEvent.size`` counts them. Padding comes on top."""

    events: int = MAX_COMMAND_EVENTS
    bytes: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class Base:
    """What a batch is built upon. ``recorded_at`` is that of the row at ``seen`` (0 where there is none), ``now`` the clock; microseconds. ``closed``:
    the row at ``seen`` has ended the generation."""

    shard: int
    shards: int
    generation: int
    segment_size: int
    seen: int
    recorded_at: int
    now: int
    closed: bool = False


@dataclass(slots=True, eq=False)
class Waiting:
    """A queued command; adapters extend it with whatever they answer through. ``given`` are the states of ``execution.given``, ``key`` that of
    ``execution.subject`` (None where it was destroyed)."""

    execution: Execution
    given: Mapping[str, object] = field(default_factory=dict)
    key: bytes | None = None


W = TypeVar("W", bound=Waiting)


class Fate(Enum):
    """What came of a command in its batch."""

    APPENDED = "appended"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Decision(Generic[W]):
    """One command's part of a batch. ``sequence`` is that of its last event, else of the last event that it was decided on (which may lie in
    this very batch); ``states`` are its named streams after it. ``error`` is a Refusal where refused; where failed, whatever a
    programming error raised: nothing of that command is in the batch, and there is no use in deciding it again."""

    waiting: W
    fate: Fate
    sequence: int
    events: tuple[Recorded, ...] = ()
    states: Mapping[str, object] = field(default_factory=dict)
    error: Exception | None = None

    def outcome(self) -> Outcome:
        """The answer, once the batch was appended (or what it rests on is confirmed). Raises ``error``."""
        if self.error is not None:
            raise self.error
        return Outcome(events=self.events, positions={self.waiting.execution.shard: self.sequence}, states=self.states)


@dataclass(frozen=True, slots=True)
class Batch(Generic[W]):
    """``decisions`` are those of the first ``len(decisions)`` commands of the queue, in its order; the rest waits for the next batch.

    ``rows`` and ``recorded`` go together and may hold padding that belongs to no command. ``changed`` are the snapshots that hold once the rows
    are appended, of the streams that they changed; ``head`` is the shard's head then.
    """

    attempt_id: str
    base: Base
    rows: tuple[StoredEvent, ...]
    recorded: tuple[Recorded, ...]
    decisions: tuple[Decision[W], ...]
    changed: Mapping[str, Snapshot]

    @property
    def head(self) -> int:
        return self.base.seen + len(self.rows)

    @property
    def recorded_at(self) -> int:
        """That of the row at ``head``: the next batch's ``Base.recorded_at``."""
        return self.rows[-1].recorded_at if self.rows else self.base.recorded_at

    @property
    def closed(self) -> bool:
        """Whether the row at ``head`` has ended the generation: the next batch's ``Base.closed``."""
        return closes(self.rows[-1]) if self.rows else self.base.closed


def needed(base: Base, queue: Sequence[Waiting]) -> Iterator[str]:
    """The streams whose snapshots :func:`decide_batch` needs for this queue, with repetitions; fresh ones are not among them."""
    if room_after(base.seen, base.segment_size) < MAX_COMMAND_EVENTS:
        yield log_stream(base.shard)
    for waiting in queue:
        for stream in waiting.execution.streams:
            if stream not in waiting.execution.fresh:
                yield stream


def decide_batch(
    base: Base,
    queue: Sequence[W],
    snapshots: Mapping[str, Snapshot],
    aggregates: Aggregates,
    *,
    attempt_id: str,
    limits: Limits = Limits(),
) -> Batch[W]:
    """Decides commands in queue order, each on the state at ``seen`` plus the batch's events so far, until one does not fit.

    ``snapshots`` are at ``seen`` and hold what :func:`needed` names; they are not changed. ``attempt_id`` must be new. A command that does not
    fit the batch waits for the next, one that does not fit the segment ends the batch with padding up to the segment's end. The answer
    may have no rows (nothing changed), or no decisions (padding alone). Behind a command that closes the generation every other fails.
    """
    if base.segment_size < limits.events:
        raise ValueError(f"a segment ({base.segment_size}) must hold the largest batch ({limits.events})")
    builder = _Builder(base, snapshots, aggregates, attempt_id, limits)
    decisions: list[Decision[W]] = []
    for waiting in queue:
        decision = builder.decide(waiting)
        if decision is None:
            break
        decisions.append(decision)
    return Batch(
        attempt_id=attempt_id,
        base=base,
        rows=tuple(builder.rows),
        recorded=tuple(builder.recorded),
        decisions=tuple(decisions),
        changed=builder.changed,
    )


@dataclass(slots=True)
class _Staged:
    """A command's events, not yet in the batch: they go in together or not at all."""

    rows: list[StoredEvent] = field(default_factory=list)
    recorded: list[Recorded] = field(default_factory=list)
    changed: dict[str, Snapshot] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(row.size for row in self.rows)


class _Builder:
    def __init__(
        self, base: Base, snapshots: Mapping[str, Snapshot], aggregates: Aggregates, attempt_id: str, limits: Limits
    ) -> None:
        self._base = base
        self._snapshots = snapshots
        self._aggregates = aggregates
        self._attempt_id = attempt_id
        self._limits = limits
        self._recorded_at = max(base.now, base.recorded_at)
        self._room = room_after(base.seen, base.segment_size)
        self._size = 0
        self._closed = base.closed
        self.rows: list[StoredEvent] = []
        self.recorded: list[Recorded] = []
        self.changed: dict[str, Snapshot] = {}

    def decide(self, waiting: W) -> Decision[W] | None:
        """The command's decision, its events in the batch; None where it must wait for the next batch."""
        execution = waiting.execution
        if self._closed:
            return Decision(waiting, Fate.FAILED, self._sequence(), error=generation_closed(self._base.generation))
        try:
            before = {stream: self._snapshot(stream, execution.fresh) for stream in execution.streams}
            states = {stream: snapshot.state for stream, snapshot in before.items()}
            drafts = execution.decide(View({**waiting.given, **self._given_here(execution), **states}))
            if not drafts:
                return Decision(waiting, Fate.UNCHANGED, self._sequence(), states=states)
            staged = self._stage(execution, waiting.key, drafts, before)
        except Refusal as refusal:
            return Decision(waiting, Fate.REFUSED, self._sequence(), error=refusal)
        except Exception as error:  # noqa: BLE001 -- one command's defect must not fail those that share its batch
            return Decision(waiting, Fate.FAILED, self._sequence(), error=error)
        if not self._admit(staged):
            return None
        states.update((stream, snapshot.state) for stream, snapshot in staged.changed.items())
        return Decision(waiting, Fate.APPENDED, self._sequence(), events=tuple(staged.recorded), states=states)

    def _given_here(self, execution: Execution) -> dict[str, object]:
        """Given states that this very batch has changed, for a given stream may lie in the written shard."""
        return {stream: self.changed[stream].state for stream in execution.given if stream in self.changed}

    def _sequence(self) -> int:
        """Of the newest event so far; 0 in a shard that has none."""
        position = self._base.seen + len(self.rows)
        return sequence(self._base.generation, position) if position else 0

    def _snapshot(self, stream: str, fresh: frozenset[str] = frozenset()) -> Snapshot:
        known = self.changed.get(stream) or self._snapshots.get(stream)
        if known is not None:
            return known
        if stream in fresh:
            return blank(self._aggregates, stream)
        raise LogError(f"{stream} was not loaded before its command was decided")

    def _stage(
        self, execution: Execution, key: bytes | None, drafts: Sequence[Draft], before: Mapping[str, Snapshot]
    ) -> _Staged:
        """Raises ValueError for drafts that break the port's contract."""
        if len(drafts) > MAX_COMMAND_EVENTS:
            raise ValueError(f"a command has at most {MAX_COMMAND_EVENTS} events, this one has {len(drafts)}")
        staged = _Staged()
        for draft in drafts:
            if draft.stream not in before:
                raise ValueError(f"{draft.event.name} is for {draft.stream}, which its execution does not name")
            if stream_shard(draft.stream, self._base.shards) != self._base.shard:
                raise ValueError(f"{draft.stream} is not in shard {self._base.shard}")
            snapshot = staged.changed.get(draft.stream) or before[draft.stream]
            self._add(staged, snapshot, draft, execution.metadata, execution.subject, key)
        if any(closes(row) for row in staged.rows[:-1]):
            raise ValueError(f"nothing may follow {GenerationClosed.name}, the last event of its generation")
        if staged.size > self._limits.bytes:
            raise ValueError(f"a command has at most {self._limits.bytes} bytes, this one has {staged.size}")
        return staged

    def _add(
        self,
        staged: _Staged,
        snapshot: Snapshot,
        draft: Draft,
        metadata: Metadata,
        subject: str | None,
        key: bytes | None,
    ) -> None:
        index = len(self.rows) + len(staged.rows)
        recorded = Recorded(
            event_id=f"{self._attempt_id}-{index}",
            stream=draft.stream,
            version=snapshot.version + 1,
            event=draft.event,
            metadata=metadata,
            occurred_at=self._recorded_at if draft.occurred_at is None else draft.occurred_at,
            recorded_at=self._recorded_at,
            attempt_id=self._attempt_id,
            generation=self._base.generation,
            shard=self._base.shard,
            position=self._base.seen + index + 1,
        )
        row = encode(recorded, subject=subject, key=key)
        staged.rows.append(row)
        staged.recorded.append(recorded)
        staged.changed[draft.stream] = fold(self._aggregates, snapshot, recorded, row.subject)

    def _admit(self, staged: _Staged) -> bool:
        count = len(self.rows) + len(staged.rows)
        if count > self._limits.events or (self.rows and self._size + staged.size > self._limits.bytes):
            return False
        if count > self._room:
            # The first check bounds the padding: what is left of the segment is less than a batch.
            self._pad()
            return False
        self._take(staged)
        return True

    def _take(self, staged: _Staged) -> None:
        self._size += staged.size
        self.rows += staged.rows
        self.recorded += staged.recorded
        self.changed.update(staged.changed)
        self._closed = closes(self.rows[-1])

    def _pad(self) -> None:
        stream = log_stream(self._base.shard)
        metadata = Metadata(command_id=self._attempt_id)
        staged = _Staged()
        for _ in range(self._room - len(self.rows)):
            snapshot = staged.changed.get(stream) or self._snapshot(stream)
            self._add(staged, snapshot, Draft(stream, _PADDING), metadata, None, None)
        self._take(staged)


_PADDING: Final[Event] = SegmentPadded()

"""One group commit: everything that waits is decided and appended inside one BEGIN IMMEDIATE, on the newest state there is.

No other process can append while it lasts, so nothing that was decided in it can be stale: neither the streams of the written shard nor the
``given`` ones, nor what a refusal rests on.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar

from domain.errors import LogError, OutcomeUnknownError, UnavailableError
from domain.ids import Entropy, mint_id
from domain.log.batching import Aggregates, Base, Decision, Fate, Snapshot, Waiting, decide_batch, needed
from domain.log.codec import StoredEvent
from domain.log.port import MAX_COMMAND_EVENTS, LogIdentity
from domain.log.sqlite import queries
from domain.log.sqlite.keys import Keys
from domain.log.sqlite.queries import Tip
from domain.log.sqlite.states import StateCache, advance, load
from domain.log.sqlite.tables import patient

W = TypeVar("W", bound=Waiting)

_LOCK_SECONDS: Final = 10.0
"""How long another process's transactions are waited for."""

_CATCH_UP_ROWS: Final = 2_000
"""Above so many foreign rows it costs less to load hot states anew than to fold the rows into them."""


@dataclass(slots=True)
class _Work(Generic[W]):
    """What one transaction has loaded and done. ``states`` hold its own events; ``broken`` are streams that cannot be read."""

    tips: list[Tip]
    states: dict[str, Snapshot] = field(default_factory=dict)
    broken: dict[str, LogError] = field(default_factory=dict)
    made: dict[str, bytes | None] = field(default_factory=dict)
    rows: list[StoredEvent] = field(default_factory=list)
    decisions: list[Decision[W]] = field(default_factory=list)


class Appender:
    """Appends groups of commands through one connection, for one thread. ``size`` bounds the states that are kept; once ``closing`` is set
    nothing is waited for any more."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        identity: LogIdentity,
        aggregates: Aggregates,
        keys: Keys,
        *,
        clock: Callable[[], int],
        entropy: Entropy,
        size: int,
        closing: threading.Event,
    ) -> None:
        self._connection = connection
        self._identity = identity
        self._aggregates = aggregates
        self._keys = keys
        self._clock = clock
        self._entropy = entropy
        self._cache = StateCache(size)
        self._tips = [Tip()] * identity.shards
        self._forgotten = 0
        self.fault: sqlite3.Error | None = None
        """What the last COMMIT met."""
        self._until_free = patient(_LOCK_SECONDS, until=closing)
        # All the waiting is done there.
        connection.execute("PRAGMA busy_timeout = 0")

    @property
    def tips(self) -> Sequence[Tip]:
        """The shards' newest rows as of the last transaction."""
        return self._tips

    def append(self, queue: Sequence[W]) -> Sequence[Decision[W]]:
        """Decides and appends; the answers, each command's once, hold when this returns.

        Raises sqlite3.Error or LogError where nothing was appended. Where COMMIT itself failed, those with events are answered with
        OutcomeUnknownError: the rows may be in the file, and come to light when it is opened next.
        """
        epoch, read_at = self._keys.cache.epoch, self._keys.cache.now()
        try:
            self._begin()
            work = self._decide(queue)
            queries.insert(self._connection, work.rows)
        except BaseException:
            self._roll_back()
            raise
        self.fault = None
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            self.fault = error
            return [_uncertain(decision, error) for decision in work.decisions]
        self._tips = work.tips
        self._cache.update(work.states)
        self._keys.cache.remember(work.made, epoch, read_at)
        return work.decisions

    def destroy(self, subject: str) -> None:
        """Destroys a subject's key, durably, and drops what it has opened."""
        try:
            self._begin()
            self._keys.destroy(self._connection, subject)
            self._connection.execute("COMMIT")
        except BaseException:
            self._keys.cache.clear()
            self._roll_back()
            raise
        self._keys.cache.destroyed(subject)
        self._cache.forget_opened()
        # Or the key would stand in the write-ahead log until that is overwritten; a reader in the way only delays it.
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self._connection.close()

    def _begin(self) -> None:
        self._until_free(self._connection.execute, "BEGIN IMMEDIATE")

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _decide(self, queue: Sequence[W]) -> _Work[W]:
        self._catch_up()
        work: _Work[W] = _Work(tips=list(self._tips))
        self._give_keys(queue, work)
        executions = [waiting.execution for waiting in queue]
        self._load({s for e in executions for s in (*e.streams, *e.given) if s not in e.fresh}, work)
        by_shard: dict[int, list[W]] = {}
        for waiting in queue:
            by_shard.setdefault(waiting.execution.shard, []).append(waiting)
        for shard, waiting_there in by_shard.items():
            self._decide_shard(shard, waiting_there, work)
        return work

    def _catch_up(self) -> None:
        """Brings the kept states to the heads: folds what others have appended, drops what keys that they destroyed had opened."""
        found = queries.tips(self._connection, self._identity)
        if found.forgotten != self._forgotten:
            self._forgotten = found.forgotten
            self._keys.cache.clear()
            self._cache.forget_opened()
        for shard, (seen, newest) in enumerate(zip(self._tips, found.shards, strict=True)):
            if newest.position - seen.position > _CATCH_UP_ROWS:
                self._cache.clear()
            elif newest.position > seen.position:
                self._fold_foreign(shard, seen.position)
        self._tips = list(found.shards)

    def _fold_foreign(self, shard: int, seen: int) -> None:
        rows = queries.rows_after(self._connection, self._identity.generation, shard, seen, _CATCH_UP_ROWS)
        kept = [row for row in rows if row.stream in self._cache]
        keys = self._keys.read(self._connection, {row.subject for row in kept if row.subject is not None})
        for row in kept:
            snapshot = self._cache.get(row.stream)
            if snapshot is None:
                continue
            try:
                self._cache.update({row.stream: advance(self._aggregates, snapshot, row, keys)[0]})
            except LogError:
                # Whoever needs this stream loads it, and meets the error there.
                self._cache.discard(row.stream)

    def _give_keys(self, queue: Iterable[W], work: _Work[W]) -> None:
        named = [waiting for waiting in queue if waiting.execution.subject is not None]
        made = {w.execution.subject for w in named if w.execution.new_subject}
        read = {w.execution.subject for w in named} - made
        work.made = self._keys.make(self._connection, [subject for subject in made if subject is not None])
        keys = {**self._keys.read(self._connection, (s for s in read if s is not None)), **work.made}
        for waiting in named:
            waiting.key = keys.get(waiting.execution.subject or "")

    def _load(self, streams: Iterable[str], work: _Work[W]) -> None:
        missing: list[str] = []
        for stream in streams:
            if stream in work.states or stream in work.broken:
                continue
            snapshot = self._cache.get(stream)
            if snapshot is None:
                missing.append(stream)
            else:
                work.states[stream] = snapshot
        if not missing:
            return
        for stream, loaded in load(self._connection, missing, self._aggregates, self._keys, keeping=True):
            if isinstance(loaded, Snapshot):
                work.states[stream] = loaded
            else:
                work.broken[stream] = loaded

    def _decide_shard(self, shard: int, waiting: list[W], work: _Work[W]) -> None:
        rest = [w for w in waiting if not self._fails(w, work)]
        while rest:
            tip = work.tips[shard]
            base = Base(
                shard=shard,
                shards=self._identity.shards,
                generation=self._identity.generation,
                segment_size=self._identity.segment_size,
                seen=tip.position,
                recorded_at=tip.recorded_at,
                now=self._clock(),
                closed=tip.closed,
            )
            chunk = rest[:MAX_COMMAND_EVENTS]
            self._load(needed(base, chunk), work)
            for w in chunk:
                w.given = {stream: work.states[stream].state for stream in w.execution.given}
            batch = decide_batch(base, chunk, work.states, self._aggregates, attempt_id=mint_id(0, self._entropy))
            work.rows += batch.rows
            work.states.update(batch.changed)
            work.tips[shard] = Tip(batch.head, batch.recorded_at, batch.closed)
            work.decisions += batch.decisions
            del rest[: len(batch.decisions)]

    def _fails(self, waiting: W, work: _Work[W]) -> bool:
        execution = waiting.execution
        for stream in (*execution.streams, *execution.given):
            if stream in work.broken:
                work.decisions.append(Decision(waiting, Fate.FAILED, 0, error=work.broken[stream]))
                return True
        return False


def _uncertain(decision: Decision[W], error: sqlite3.Error) -> Decision[W]:
    cause: Exception
    if decision.fate is Fate.APPENDED:
        cause = OutcomeUnknownError(decision.waiting.execution.metadata.command_id)
    else:
        cause = UnavailableError(f"the log could not be written: {error}")
    return replace(decision, fate=Fate.FAILED, events=(), states={}, error=cause)

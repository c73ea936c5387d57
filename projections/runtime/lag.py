"""How far every family and reactor is behind the log: for readiness, the command line and whoever asks from outside the process that folds."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from domain.envelope import split_sequence
from domain.errors import LogError
from domain.log.port import EventLog
from projections.documents.port import Documents
from projections.runtime.deadletters import DEAD_LETTERS, source_of
from projections.runtime.halts import halted
from projections.runtime.progress import State

DEAD_LETTERS_COUNTED = 1000


def events_between(checkpoint: int, head: int) -> int:
    """How many events lie between two sequences; at least so many where a generation has ended in between."""
    (generation, position), (last_generation, last) = split_sequence(checkpoint), split_sequence(head)
    return max(0, last - position) if generation == last_generation else last


@dataclass(frozen=True, slots=True)
class ProjectionStatus:
    """``lag_seconds`` is the age of the oldest event that is not folded; 0.0 where there is none, None where it cannot be read.

    ``dead_letters`` is counted up to 1,000. ``reason`` says why it halted.
    """

    name: str
    shard: int
    checkpoint: int
    head: int
    lag_events: int
    lag_seconds: float | None
    state: State
    dead_letters: int
    reason: str = ""


async def projection_status(
    log: EventLog,
    documents: Documents,
    names: Sequence[str],
    *,
    clock: Callable[[], int] = lambda: time.time_ns() // 1000,
) -> Sequence[ProjectionStatus]:
    """One entry for each of ``names`` (``Runtime.names``) and shard, as the stores have it, whichever process folds. Raises UnavailableError.

    ``clock`` gives microseconds since the epoch.
    """
    shards = range(log.identity.shards)
    # Checkpoints first: a head that is read later is never behind them.
    saved = await asyncio.gather(*(documents.load_checkpoints(name) for name in names))
    places = {(name, n): own.get(n, 0) for name, own in zip(names, saved, strict=True) for n in shards}
    heads = await asyncio.gather(*(log.head(shard) for shard in shards))
    stopped = await halted(documents, places)
    oldest = await _oldest(log, {(n, at) for (_, n), at in places.items() if at < heads[n]})
    letters = await _dead_letters(documents, names, shards)
    now = clock()

    def status(name: str, shard: int, at: int) -> ProjectionStatus:
        reason = stopped.get((name, shard), "")
        since = oldest.get((shard, at), now)
        return ProjectionStatus(
            name=name,
            shard=shard,
            checkpoint=at,
            head=heads[shard],
            lag_events=events_between(at, heads[shard]),
            lag_seconds=None if since is None else max(0, now - since) / 1e6,
            state=_state(documents, name, reason, letters[name, shard]),
            dead_letters=letters[name, shard],
            reason=reason,
        )

    return [status(name, shard, at) for (name, shard), at in places.items()]


def _state(documents: Documents, name: str, reason: str, letters: int) -> State:
    if documents.version(name) == 0:
        return State.BUILDING
    return State.HALTED if reason else State.DEGRADED if letters else State.LIVE


async def _dead_letters(
    documents: Documents, names: Sequence[str], shards: Sequence[int]
) -> Mapping[tuple[str, int], int]:
    """Counted by shard only where a family has any at all: mostly none has."""
    own = await asyncio.gather(
        *(documents.count(DEAD_LETTERS, "by_source", (source_of(documents, name),), 1) for name in names)
    )
    counts = dict.fromkeys(((name, shard) for name in names for shard in shards), 0)
    for name in (name for name, some in zip(names, own, strict=True) if some):
        for shard in shards:
            prefix = (source_of(documents, name), shard)
            counts[name, shard] = await documents.count(DEAD_LETTERS, "by_position", prefix, DEAD_LETTERS_COUNTED)
    return counts


async def _oldest(log: EventLog, places: Iterable[tuple[int, int]]) -> Mapping[tuple[int, int], int | None]:
    """The recordedAt of the event after each (shard, checkpoint); None where it cannot be read."""

    async def oldest(shard: int, after: int) -> int | None:
        try:
            events = await log.read(shard, after, 1)
        except LogError:
            return None
        return events[0].recorded_at if events else None

    asked = list(places)
    return dict(zip(asked, await asyncio.gather(*(oldest(shard, after) for shard, after in asked)), strict=True))


class Stillness:
    """The readiness rule: a lag that has not moved for ``patience`` seconds, or a tail that has stopped looking for as long.

    A long lag that shrinks is no fault; a short one that stands is.
    """

    def __init__(self, patience: float = 30.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._monotonic = monotonic
        self._moved: dict[tuple[str, int], tuple[int, float]] = {}

    def faults(self, statuses: Iterable[ProjectionStatus], looked: Mapping[int, float] | None = None) -> Sequence[str]:
        """What is wrong, in a sentence each; empty means ready. ``looked`` is ``RuntimeStatus.looked`` of a runtime in this process. Call it every
        few seconds: it measures from what it saw before."""
        faults = [text for status in statuses if (text := self._still(status))]
        for shard, seconds in (looked or {}).items():
            if seconds > self._patience:
                faults.append(f"the tail of shard {shard} has not heard from the log for {seconds:.0f} s")
        return faults

    def _still(self, status: ProjectionStatus) -> str:
        now = self._monotonic()
        key = (status.name, status.shard)
        checkpoint, since = self._moved.get(key, (-1, now))
        # One that is being filled tells nothing of it here, and nobody reads it yet.
        if checkpoint != status.checkpoint or status.lag_events == 0 or status.state is State.BUILDING:
            self._moved[key] = status.checkpoint, now
            return ""
        if now - since <= self._patience:
            return ""
        return f"{status.name} of shard {status.shard} stands {status.lag_events} events behind ({status.state.value})"

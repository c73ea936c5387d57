"""How far each family and reactor has come in the shards that this process holds: what consumers that follow others, metrics and status read."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from projections.runtime import metrics
from projections.runtime.pulse import Pulse


class State(StrEnum):
    """DEGRADED: going on without the streams that it parked. HALTED: not going on. BUILDING: being filled for the first time, and not to be read yet."""

    LIVE = "live"
    BUILDING = "building"
    DEGRADED = "degraded"
    HALTED = "halted"


@dataclass(slots=True)
class Progress:
    """``checkpoint`` is saved; effects are durable up to ``done``, which may be a batch ahead of it. ``moved_at`` is the monotonic second in which it last moved; ``next_at`` the recordedAt of the oldest event that is
    known to be not folded yet, 0 for none. ``parked`` streams; ``reason`` says why it halted."""

    checkpoint: int
    done: int
    moved_at: float
    state: State = State.LIVE
    reason: str = ""
    parked: int = 0
    next_at: int = 0


def _going(parked: int) -> State:
    return State.DEGRADED if parked else State.LIVE


class Board:
    """Written by the runners of one process, by (family, shard). ``saved`` is told of each checkpoint's family."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, saved: Callable[[str], None] = lambda _: None
    ) -> None:
        self._monotonic = monotonic
        self._saved = saved
        self._progress: dict[tuple[str, int], Progress] = {}
        self._pulses: dict[int, Pulse] = {}

    @property
    def progress(self) -> Mapping[tuple[str, int], Progress]:
        return self._progress

    def open(self, family: str, shard: int, checkpoint: int, parked: int) -> None:
        self._progress[family, shard] = Progress(
            checkpoint, checkpoint, self._monotonic(), _going(parked), parked=parked
        )
        self._pulse(shard).beat()

    def done(self, family: str, shard: int, upto: int) -> None:
        """Effects are durable up to there: what follows the family may go on. Its checkpoint is for those who come after a crash, who do it again."""
        self._progress[family, shard].done = upto
        self._pulse(shard).beat()

    def advance(self, family: str, shard: int, checkpoint: int, parked: int) -> None:
        """``checkpoint`` is saved."""
        progress = self._progress[family, shard]
        progress.checkpoint = checkpoint
        progress.moved_at = self._monotonic()
        progress.state = _going(parked)
        progress.parked = parked
        progress.next_at = 0
        self._saved(family)

    def working(self, family: str, shard: int, recorded_at: int) -> None:
        self._progress[family, shard].next_at = recorded_at

    def halt(self, family: str, shard: int, reason: str) -> None:
        progress = self._progress[family, shard]
        progress.state = State.HALTED
        progress.reason = reason

    def close(self, shard: int) -> None:
        """The shard is held here no more: nothing is said of it."""
        for family, at in [key for key in self._progress if key[1] == shard]:
            del self._progress[family, at]
            for gauge in metrics.GAUGES:
                gauge.remove(family, str(at))

    async def passed(self, families: Sequence[str], shard: int, above: int) -> int:
        """Up to where all of the families have come, waited for until it is above ``above``."""
        while (lowest := min(self._progress[family, shard].done for family in families)) <= above:
            await self._pulse(shard).wait()
        return lowest

    def _pulse(self, shard: int) -> Pulse:
        return self._pulses.setdefault(shard, Pulse())

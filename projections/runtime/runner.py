"""A runner carries one consumer (a family's folds, or a policy) through one shard: read, consume, checkpoint, for ever."""

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import Final, Protocol

import structlog

from domain.envelope import Recorded
from domain.errors import LogError
from projections.documents.port import Documents
from projections.runtime import halts, metrics
from projections.runtime.backoff import persist
from projections.runtime.deadletters import Parking
from projections.runtime.faults import HaltedError, describe
from projections.runtime.leases import Tenure
from projections.runtime.progress import Board
from projections.runtime.tail import Tail

EVENTS: Final = 512
"""Events that one batch takes at most: few where they trickle in, all of them where the consumer is behind."""

_log = structlog.get_logger("tidings.runtime")


class Consumer(Protocol):
    """``name`` is its checkpoint's; it does not overtake what it ``follows``."""

    @property
    def name(self) -> str: ...

    @property
    def follows(self) -> tuple[str, ...]: ...

    async def consume(self, events: Sequence[Recorded], parking: Parking) -> int:
        """Takes one or more events and answers with the sequence up to which their effects are durable. May be given any of them again.

        Raises UnavailableError (try again), FencedError (stop), LogError or HaltedError (halt).
        """
        ...


class Runner:
    """``idle`` while it waits for events: it may be cancelled then without cutting a batch. ``label`` names it on the board, ``follows`` whom it must
    not overtake there: the consumer's own name and ``follows`` unless other versions of families run beside the live ones."""

    def __init__(
        self,
        consumer: Consumer,
        tail: Tail,
        documents: Documents,
        tenure: Tenure,
        board: Board,
        *,
        events: int = EVENTS,
        label: str | None = None,
        follows: Sequence[str] | None = None,
    ) -> None:
        self.idle = True
        self.stopping = False
        self._consumer = consumer
        self._tail = tail
        self._documents = documents
        self._tenure = tenure
        self._board = board
        self._events = events
        self._label = label or consumer.name
        self._follows = consumer.follows if follows is None else follows
        self._parking = Parking(documents, consumer.name, tail.shard)
        self._checkpoint = 0

    async def run(self) -> None:
        """Until it is told to stop, or halts. Raises FencedError when the shard is another's."""
        what = f"{self._label} {self._tail.shard}"
        try:
            self._parking.require_few()
            while not self.stopping:
                await persist(self.turn, what)
        except (LogError, HaltedError) as error:
            await self._halt(error)

    async def open(self) -> None:
        """Reads where to go on; what follows this consumer needs it before any runner of the shard runs."""
        name, shard = self._consumer.name, self._tail.shard
        self._checkpoint = (await self._documents.load_checkpoints(name)).get(shard, 0)
        await self._parking.load()
        self._board.open(self._label, shard, self._checkpoint, len(self._parking))

    async def turn(self) -> None:
        """One batch, from waiting for its events to its checkpoint."""
        events = await self._next()
        self.idle = False
        try:
            self._board.working(self._label, self._tail.shard, events[0].recorded_at)
            upto = await self._consumer.consume(events, self._parking)
            self._board.done(self._label, self._tail.shard, upto)
            await self._save(upto)
            metrics.EVENTS.labels(family=self._label).inc(bisect_right(events, upto, key=attrgetter("sequence")))
        finally:
            self.idle = True

    async def _halt(self, error: LogError | HaltedError) -> None:
        name, shard = self._consumer.name, self._tail.shard
        reason = f"{describe(error)}: {error}"
        self._board.halt(self._label, shard, reason)
        metrics.HALTS.labels(family=self._label, shard=shard).inc()
        _log.error("halted", family=self._label, shard=shard, after=self._checkpoint, reason=reason)
        # Other processes see it too.
        await persist(lambda: halts.record(self._documents, name, shard, self._checkpoint, reason), f"{name} {shard}")

    async def _next(self) -> Sequence[Recorded]:
        if not self._follows:
            return await self._tail.events(self._checkpoint, self._events)
        limit = await self._board.passed(self._follows, self._tail.shard, self._checkpoint)
        events = await self._tail.events(self._checkpoint, self._events)
        return [recorded for recorded in events if recorded.sequence <= limit]

    async def _save(self, upto: int) -> None:
        self._tenure.ensure()
        name, shard = self._consumer.name, self._tail.shard
        await self._documents.save_checkpoint(name, shard, upto, self._tenure.lease)
        self._checkpoint = upto
        self._board.advance(self._label, shard, upto, len(self._parking))

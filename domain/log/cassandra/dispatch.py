"""A command's way through the log: loaded and pinned, queued, decided, and where it was refused for other shards' states decided once more."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from domain.ids import stream_shard
from domain.log.batching import Decision, Fate
from domain.log.cassandra._together import together
from domain.log.cassandra.appender import Appender
from domain.log.cassandra.shard import Shard
from domain.log.cassandra.ticket import Ticket
from domain.log.cassandra.view import Entry
from domain.log.port import Execution, Outcome
from domain.log.sealing import KeyRing

PATIENCE: Final = 10.0
"""Seconds that a caller waits."""
QUEUE: Final = 2048
"""Open commands of a shard."""


@dataclass(slots=True)
class _Held:
    """What is pinned for a command, by shard."""

    pins: list[tuple[Shard, Sequence[Entry]]]

    def release(self) -> None:
        for shard, entries in self.pins:
            shard.release(entries)
        self.pins.clear()


class Dispatcher:
    """Hands commands to the appenders of their shards."""

    def __init__(
        self, appenders: Sequence[Appender], ring: KeyRing, *, patience: float = PATIENCE, queue_limit: int = QUEUE
    ) -> None:
        self._appenders = appenders
        self._ring = ring
        self._patience = patience
        self._queue_limit = queue_limit

    async def execute(self, execution: Execution) -> Outcome:
        """See EventLog.execute."""
        if not 0 <= execution.shard < len(self._appenders):
            raise ValueError(f"there is no shard {execution.shard}, only 0 to {len(self._appenders) - 1}")
        appender = self._appenders[execution.shard]
        obstacle = appender.obstacle()
        if obstacle is not None:
            raise obstacle
        deadline = time.monotonic() + self._patience
        command = _Command(execution, appender, self._appenders, self._ring, deadline)
        appender.enter(self._queue_limit)
        try:
            return await command.run()
        finally:
            appender.leave()
            command.leave()


class _Command:
    def __init__(
        self,
        execution: Execution,
        appender: Appender,
        appenders: Sequence[Appender],
        ring: KeyRing,
        deadline: float,
    ) -> None:
        self._deadline = deadline
        self._execution = execution
        self._appender = appender
        self._appenders = appenders
        self._ring = ring
        self._held = _Held([])
        self._ticket: Ticket | None = None

    def leave(self) -> None:
        """The caller goes. What is in flight keeps its pins: it may have to be decided again."""
        if self._ticket is not None and self._ticket.sent:
            self._ticket.abandoned = self._held.release
        else:
            self._held.release()

    async def run(self) -> Outcome:
        given_confirmed = False
        while True:
            ticket = self._ticket = await self._prepare()
            self._appender.submit(ticket)
            decision = await ticket.answer
            if decision is None:
                self._held.release()
            elif self._rests_on_given(decision) and not given_confirmed:
                await self._confirm_given()
                given_confirmed = True
                self._held.release()
            else:
                return decision.outcome()

    def _rests_on_given(self, decision: Decision[Ticket]) -> bool:
        return decision.fate is Fate.REFUSED and bool(self._execution.given)

    async def _prepare(self) -> Ticket:
        execution = self._execution
        answer: asyncio.Future[Decision[Ticket] | None] = asyncio.get_running_loop().create_future()
        ticket = Ticket(execution=execution, answer=answer, deadline=self._deadline)
        if self._ticket is not None:
            ticket.confirmed = self._ticket.confirmed
        if execution.subject is not None:
            if execution.new_subject:
                await self._ring.create(execution.subject)
            # A subject without a key is none that the cache could know: its command is refused when it has something to seal.
            ticket.sealable = execution.subject in await self._ring.keys((execution.subject,))
        await self._acquire(ticket)
        return ticket

    async def _acquire(self, ticket: Ticket) -> None:
        execution = self._execution
        wanted = {self._appender.shard: [stream for stream in execution.streams if stream not in execution.fresh]}
        for shard, streams in self._by_shard(execution.given).items():
            wanted.setdefault(shard, []).extend(streams)
        pins = self._held.pins
        cold: list[tuple[Shard, list[str]]] = []
        for shard, streams in wanted.items():
            entries = shard.acquire_held(streams)
            if entries is None:
                cold.append((shard, streams))
            else:
                pins.append((shard, entries))
        if len(cold) == 1:
            await self._load(*cold[0])
        elif cold:
            await together(self._load(shard, streams) for shard, streams in cold)
        ticket.entries = [entry for _, entries in pins for entry in entries]

    async def _load(self, shard: Shard, streams: Sequence[str]) -> None:
        self._held.pins.append((shard, await shard.acquire(streams)))

    async def _confirm_given(self) -> None:
        await asyncio.gather(*(shard.confirm() for shard in self._by_shard(self._execution.given)))

    def _by_shard(self, streams: Iterable[str]) -> Mapping[Shard, list[str]]:
        found: dict[Shard, list[str]] = {}
        for stream in streams:
            found.setdefault(self._appenders[stream_shard(stream, len(self._appenders))].shard, []).append(stream)
        return found

"""The log's shards as one stream of events, from a point in time on; for whoever watches the log itself."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from domain.envelope import Recorded, sequence, split_sequence
from domain.log.port import EventLog

_READ: Final = 500
_QUEUE: Final = 1_000
_WAIT_SECONDS: Final = 5.0

Starts = Mapping[int, int]
"""{shard: sequence after which it begins}."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events to give: of these types (with wildcards: ``post.*``; none: all but the log's own), and that this account did, or that concern it."""

    types: Sequence[str] = ()
    account: str | None = None

    def __contains__(self, recorded: Recorded) -> bool:
        name = recorded.event.name
        if not (any(fnmatchcase(name, pattern) for pattern in self.types) if self.types else _is_the_domains(name)):
            return False
        return self.account is None or self._concerned(recorded)

    def _concerned(self, recorded: Recorded) -> bool:
        account = self.account
        return account in (recorded.metadata.actor, *msgspec.structs.astuple(recorded.event)) or (
            account in recorded.stream.split("-")
        )


def _is_the_domains(name: str) -> bool:
    """What the log says of itself (padding) is given only where it is asked for."""
    return not name.startswith("log.")


async def from_now(log: EventLog, shards: Sequence[int]) -> Starts:
    heads = await asyncio.gather(*(log.head(shard) for shard in shards))
    return dict(zip(shards, heads, strict=True))


async def from_time(log: EventLog, shards: Sequence[int], time: int) -> Starts:
    """Before the first event that was recorded at ``time`` (microseconds) or later, in each shard."""
    starts = await asyncio.gather(*(_first_at(log, shard, time) for shard in shards))
    return dict(zip(shards, starts, strict=True))


async def _first_at(log: EventLog, shard: int, time: int) -> int:
    generation, high = split_sequence(await log.head(shard))
    low = 0
    # Times never fall in a shard, so half of what is left is ruled out by one look.
    while low < high:
        middle = (low + high) // 2
        found = await log.read(shard, sequence(generation, middle), 1)
        if found and found[0].recorded_at < time:
            low = middle + 1
        else:
            high = middle
    if low == 0:
        # It may lie in a generation before this one; what comes too early is left out where it is read.
        return 0
    return sequence(generation, low)


async def tail(
    log: EventLog, starts: Starts, wanted: Wanted, *, follow: bool, since: int = 0
) -> AsyncIterator[Recorded]:
    """The wanted events of all shards after ``starts``, each shard's in order; those of different shards as they come. Without ``follow`` it ends at
    the heads of the moment at which it began. ``since`` leaves out what was recorded before.

    Raises what the log raises: LogError at an event that this program cannot read.
    """
    ends = {} if follow else await from_now(log, list(starts))
    queue: asyncio.Queue[Recorded | BaseException | None] = asyncio.Queue(_QUEUE)
    tasks = [asyncio.create_task(_pump(log, shard, after, ends.get(shard), queue)) for shard, after in starts.items()]
    running = len(tasks)
    try:
        while running:
            found = await queue.get()
            if found is None:
                running -= 1
            elif isinstance(found, BaseException):
                raise found
            elif found.recorded_at >= since and found in wanted:
                yield found
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(
    log: EventLog, shard: int, after: int, end: int | None, queue: "asyncio.Queue[Recorded | BaseException | None]"
) -> None:
    try:
        while end is None or after < end:
            events = await log.read(shard, after, _READ)
            if not events:
                await log.wait(shard, after, _WAIT_SECONDS)
                continue
            for recorded in events:
                if end is None or recorded.sequence <= end:
                    await queue.put(recorded)
            after = events[-1].sequence
        await queue.put(None)
    except Exception as error:  # noqa: BLE001 -- whoever reads the tail is told
        await queue.put(error)

"""What the parts of the event log's contract share: the factory that they ask for, and ways of looking into a log."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from domain.envelope import Recorded
from domain.log.port import EventLog, Execution, Outcome
from domain.log.snapshots import Kept
from tests.contract.log_domain import (
    Seat,
    Tally,
)

FINGERPRINT = "fingerprint of the server key"


class LogFactory(Protocol):
    async def __call__(
        self, *, segment_size: int = 8192, queue_limit: int = 4096, fingerprint: str = FINGERPRINT
    ) -> EventLog: ...


class SnapshotStore(Protocol):
    """Where an adapter keeps the snapshots of its log, looked into past the log itself."""

    async def read(self, log: EventLog, stream: str) -> Kept | None: ...

    async def write(self, log: EventLog, stream: str, kept: Kept) -> None: ...

    async def settled(self, log: EventLog) -> None:
        """Returns when what ``log`` wrote besides its events is there."""
        ...


async def read_shard(log: EventLog, shard: int, *, page: int = 97) -> list[Recorded]:
    """A shard's events from the first on, and the proof that they are dense and that their times never fall."""
    found: list[Recorded] = []
    # Who has asked for the head is shown all that lies below it, also what other processes have just appended.
    await log.head(shard)
    while run := await log.read(shard, found[-1].sequence if found else 0, page):
        assert len(run) <= page
        found += run
    assert [recorded.position for recorded in found] == list(range(1, len(found) + 1))
    assert {recorded.shard for recorded in found} <= {shard}
    times = [recorded.recorded_at for recorded in found]
    assert times == sorted(times)
    return found


async def read_everything(log: EventLog) -> list[Recorded]:
    """All events, shard after shard, and the proof that versions are dense and no event is there twice."""
    found = [recorded for shard in range(log.identity.shards) for recorded in await read_shard(log, shard)]
    versions: Counter[str] = Counter()
    for recorded in found:
        versions[recorded.stream] += 1
        assert recorded.version == versions[recorded.stream]
    assert len({recorded.event_id for recorded in found}) == len(found)
    return found


async def tally_of(log: EventLog, stream: str) -> Tally:
    state = (await log.states([stream]))[stream]
    assert isinstance(state, Tally)
    return state


async def owner_of(log: EventLog, stream: str) -> str | None:
    state = (await log.states([stream]))[stream]
    assert isinstance(state, Seat)
    return state.owner


async def gather(log: EventLog, executions: Iterable[Execution]) -> list[Outcome | BaseException]:
    """All at once; what was raised stands in the list."""
    return await asyncio.gather(*(log.execute(execution) for execution in executions), return_exceptions=True)


def appended(results: Iterable[Outcome | BaseException]) -> list[Outcome]:
    """Those with events; fails where one is an error."""
    found: list[Outcome] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        if result.events:
            found.append(result)
    return found

"""Appends share Paxos rounds: what comes in while one is under way goes together in the next."""

import asyncio

from domain.log.cassandra import CassandraLog, metrics
from tests.contract.log_domain import counting, new_id, slot_in, tally
from tests.log_cassandra_kit import Store

SHARD = 3
CLIENTS = 16
TURNS = 12


def rounds() -> float:
    [family] = metrics.BATCH_EVENTS.collect()
    return sum(sample.value for sample in family.samples if sample.name.endswith("_count"))


async def ask(log: CassandraLog, stream: str, times: int) -> None:
    for _ in range(times):
        await log.execute(counting(stream, log.identity.shards))


async def test_those_who_were_answered_share_the_next_round_too(own: Store) -> None:
    log = await own.open()
    streams = [tally(new_id(slot_in(SHARD, log.identity.shards))) for _ in range(CLIENTS)]
    await asyncio.gather(*(ask(log, stream, 1) for stream in streams))
    before = rounds()
    early = asyncio.create_task(ask(log, streams[0], TURNS))
    while log._appenders[SHARD]._flying is None:  # noqa: ASYNC110 -- a flight is short: look at every turn
        await asyncio.sleep(0)
    await asyncio.gather(early, *(ask(log, stream, TURNS) for stream in streams[1:]))
    # If the early one and the others found each other under way for ever, there would be twice as many.
    assert rounds() - before < 1.5 * TURNS


async def test_who_is_alone_waits_for_nobody(own: Store) -> None:
    log = await own.open()
    before = rounds()
    await ask(log, tally(new_id(slot_in(SHARD, log.identity.shards))), 5)
    assert rounds() - before == 5

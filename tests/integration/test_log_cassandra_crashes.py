"""Real processes on a real node: the node is paused and killed, a writer is killed, and the log is what it was said to be."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter

import pytest

from domain.envelope import Recorded
from domain.ids import stream_shard
from tests.contract.log_domain import Counted
from tests.log_cassandra_kit import Store, commands_of, read_shard, store
from tests.log_cassandra_writer import shared_streams
from tests.servers import Server
from tests.servers.cassandra import prepare_cassandra

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


async def start_writer(own: Store) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.log_cassandra_writer",
        own.host,
        str(own.port),
        own.keyspace,
        stdin=PIPE,
        stdout=PIPE,
    )


async def listen(writer: Process, told: list[tuple[str, str]]) -> None:
    assert writer.stdout is not None
    async for line in writer.stdout:
        word, _, command = line.decode().strip().partition(" ")
        told.append((word, command))


async def disturb(node: Server, victim: Process) -> None:
    """Two pauses, longer than any time-out of a client; one writer's death in the second; one of the node."""
    await asyncio.sleep(3)
    for number in range(2):
        node.pause()
        await asyncio.sleep(1)
        if number:
            os.kill(victim.pid, signal.SIGKILL)
        await asyncio.sleep(2.5)
        node.resume()
        await asyncio.sleep(3)
    await asyncio.to_thread(node.kill)
    await asyncio.sleep(1)
    await asyncio.to_thread(node.start)
    await asyncio.sleep(5)


@pytest.mark.timeout(300)
async def test_no_pause_and_no_crash_loses_or_doubles_an_event() -> None:
    # Without it a kill takes back what was acknowledged in the last second.
    node = prepare_cassandra(synced=True)
    try:
        await asyncio.to_thread(node.start)
        async with store(node.address) as own:
            writers = [await start_writer(own) for _ in range(3)]
            told: list[tuple[str, str]] = []
            listening = [asyncio.create_task(listen(writer, told)) for writer in writers]
            await disturb(node, writers[0])
            for writer in writers[1:]:
                assert writer.stdin is not None
                writer.stdin.close()
            await asyncio.gather(*listening, *(writer.wait() for writer in writers))
            assert [writer.returncode for writer in writers] == [-signal.SIGKILL, 0, 0]
            await check(own, told)
    finally:
        await asyncio.to_thread(node.close)


async def check(own: Store, told: list[tuple[str, str]]) -> None:
    log = await own.open()
    streams = shared_streams()
    events: list[Recorded] = []
    for shard in sorted({stream_shard(stream, log.identity.shards) for stream in streams}):
        events += await read_shard(log, shard)
    found = commands_of(recorded for recorded in events if isinstance(recorded.event, Counted))
    said = Counter(word for word, _ in told)
    assert said["appended"] > 500
    assert said["unavailable"] > 0
    assert set(found.values()) == {1}
    assert not [command for word, command in told if word == "appended" and command not in found]
    assert not [command for word, command in told if word == "unavailable" and command in found]
    # Each command counted on from all that were before it: an event decided on a stale state would show.
    for stream in streams:
        numbers = [recorded.event.amount for recorded in await log.load(stream) if isinstance(recorded.event, Counted)]
        assert numbers == list(range(1, len(numbers) + 1))

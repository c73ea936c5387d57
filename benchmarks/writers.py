"""log.writers_4_vs_1: four processes that append to the same eight shards, against one; with shard affinity, and without.

The same number of commands is in flight in all of them together. The orders go to all processes at once, and a round's rate is that of all events until the
last process is done.
"""

import asyncio
import secrets
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from benchmarks._floor import IN_FLIGHT, dropped
from benchmarks._result import Result, result
from domain.log.cassandra import migrate_cassandra
from tests.servers import Addresses

WRITERS = 4
ROUNDS = 2
EVENTS = 8_000
"""Of one round, by all processes together. Each round starts its processes anew, and warms them: those that wait would follow what the others append."""
LONGEST = 600
_LINE_BYTES = 64 * 1024 * 1024


async def run(addresses: Addresses, scale: bool) -> Mapping[str, Result]:
    """``scale`` makes rounds of five times as many events."""
    events = EVENTS * (5 if scale else 1)
    keyspace = f"bench_{secrets.token_hex(4)}"
    host, _, port = addresses.cassandra.partition(":")
    await migrate_cassandra([host], keyspace, port=int(port), server_key_fingerprint="bench")
    kinds = {"one": (1, "home"), "together": (WRITERS, "affinity"), "apart": (WRITERS, "home")}
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    latencies: dict[str, list[float]] = {name: [] for name in kinds}
    try:
        async with asyncio.timeout(LONGEST):
            for _ in range(ROUNDS):
                for name, (count, kind) in kinds.items():
                    rate, measured = await _measured(addresses, keyspace, count, kind, events)
                    rates[name].append(rate)
                    latencies[name] += measured
    finally:
        await asyncio.to_thread(dropped, addresses, keyspace)
    rate_of = {name: statistics.median(each) for name, each in rates.items()}
    return {
        "log.writers_4_vs_1": result(rate_of["together"], rate_of["one"], "events/s", latencies["together"]),
        "log.writers_4_apart_vs_1": result(rate_of["apart"], rate_of["one"], "events/s", latencies["apart"]),
    }


async def _measured(
    addresses: Addresses, keyspace: str, count: int, kind: str, events: int
) -> tuple[float, list[float]]:
    """Rate and latencies of one round, after a warming one."""
    async with _writers(addresses, keyspace, count, kind) as writers:
        await _round(writers, events)
        began = time.perf_counter()
        measured = await _round(writers, events)
        return len(measured) / (time.perf_counter() - began), measured


async def _round(writers: "Sequence[_Writer]", events: int) -> list[float]:
    count = len(writers)
    orders = (f"go {events // count} {IN_FLIGHT // count} {n}" for n in range(count))
    answers = await asyncio.gather(*(writer.ask(order) for writer, order in zip(writers, orders, strict=True)))
    return [latency for answer in answers for latency in answer]


class _Writer:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def answer(self) -> Any:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a writer ended with {await self._process.wait()}")
        return msgspec.json.decode(line)

    async def ask(self, order: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n".encode())
        return await self.answer()

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def _started(addresses: Addresses, keyspace: str, kind: str) -> _Writer:
    return _Writer(
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks._writer", addresses.cassandra, keyspace, kind),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
        )
    )


@asynccontextmanager
async def _writers(addresses: Addresses, keyspace: str, count: int, kind: str) -> AsyncIterator[Sequence[_Writer]]:
    """Ready, and with all shards shared out."""
    writers: list[_Writer] = []
    try:
        for _ in range(count):
            writers.append(await _started(addresses, keyspace, kind))  # noqa: PERF401 -- those that are there are ended
        for writer in writers:
            assert await writer.answer() == "ready"
        share = 8 // count if kind == "affinity" else 8
        while [await writer.ask("settled") for writer in writers] != [share] * count:
            await asyncio.sleep(0.2)
        # Each looks at the leases every second or so.
        await asyncio.sleep(2)
        yield writers
    finally:
        for writer in writers:
            await writer.end()

"""A process that appends for a benchmark: `python -m benchmarks._writer ADDRESS KEYSPACE home|affinity`.

Says `ready` when it is, and again when asked by a line `settled`: the number of shards that it holds. A line `go COUNT IN_FLIGHT SEED` makes it run commands; its answer is
their latencies in seconds, as JSON. Ends with its input.
"""

import asyncio
import itertools
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from api.affinity.forwarding import Part, forwarding
from api.cli.running import run
from api.logs import configure_logs
from api.server import bound
from benchmarks._floor import TEXT, Said
from benchmarks.log import Counting, opened
from domain.commands import Command
from domain.context import Context
from domain.errors import UnavailableError
from domain.handlers.forwarding import Handler
from domain.handlers.result import Result
from domain.ids import Namer, mint_id, stream_shard
from domain.log.cassandra import CassandraLog
from domain.log.port import Draft, EventLog, Execution, View
from tests.servers import Addresses

SERVER_KEY = bytes(32)
STREAMS = 2_000


class Say(Command, frozen=True, kw_only=True):
    stream: str


async def say(log: EventLog, command: Say, context: Context) -> Result:
    drafts = (Draft(command.stream, Said(text=TEXT)),)

    def decide(view: View) -> Sequence[Draft]:
        assert isinstance(view.state(command.stream, int), int)
        return drafts

    shard = stream_shard(command.stream, log.identity.shards)
    execution = Execution(shard=shard, streams=(command.stream,), decide=decide, metadata=context.metadata())
    return Result(command.stream, await log.execute(execution))


HANDLERS: dict[type[Command], Handler] = {Say: say}


def streams() -> list[str]:
    """The same in every process."""
    source = random.Random(17)
    return [f"said-{mint_id(number % 1024, source.randbytes)}" for number in range(STREAMS)]


@asynccontextmanager
async def taking_part(log: CassandraLog) -> AsyncIterator[Part]:
    with bound("127.0.0.1", 0, ("HOST", "PORT")) as listen:
        async with forwarding(
            log,
            await log.appointments(),
            HANDLERS,
            server_key=SERVER_KEY,
            entropy=os.urandom,
            able=log.appends,
            ease=log.ease,
            listen=listen,
            address=f"127.0.0.1:{listen.getsockname()[1]}",
            initial=Counting().initial,
        ) as part:
            yield part


async def main(address: str, keyspace: str, kind: str) -> None:
    async with opened(Addresses(address, ""), keyspace) as log:
        if kind == "home":
            await serve(log, None)
        else:
            async with taking_part(log) as part:
                await serve(log, part)


async def serve(log: CassandraLog, part: Part | None) -> None:
    tell("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        order, *numbers = line.split()
        if order == "settled":
            tell(len(part.appointer.held()) if part is not None else log.identity.shards)
        else:
            count, in_flight, seed = map(int, numbers)
            tell(await append(log, part, count, in_flight, seed))


def tell(value: object) -> None:
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


async def append(log: CassandraLog, part: Part | None, count: int, in_flight: int, seed: int) -> list[float]:
    """Ends when what this process has appended is indexed."""
    names = streams()
    start = seed * STREAMS // 7
    chosen = itertools.islice(itertools.cycle(names[start % STREAMS :] + names[: start % STREAMS]), count)
    namer, latencies = Namer(SERVER_KEY), list[float]()

    async def client() -> None:
        for stream in chosen:
            began = time.perf_counter()
            command = Say(stream=stream)
            account = mint_id(0, os.urandom)
            context = Context(namer, os.urandom, time.time_ns() // 1000, mint_id(0, os.urandom), account)
            while True:
                try:
                    if part is None:
                        await say(log, command, context)
                    else:
                        await part.log.run(say, command, context)
                    break
                except UnavailableError:
                    await asyncio.sleep(0.05)
            latencies.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(client())
    await log.indexed()
    return latencies


if __name__ == "__main__":
    configure_logs("error", "text")
    run(main(*sys.argv[1:]))

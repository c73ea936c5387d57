"""A process that appends without a break: `python -m tests.log_cassandra_writer HOST[,HOST] PORT KEYSPACE`.

Says on standard output, a line each, what it was told of every command: `appended ID`, `unavailable ID` or `unknown ID`; ends when its input ends.
"""

import asyncio
import dataclasses
import random
import sys

from tenacity import retry, retry_if_exception_type, wait_fixed

from domain.envelope import Metadata
from domain.errors import OutcomeUnknownError, UnavailableError
from domain.ids import mint_id
from domain.log.cassandra import open_cassandra_log
from domain.log.port import EventLog
from tests.contract.log_domain import Aggregates, next_number, tally
from tests.log_cassandra_kit import FINGERPRINT, MASTER_KEY

CLIENTS = 24
STREAMS = 12


def shared_streams() -> list[str]:
    """The same in every process: two shards' worth of streams that all of them write to."""
    source = random.Random(17)
    return [tally(mint_id(number % 2 * 600, source.randbytes)) for number in range(STREAMS)]


def say(word: str, command: str) -> None:
    sys.stdout.write(f"{word} {command}\n")
    sys.stdout.flush()


async def client(log: EventLog, over: asyncio.Event) -> None:
    streams = shared_streams()
    while not over.is_set():
        # The test domain draws its ids from a seed, which is the same in every process.
        command = mint_id(0, random.randbytes)
        numbered = next_number(random.choice(streams), log.identity.shards)
        execution = dataclasses.replace(numbered, metadata=Metadata(command_id=command))
        try:
            await log.execute(execution)
        except UnavailableError:
            say("unavailable", command)
            await asyncio.sleep(0.2)
        except OutcomeUnknownError:
            say("unknown", command)
        else:
            say("appended", command)


# Whoever starts a process starts it again until the store is there.
@retry(retry=retry_if_exception_type(UnavailableError), wait=wait_fixed(0.5))
async def open_log(hosts: str, port: str, keyspace: str) -> EventLog:
    return await open_cassandra_log(
        hosts.split(","),
        int(port),
        keyspace,
        master_key=MASTER_KEY,
        server_key_fingerprint=FINGERPRINT,
        aggregates=Aggregates(),
    )


async def main(hosts: str, port: str, keyspace: str) -> None:
    log = await open_log(hosts, port, keyspace)
    over = asyncio.Event()
    clients = [asyncio.create_task(client(log, over)) for _ in range(CLIENTS)]
    await asyncio.to_thread(sys.stdin.read)
    over.set()
    await asyncio.gather(*clients)
    await log.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

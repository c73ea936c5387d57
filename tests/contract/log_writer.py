"""A process of its own for tests: ``python -m tests.contract.log_writer FILE`` appends to the log in FILE until it is killed, and prints
the id and sequence of each event that was acknowledged."""

import asyncio
import os
import sys

from domain.log.sqlite import open_sqlite_log
from tests.contract.log_domain import Aggregates, next_number, tally

MASTER_KEY = bytes(32)
FINGERPRINT = "of two processes"
IN_FLIGHT = 16
STREAM = tally("aa" + "b" * 24)


async def write(path: str) -> None:
    log = await open_sqlite_log(
        path,
        master_key=MASTER_KEY,
        server_key_fingerprint=FINGERPRINT,
        aggregates=Aggregates(),
        segment_size=64,
    )

    async def keep_writing() -> None:
        while True:
            (recorded,) = (await log.execute(next_number(STREAM, log.identity.shards))).events
            # One write call, so that a kill leaves no half line.
            os.write(sys.stdout.fileno(), f"{recorded.event_id} {recorded.sequence}\n".encode())

    await asyncio.gather(*(keep_writing() for _ in range(IN_FLIGHT)))


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1]))

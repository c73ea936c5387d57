"""Real processes on one file, some of them killed: what was acknowledged is there, once, in order."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from domain.log.sqlite import open_sqlite_log
from tests.contract.log_domain import Aggregates, Counted
from tests.contract.log_kit import read_everything
from tests.contract.log_writer import FINGERPRINT, MASTER_KEY

KILLS = 6
ACKNOWLEDGED_BEFORE_A_KILL = 150


async def start(path: Path) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.contract.log_writer", str(path), stdout=PIPE
    )


async def acknowledged(process: Process, wanted: int) -> list[str]:
    """Lines of the process, until there are ``wanted`` or it has ended."""
    assert process.stdout is not None
    lines: list[str] = []
    while len(lines) < wanted and (line := await process.stdout.readline()):
        lines.append(line.decode())
    return lines


@pytest.mark.slow
async def test_what_killed_processes_acknowledged_is_there(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    answered: list[str] = []
    steady = await start(path)
    reading = asyncio.create_task(acknowledged(steady, sys.maxsize))
    try:
        for _ in range(KILLS):
            doomed = await start(path)
            answered += await acknowledged(doomed, ACKNOWLEDGED_BEFORE_A_KILL)
            doomed.kill()
            answered += await acknowledged(doomed, sys.maxsize)
            await doomed.wait()
    finally:
        steady.kill()
        answered += await reading
        await steady.wait()
    assert len(answered) > (KILLS + 1) * ACKNOWLEDGED_BEFORE_A_KILL
    log = await open_sqlite_log(
        path,
        master_key=MASTER_KEY,
        server_key_fingerprint=FINGERPRINT,
        aggregates=Aggregates(),
        segment_size=64,
    )
    events = await read_everything(log)
    await log.close()
    stored = {recorded.event_id: recorded.sequence for recorded in events}
    told = dict(line.split() for line in answered)
    assert len(told) == len(answered)
    assert {event_id: str(stored.get(event_id)) for event_id in told} == told
    amounts = [recorded.event.amount for recorded in events if isinstance(recorded.event, Counted)]
    assert amounts == list(range(1, len(amounts) + 1))

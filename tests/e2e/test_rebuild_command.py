"""Rebuilds, verification and dead letters as an operator meets them: real processes, some of which are killed."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.servers import Addresses
from tests.stack import Stack, cluster_stack, embedded_stack

pytestmark = pytest.mark.slow

SEED = ("seed", "--accounts", "60", "--posts", "150", "--likes", "600", "--reposts", "60")


@asynccontextmanager
async def stack_of(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Stack]:
    if request.param == "embedded":
        async with embedded_stack(folder, OPERATION_TIMEOUT="1") as stack:
            yield stack
    else:
        addresses = Addresses(request.getfixturevalue("cassandra_address"), request.getfixturevalue("mongodb_url"))
        async with cluster_stack(addresses, OPERATION_TIMEOUT="1") as stack:
            yield stack


@pytest.fixture(params=["embedded", pytest.param("cluster", marks=pytest.mark.cluster)])
async def stack(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stack]:
    async with stack_of(request, tmp_path) as opened:
        yield opened


async def said(stack: Stack, *arguments: str) -> tuple[int | None, str]:
    """(exit code, standard output) of a command."""
    process = await stack.start(*arguments, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return process.returncode, out.decode()


async def test_everything_is_rebuilt_while_it_is_served_and_processes_are_killed(stack: Stack) -> None:
    await stack.serve()
    await stack.run(*SEED)
    worker = await stack.start("work")
    paused = await stack.start("work")
    killed = await stack.start("rebuild", "--all", "--yes", "--throttle", "500")
    await asyncio.sleep(4)
    killed.send_signal(signal.SIGKILL)
    worker.send_signal(signal.SIGKILL)
    paused.send_signal(signal.SIGSTOP)
    code, out = await said(stack, "rebuild", "--all", "--yes", "--json")
    paused.send_signal(signal.SIGCONT)
    families = json.loads(out[out.index("[{") :])
    assert (code, {one["switched"] for one in families}) == (0, {True}), out
    assert {one["version"] for one in families} == {2}
    assert [one for one in families if one["comparison"]["differences"]] == []
    await stack.run(*SEED)
    code, out = await said(stack, "verify", "--json")
    found = json.loads(out[out.index('{"') :])
    assert code == 0, out
    assert found["posts"]["compared"] == 150
    assert found["signals"]["compared"] > 500
    code, out = await said(stack, "dead-letters", "list", "--json")
    assert (code, json.loads(out[out.index("[") :])) == (0, [])


async def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    async with embedded_stack(tmp_path) as stack:
        assert (await said(stack, "migrate"))[0] == 0
        assert (await said(stack, "rebuild"))[0] == 2
        assert (await said(stack, "rebuild", "nothing", "--yes"))[0] == 2
        assert (await said(stack, "rebuild", "posts", "--abort"))[0] == 1
        assert (await said(stack, "dead-letters", "show", "posts", "0", "7"))[0] == 1
        assert (await said(stack, "dead-letters", "skip", "posts", "0", "7", "--reason", "x", "--yes"))[0] == 1
        code, out = await said(stack, "rebuild", "posts")
        assert (code, "Nothing was done" in out) == (0, True)

"""memory.server: what a server holds after some work, against a bare Starlette process."""

import asyncio
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks._result import Result, result
from benchmarks._server import register, server
from tests.servers import Addresses, free_port

BARE = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
async def hello(request): return PlainTextResponse("hello")
uvicorn.run(Starlette(routes=[Route("/", hello)]), port=int(sys.argv[1]), log_level="error")
"""


async def run(addresses: Addresses, scale: bool) -> Mapping[str, Result]:  # noqa: ARG001 - one size
    async with server(addresses) as running:
        for number in range(5):
            client, _ = await register(running.port, f"memory_{number}")
            await client.send("{ instance { name } viewer { homeFeed { nodes { id } } } }")
            client.close()
        value = resident(running.pid)
    port = free_port()
    bare = await asyncio.create_subprocess_exec(sys.executable, "-c", BARE, str(port))
    await asyncio.sleep(2)
    floor = resident(bare.pid)
    bare.send_signal(signal.SIGTERM)
    await bare.wait()
    return {"memory.server": result(value, floor, "MiB")}


def resident(pid: int) -> float:
    """MiB of memory that a process has in RAM (VmRSS of proc(5))."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1_024
    raise RuntimeError(f"process {pid} has no memory")

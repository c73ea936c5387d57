"""The protocols' own audit and clients as judges of the server."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.edge_kit import edge

PEERS = Path(__file__).parents[1] / "js"


async def node(script: str, *arguments: str) -> Any:
    """What a script of tests/js prints, read as JSON. Without Node the test is skipped, but not where CI runs it."""
    program = shutil.which("node")
    if program is None or not (PEERS / "node_modules").is_dir():
        reason = "needs Node and `npm ci --prefix tests/js`"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    process = await asyncio.create_subprocess_exec(
        program, str(PEERS / script), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return json.loads(out)


@pytest.mark.slow  # needs Node, which `make test` sets up
async def test_audit_of_graphql_over_http_passes_whole(tmp_path: Path) -> None:
    async with edge(tmp_path) as served:
        result = await node("audit.mjs", f"{served.url}/graphql")
    assert result == {"count": 61, "failed": []}


@pytest.mark.slow
async def test_protocols_own_clients_are_given_what_they_expect(tmp_path: Path) -> None:
    account = "d" * 25 + "a"
    async with edge(tmp_path) as served:
        result = await node("peers.mjs", f"{served.url}/graphql", served.token(account))
    expected: dict[str, list[dict[str, object]]] = {
        "query": [{"data": {"hello": "hello world"}}],
        "viewer": [{"data": {"me": account}}],
        "mutation": [{"data": {"createThing": "of a peer"}}],
        "subscription": [{"data": {"count": number}} for number in range(3)],
    }
    assert result["websocket"] == {
        **expected,
        "invalid": [{"failed": ["BAD_REQUEST"]}],
        "refusedAtOnce": [{"failed": ["CURSOR_TOO_OLD"]}],
        "refusedLater": [{"data": {"count": 0}}, {"failed": ["CURSOR_TOO_OLD"]}],
    }
    # An event stream has no message for errors but a result that holds them.
    assert result["events"] == {
        **expected,
        "invalid": [{"codes": ["BAD_REQUEST"]}],
        "refusedAtOnce": [{"codes": ["CURSOR_TOO_OLD"]}],
        "refusedLater": [{"data": {"count": 0}}, {"codes": ["CURSOR_TOO_OLD"]}],
    }

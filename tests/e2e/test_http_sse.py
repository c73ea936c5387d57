"""Server-sent events on a real server: subscriptions, and what becomes of a stream whose client, token or server goes."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from api import sse
from tests.edge_kit import PROBE, Edge, edge, eventually

EVENTS = {"accept": "text/event-stream"}


@pytest_asyncio.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    async with edge(tmp_path_factory.mktemp("edge")) as served:
        yield served


def events(text: str) -> list[tuple[str, Any]]:
    """(event, data) of each event in ``text``."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(":", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in lines:
            data = lines["data"].strip()
            found.append((lines["event"].strip(), json.loads(data) if data else None))
    return found


async def test_every_kind_of_operation_can_be_streamed(served: Edge) -> None:
    answer = await served.ask("subscription { count(upto: 2) }", headers=EVENTS)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert [name for name, _ in events(answer.text)] == ["next", "next", "complete"]
    assert [data["data"] for _, data in events(answer.text)[:2]] == [{"count": 0}, {"count": 1}]
    for query in ("{ hello }", 'mutation { createThing(name: "streamed") }'):
        streamed = await served.ask(query, headers=EVENTS)
        assert [name for name, _ in events(streamed.text)] == ["next", "complete"]
    gotten = await served.client.get("/graphql", params={"query": "subscription { count(upto: 1) }"}, headers=EVENTS)
    assert events(gotten.text)[0][1]["data"] == {"count": 0}


async def test_mutation_cannot_be_gotten_as_a_stream(served: Edge) -> None:
    await served.client.get("/graphql", params={"query": 'mutation { createThing(name: "sneaked") }'}, headers=EVENTS)
    assert "sneaked" not in PROBE.made


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "BAD_REQUEST"),
        ("{ nope }", "BAD_REQUEST"),
        ("subscription { count(failAt: 0) }", "CURSOR_TOO_OLD"),
        ("subscription { count(breakAt: 0) }", "INTERNAL"),
    ],
)
async def test_error_is_a_result_of_the_stream(served: Edge, query: str, code: str) -> None:
    answer = await served.ask(query, headers=EVENTS)
    assert answer.status_code == 200
    (name, data), last = events(answer.text)
    assert (name, last) == ("next", ("complete", None))
    assert data["errors"][0]["extensions"]["code"] == code
    assert "hunter2" not in answer.text
    # An EventSource would come back with the refused cursor for ever.
    assert answer.text.startswith("id:\n") == (code == "CURSOR_TOO_OLD")


async def test_stream_is_neither_compressed_nor_kept(served: Edge) -> None:
    headers = {**EVENTS, "accept-encoding": "gzip"}
    answer = await served.ask("subscription { count(upto: 90) }", headers=headers)
    assert "content-encoding" not in answer.headers
    assert answer.headers["cache-control"] == "no-cache, no-transform"


async def test_quiet_stream_is_kept_alive(served: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "HEARTBEAT_SECONDS", 0.05)
    async with served.client.stream(
        "POST", "/graphql", json={"query": "subscription { forever }"}, headers=EVENTS
    ) as answer:
        async for line in answer.aiter_lines():
            if line == ":":
                break


async def test_subscription_lets_go_when_its_client_leaves(served: Edge) -> None:
    query = 'subscription { forever(name: "streamed") }'
    async with served.client.stream("POST", "/graphql", json={"query": query}, headers=EVENTS) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("event: next"):
                break
    await eventually(lambda: "streamed" in PROBE.finished)


async def test_mutation_runs_to_its_end_though_its_client_leaves(served: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PROBE, "gate", asyncio.Event())
    body = {"query": 'mutation { createThing(name: "kept, streamed", held: true) }'}
    connections = served.server.server_state.connections
    async with served.client.stream("POST", "/graphql", json=body, headers=EVENTS):
        opened = set(connections)
    await eventually(lambda: bool(opened - connections))
    PROBE.gate.set()
    await eventually(lambda: "kept, streamed" in PROBE.made)


@pytest.mark.slow
async def test_stream_ends_with_its_token(tmp_path: Path) -> None:
    async with edge(tmp_path, access_token_life=10) as served:
        tokens, now = served.services.access_tokens, served.services.now
        tokens._now = lambda: now() - 8_500_000
        token = served.token()
        tokens._now = now
        answer = await served.ask("subscription { forever }", headers={**EVENTS, "authorization": f"Bearer {token}"})
    assert [name for name, _ in events(answer.text)] == ["next", "next", "complete"]
    assert events(answer.text)[1][1]["errors"][0]["extensions"]["code"] == "EXPIRED"


async def test_stream_ends_without_complete_when_the_server_stops(tmp_path: Path) -> None:
    async with (
        edge(tmp_path) as served,
        served.client.stream("POST", "/graphql", json={"query": "subscription { forever }"}, headers=EVENTS) as answer,
    ):
        served.server.should_exit = True
        text = "".join([part async for part in answer.aiter_text()])
    assert [name for name, _ in events(text)] in ([], ["next"])

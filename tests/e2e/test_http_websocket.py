"""graphql-transport-ws on a real server, down to frames that no client of good will sends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from api import websocket
from api.operations import Engine, Operation
from api.signing import Purpose
from tests.edge_kit import PROBE, Edge, edge, eventually

PROTOCOL = Subprotocol("graphql-transport-ws")


@pytest_asyncio.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    async with edge(tmp_path_factory.mktemp("edge"), max_subscriptions=3, cost_per_hour=0) as served:
        yield served


@asynccontextmanager
async def opened(served: Edge, payload: dict[str, Any] | None = None) -> AsyncIterator[ClientConnection]:
    """A socket that was acknowledged."""
    async with connect(served.socket_url, subprotocols=[PROTOCOL]) as socket:
        await send(socket, type="connection_init", payload=payload or {})
        assert (await receive(socket))["type"] == "connection_ack"
        yield socket


async def send(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def subscribe(socket: ClientConnection, id: str, query: str, **more: Any) -> None:
    await send(socket, id=id, type="subscribe", payload={"query": query, **more})


async def receive(socket: ClientConnection) -> dict[str, Any]:
    message = json.loads(await asyncio.wait_for(socket.recv(), 10))
    assert isinstance(message, dict)
    return message


async def closed(socket: ClientConnection) -> tuple[int, str]:
    """The code and reason with which the server closes the socket."""
    async with asyncio.timeout(10):
        await socket.wait_closed()
    assert socket.close_code is not None
    return socket.close_code, socket.close_reason or ""


async def test_operations_share_a_socket_and_nothing_else(served: Edge) -> None:
    async with opened(served) as socket:
        PROBE.contexts.clear()
        for id_ in ("1", "2"):
            await subscribe(socket, id_, "{ sameContext }")
            result, complete = await receive(socket), await receive(socket)
            assert (result["id"], result["type"], result["payload"]["data"]) == (id_, "next", {"sameContext": False})
            assert complete == {"id": id_, "type": "complete"}


async def test_id_is_free_again_after_complete_of_either_side(served: Edge) -> None:
    async with opened(served) as socket:
        for _ in range(2):
            await subscribe(socket, "a", "subscription { count(upto: 1) }")
            assert [(await receive(socket))["type"] for _ in range(2)] == ["next", "complete"]
        for _ in range(2):
            await subscribe(socket, "b", "subscription { forever }")
            assert (await receive(socket))["type"] == "next"
            await send(socket, id="b", type="complete")


async def test_a_subscription_lets_go_when_its_client_completes_or_leaves(served: Edge) -> None:
    PROBE.finished.clear()
    async with opened(served) as socket:
        for name in ("completed", "left"):
            await subscribe(socket, name, f'subscription {{ forever(name: "{name}") }}')
            await receive(socket)
        await send(socket, id="completed", type="complete")
        await eventually(lambda: "completed" in PROBE.finished)
    await eventually(lambda: "left" in PROBE.finished)


async def test_mutation_runs_to_its_end_though_its_client_leaves(served: Edge) -> None:
    PROBE.made.clear()
    async with opened(served) as socket:
        await subscribe(socket, "1", 'mutation { createThing(name: "kept") }')
        await subscribe(socket, "2", 'mutation { createThing(name: "kept too") }')
        await send(socket, id="2", type="complete")
        await asyncio.sleep(0.02)
    await eventually(lambda: len(PROBE.made) == 2)


@pytest.mark.parametrize("defect", [KeyError, RuntimeError])
async def test_a_defect_before_an_operation_begins_ends_its_socket_and_is_logged(
    served: Edge, monkeypatch: pytest.MonkeyPatch, defect: type[Exception]
) -> None:
    def broken(*_: object) -> Operation:
        raise defect("x")

    monkeypatch.setattr(Engine, "begin", broken)
    with capture_logs() as lines:
        async with opened(served) as socket:
            await subscribe(socket, "1", "{ hello }")
            assert await closed(socket) == (1011, "Internal error")
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["message failed"]


async def test_ping_is_answered(served: Edge) -> None:
    async with opened(served) as socket:
        await send(socket, type="pong")
        await send(socket, type="ping", payload={"any": "thing"})
        assert await receive(socket) == {"type": "pong"}


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "[]",
        "7",
        "null",
        '{"id": "1"}',
        '{"type": 7}',
        '{"type": "hello"}',
        '{"type": "subscribe", "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": "", "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": 1, "payload": {"query": "{ hello }"}}',
        '{"type": "subscribe", "id": "1"}',
        '{"type": "subscribe", "id": "1", "payload": []}',
        '{"type": "subscribe", "id": "1", "payload": {"query": 3}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ hello }", "variables": 3}}',
        '{"type": "complete"}',
        "[" * 100_000,
        '{"type": "ping", "payload": ' + '{"a":' * 30_000 + "1" + "}" * 30_000 + "}",
        b"\x00\x01",
    ],
)
async def test_frame_of_the_wrong_shape_closes_the_socket_with_4400(served: Edge, frame: str | bytes) -> None:
    async with opened(served) as socket:
        await socket.send(frame)
        assert (await closed(socket))[0] == 4400


async def test_frame_over_the_limit_closes_the_socket(served: Edge) -> None:
    async with opened(served) as socket:
        await subscribe(socket, "1", "{ hello }" + " " * 300_000)
        assert (await closed(socket))[0] == 1009


async def test_order_of_the_handshake(served: Edge) -> None:
    async with connect(served.socket_url, subprotocols=[PROTOCOL]) as socket:
        await subscribe(socket, "1", "{ hello }")
        assert (await closed(socket))[0] == 4401
    async with opened(served) as socket:
        await send(socket, type="connection_init")
        assert (await closed(socket))[0] == 4429
    async with connect(served.socket_url, subprotocols=[PROTOCOL]) as socket:
        await send(socket, type="connection_init", payload=[])
        assert (await closed(socket))[0] == 4400


async def test_other_subprotocols_are_not_spoken(served: Edge) -> None:
    for protocols in (None, [Subprotocol("graphql-ws")]):
        async with connect(served.socket_url, subprotocols=protocols) as socket:
            assert (await closed(socket))[0] == 4406


async def test_socket_without_an_init_is_closed(served: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "INIT_SECONDS", 0.1)
    async with connect(served.socket_url, subprotocols=[PROTOCOL]) as socket:
        assert (await closed(socket))[0] == 4408


async def test_id_in_use_closes_the_socket(served: Edge) -> None:
    async with opened(served) as socket:
        await subscribe(socket, "1", "subscription { forever }")
        await subscribe(socket, "1", "{ hello }")
        assert await closed(socket) == (4409, "Subscriber for 1 already exists")


async def test_operations_of_a_socket_are_bounded(served: Edge) -> None:
    async with opened(served) as socket:
        for id_ in ("1", "2", "3"):
            await subscribe(socket, id_, "subscription { forever }")
            assert (await receive(socket))["type"] == "next"
        await subscribe(socket, "4", "subscription { forever }")
        assert (await receive(socket))["type"] == "error"
        await send(socket, id="1", type="complete")
        await subscribe(socket, "5", "subscription { forever }")
        assert (await receive(socket))["id"] == "5"


async def test_token_of_the_init_names_the_viewer_of_every_operation(served: Edge) -> None:
    account = "e" * 25 + "a"
    async with opened(served, {"authorization": f"Bearer {served.token(account)}"}) as socket:
        await subscribe(socket, "1", "{ me }")
        assert (await receive(socket))["payload"]["data"] == {"me": account}


async def test_bad_token_in_the_init_closes_the_socket_and_says_why(served: Edge) -> None:
    bad = {
        "UNAUTHENTICATED": {"Authorization": "Bearer forged"},
        "CURSOR_INVALID": {"consistencyToken": "forged"},
    }
    for code, payload in bad.items():
        async with connect(served.socket_url, subprotocols=[PROTOCOL]) as socket:
            await send(socket, type="connection_init", payload=payload)
            number, reason = await closed(socket)
            assert (number, reason.partition(":")[0]) == (4403, code)


async def test_consistency_tokens_of_the_init_and_of_an_operation(served: Edge) -> None:
    first, second = (served.services.signer.sign_vector(Purpose.CONSISTENCY, {1: n}) for n in (1, 2))
    async with opened(served, {"consistencyToken": first}) as socket:
        for id_, extensions, seen in (("1", {}, {1: 1}), ("2", {"consistencyToken": second}, {1: 2})):
            await subscribe(socket, id_, "{ sameContext }", extensions=extensions)
            await receive(socket)
            await receive(socket)
            assert PROBE.contexts[-1].seen == seen


@pytest.mark.slow
async def test_socket_ends_with_its_token(tmp_path: Path) -> None:
    # Ten seconds is the shortest life; the clock is put near its end.
    async with edge(tmp_path, access_token_life=10) as served:
        tokens = served.services.access_tokens
        now = served.services.now
        tokens._now = lambda: now() - 8_500_000
        token = served.token()
        tokens._now = now
        async with opened(served, {"Authorization": f"Bearer {token}"}) as socket:
            number, reason = await closed(socket)
            assert (number, reason.partition(":")[0]) == (4403, "EXPIRED")


async def test_errors_come_as_an_error_message(served: Edge) -> None:
    async with opened(served) as socket:
        for query, code in (
            ("{", "BAD_REQUEST"),
            ("{ nope }", "BAD_REQUEST"),
            ("subscription { count(breakAt: 0) }", "INTERNAL"),
        ):
            await subscribe(socket, "1", query)
            message = await receive(socket)
            assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", code)
            assert "hunter2" not in str(message)


async def test_internal_error_in_mid_stream_ends_the_subscription(served: Edge) -> None:
    async with opened(served) as socket:
        await subscribe(socket, "1", "subscription { count(breakAt: 1) }")
        assert (await receive(socket))["type"] == "next"
        message = await receive(socket)
        assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "INTERNAL")
        assert "hunter2" not in str(message)
        await subscribe(socket, "1", "{ hello }")
        assert (await receive(socket))["type"] == "next"


async def test_pages_of_other_origins_may_not_connect_unless_listed(tmp_path: Path) -> None:
    async with edge(tmp_path, allowed_origins="https://app.example") as served:
        own = served.url
        for origin, good in (
            (own, True),
            ("https://app.example", True),
            ("https://evil.example", False),
            ("null", False),
        ):
            if good:
                async with connect(served.socket_url, subprotocols=[PROTOCOL], origin=origin):  # type: ignore[arg-type]
                    pass
                continue
            with pytest.raises(InvalidStatus) as refusal:
                async with connect(served.socket_url, subprotocols=[PROTOCOL], origin=origin):  # type: ignore[arg-type]
                    pass
            assert refusal.value.response.status_code == 403


async def test_sockets_are_bounded(tmp_path: Path) -> None:
    async with edge(tmp_path, max_sockets=1) as served, opened(served):
        with pytest.raises(InvalidStatus) as refusal:
            async with connect(served.socket_url, subprotocols=[PROTOCOL]):
                pass
        assert refusal.value.response.status_code == 503


async def test_sockets_and_streams_end_when_the_server_stops(tmp_path: Path) -> None:
    PROBE.finished.clear()
    async with edge(tmp_path) as served:
        async with opened(served) as socket:
            await subscribe(socket, "1", 'subscription { forever(name: "stopped") }')
            await receive(socket)
            served.server.should_exit = True
            assert (await closed(socket))[0] == 1012
        await eventually(lambda: "stopped" in PROBE.finished)

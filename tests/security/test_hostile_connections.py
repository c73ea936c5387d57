"""Connections that send without end, slowly, or nothing: none holds more than a little memory, or for ever."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from api import http, protocol, server
from tests.edge_kit import Edge, edge, eventually


@asynccontextmanager
async def raw(served: Edge) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = served.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()


async def sent_without_end(writer: asyncio.StreamWriter, part: bytes, most: int) -> int:
    """How much the server took of ``most`` bytes before it closed the connection."""
    taken = 0
    try:
        while taken < most:
            writer.write(part)
            await writer.drain()
            taken += len(part)
    except OSError:
        pass
    return taken


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: ", b"a" * 8_192),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"X-Many: a\r\n" * 800),
        (b"GET /graphql?query=", b"a" * 8_192),
    ],
)
async def test_head_without_end_is_cut_off(tmp_path: Path, start: bytes, part: bytes) -> None:
    async with edge(tmp_path) as served, raw(served) as (reader, writer):
        writer.write(start)
        # The kernel's buffers take some megabytes more than the server reads.
        assert await sent_without_end(writer, part, 64_000_000) < 64_000_000
        with suppress(ConnectionResetError):
            assert b" 431 " in await reader.read(64)
        assert (await served.ask("{ hello }")).status_code == 200


async def test_head_of_ordinary_size_is_taken_again_and_again_on_one_connection(tmp_path: Path) -> None:
    async with edge(tmp_path) as served:
        for _ in range(3):
            answer = await served.client.get("/livez", headers={"x-long": "a" * 50_000})
            assert answer.status_code == 200


async def test_connection_that_does_not_end_its_head_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    async with edge(tmp_path) as served:
        for start in (b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n"):
            async with raw(served) as (reader, writer):
                writer.write(start)
                assert await asyncio.wait_for(reader.read(), 10) == b""
        # A request that ended its head is not hurried.
        assert (await served.ask('mutation { createThing(name: "slowly") }')).status_code == 200


async def test_body_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_SECONDS", 0.2)
    async with edge(tmp_path) as served, raw(served) as (reader, writer):
        head = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
        writer.write(head + b'{"query": "')
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 10)
        assert b"408" not in await asyncio.wait_for(reader.read(), 10)


async def test_body_without_end_is_cut_off(tmp_path: Path) -> None:
    async with edge(tmp_path) as served, raw(served) as (_, writer):
        head = (
            b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        writer.write(head)
        part = b"2000\r\n" + b" " * 8_192 + b"\r\n"
        assert await sent_without_end(writer, part, 256_000_000) < 256_000_000
        assert (await served.ask("{ hello }")).status_code == 200


async def test_client_that_leaves_in_mid_body_leaves_nothing_behind(tmp_path: Path) -> None:
    async with edge(tmp_path) as served:
        async with raw(served) as (_, writer):
            head = (
                b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
            )
            writer.write(head + b'{"query": "')
            await writer.drain()
        await eventually(lambda: not served.server.server_state.tasks)
        assert (await served.ask("{ hello }")).status_code == 200


async def test_nonsense_is_400(tmp_path: Path) -> None:
    async with edge(tmp_path) as served:
        for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"HELO x\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
            async with raw(served) as (reader, writer):
                writer.write(nonsense)
                assert b" 400 " in await asyncio.wait_for(reader.readline(), 10)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux bounds how long bytes lie unread")
@pytest.mark.slow
async def test_answers_that_nobody_reads_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "UNREAD_SECONDS", 1.0)
    async with edge(tmp_path) as served, raw(served) as (_, writer):
        own = writer.get_extra_info("sockname")
        assert isinstance(writer.transport, asyncio.Transport)
        writer.transport.pause_reading()
        # Some megabytes of answers: more than the kernel takes.
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000)
        connections = served.server.server_state.connections
        await eventually(lambda: any(getattr(each, "client", None) == own for each in connections))
        await eventually(lambda: not any(getattr(each, "client", None) == own for each in connections))


UPGRADE = (
    b"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
PINGS = (b"\x89\xfd\0\0\0\0" + b"x" * 125) * 500
EMPTY = {"pings": b"\x89", "pongs": b"\x8a", "parts of a message": b"\0"}


def framed(message: bytes, first: bytes = b"\x81") -> bytes:
    length = len(message)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return first + size + b"\0\0\0\0" + message


@asynccontextmanager
async def unread(served: Edge) -> AsyncIterator[socket.socket]:
    """A WebSocket whose client reads nothing but the handshake."""
    host, port = served.url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        # Small, so that little is needed before the server's own buffer begins to fill.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        await loop.sock_connect(sock, (host, int(port)))
        await loop.sock_sendall(sock, UPGRADE)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += await loop.sock_recv(sock, 1)
        yield sock


async def sent(sock: socket.socket, part: bytes, most: int) -> int:
    """How many bytes were taken."""
    taken = 0
    with suppress(OSError):
        while taken < most:
            await asyncio.get_running_loop().sock_sendall(sock, part)
            taken += len(part)
    return taken


async def received(sock: socket.socket, end: bytes | None = None) -> bytes:
    """What comes up to ``end``; without one, until nothing does for a while."""
    loop = asyncio.get_running_loop()
    found = bytearray()
    with suppress(TimeoutError, ConnectionError):
        while end is None or end not in found:
            part = await asyncio.wait_for(loop.sock_recv(sock, 1_000_000), 2 if end is None else 30)
            if not part:
                break
            found += part
    return bytes(found)


@pytest.mark.parametrize("kind", EMPTY)
async def test_a_socket_of_frames_that_say_nothing_is_closed(tmp_path: Path, kind: str) -> None:
    """Parsing them is all that the server would do: others wait twenty seconds and more beside a single socket."""
    async with edge(tmp_path) as served, unread(served) as sock:
        await sent(sock, framed(b"", b"\x01"), 1)
        assert await sent(sock, framed(b"", EMPTY[kind]) * 1_000, 60_000_000) < 60_000_000
        assert (await served.ask("{ hello }")).status_code == 200


async def test_frames_come_in_their_order_however_they_are_cut(tmp_path: Path) -> None:
    """Two hundred messages and one of many turns, with pings between them, in one write."""
    async with edge(tmp_path) as served, unread(served) as sock:
        query = json.dumps({"type": "subscribe", "id": "q", "payload": {"query": "{ hello }" + " " * 20_000}}).encode()
        init, ping = framed(b'{"type":"connection_init"}'), framed(b'{"type":"ping"}') + framed(b"", b"\x89")
        await sent(sock, init + ping * 200 + framed(query), 1)
        answer = await received(sock, b'"complete"')
        assert answer.index(b"connection_ack") < answer.index(b'"pong"')
        assert answer.rindex(b'"pong"') < answer.index(b"hello world")
        assert (answer.count(b'"pong"'), answer.count(b"\x8a\0")) == (200, 200)


async def test_a_close_behind_many_messages_is_heard_by_a_socket_that_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LAST_WORDS_SECONDS", 3_600.0)
    async with edge(tmp_path) as served, unread(served) as sock:
        init = framed(b'{"type":"connection_init"}')
        await sent(sock, init * 2 + framed(b'{"type":"ping"}') * 400 + framed(b"\x03\xe8", b"\x88"), 1)
        # Sooner than it would be given up.
        while await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 1_000_000), 8):
            pass


@pytest.mark.slow  # the kernel's buffers are full after some megabytes
async def test_pings_whose_answers_nobody_reads_are_not_answered_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "IDLE_FRAMES", 1_000_000)
    async with edge(tmp_path) as served, unread(served) as sock:
        taken = await sent(sock, PINGS, 24_000_000)
        assert taken >= 24_000_000
        assert 0 < len(await received(sock)) < taken / 2


@pytest.mark.slow
async def test_a_socket_that_nobody_reads_ends_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "IDLE_FRAMES", 1_000_000)
    monkeypatch.setattr(server, "HEARTBEAT_SECONDS", 1.0)
    async with edge(tmp_path) as served, unread(served) as sock:
        connections = served.server.server_state.connections
        sockets = [each for each in connections if isinstance(each, protocol.BoundedWebSocket)]
        assert sockets
        await sent(sock, PINGS, 12_000_000)
        await eventually(lambda: not any(each in connections for each in sockets))

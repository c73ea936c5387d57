"""live.*: what one process hands out to many who listen to the same, against a bare Starlette that sends as many bytes to as many sockets."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect

from benchmarks._result import Result, result
from benchmarks._server import Client, register, server
from tests.servers import Addresses, free_port

LISTENERS = 200
POSTS = 30
AUTHORS = 8
PROTOCOL = "graphql-transport-ws"

CREATE = "mutation ($text: String!) { createPost(input: {text: $text}) { userErrors { code } } }"
SUBSCRIBE = """subscription { publicFeed { __typename ... on FeedItemAdded { cursor item { id sortAt post { ... on Post {
  id text createdAt author { id handle displayName } counts { likes replies reposts } viewer { liked reposted } } } } } } }"""

BARE = """
import asyncio, sys, uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
sockets = []
async def listen(socket):
    await socket.accept()
    sockets.append(socket)
    async for text in socket.iter_text():
        await asyncio.gather(*(other.send_text(text) for other in sockets))
uvicorn.run(Starlette(routes=[WebSocketRoute("/", listen)]), port=int(sys.argv[1]), log_level="error")
"""


async def run(addresses: Addresses, scale: bool) -> Mapping[str, Result]:
    """``scale``: ten times the posts."""
    posts = POSTS * (10 if scale else 1)
    async with server(addresses) as running:
        people = [await register(running.port, f"live_{n}") for n in range(AUTHORS)]
        authors = [client for client, _ in people]
        guests, size = await _delivered(running.port, authors, [None], posts)
        viewers, _ = await _delivered(running.port, authors, [author.token for author in authors], posts)
        for author in authors:
            author.close()
    floor = await _bare(posts, size)
    return {
        "live.items_guests": result(guests, floor, "items/s"),
        "live.items_viewers": result(viewers, floor, "items/s"),
    }


async def _delivered(
    port: int, authors: Sequence[Client], tokens: Sequence[str | None], posts: int
) -> tuple[float, int]:
    """Items a second that LISTENERS are given, from the first post to the last item; and the bytes of one."""
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(_listening(port, tokens[n % len(tokens)])) for n in range(LISTENERS)]
        # Subscriptions have no answer: each is known to have begun when its first item comes.
        await asyncio.sleep(2)
        began = time.perf_counter()
        reading = asyncio.gather(*(_read(socket, posts) for socket in sockets))
        await asyncio.gather(*(_post(author, range(n, posts, AUTHORS)) for n, author in enumerate(authors)))
        async with asyncio.timeout(120):
            sizes = await reading
        return LISTENERS * posts / (time.perf_counter() - began), sizes[0]


async def _post(author: Client, numbers: range) -> None:
    for number in numbers:
        await author.send(CREATE, {"text": f"A post that says #something, number {number}."})


@asynccontextmanager
async def _listening(port: int, token: str | None) -> AsyncIterator[ClientConnection]:
    async with connect(
        f"ws://127.0.0.1:{port}/graphql",
        subprotocols=[PROTOCOL],  # type: ignore[list-item]
        compression=None,
        max_queue=None,
    ) as socket:
        payload = {} if token is None else {"Authorization": f"Bearer {token}"}
        await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        await socket.recv()
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": SUBSCRIBE}}))
        yield socket


async def _read(socket: ClientConnection, count: int) -> int:
    """Until so many have come; the bytes of the last."""
    size = 0
    while count:
        message = await socket.recv()
        if '"next"' in message[:200]:
            count -= 1
            size = len(message)
        elif '"error"' in message[:200]:
            raise RuntimeError(str(message))
    return size


async def _bare(posts: int, size: int) -> float:
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", BARE, str(port))
    try:
        await asyncio.sleep(2)
        return await _broadcast(port, posts, size)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def _broadcast(port: int, posts: int, size: int) -> float:
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(connect(f"ws://127.0.0.1:{port}/", compression=None, max_queue=None))
            for _ in range(LISTENERS)
        ]
        began = time.perf_counter()
        for _ in range(posts):
            await sockets[0].send("x" * size)
        await asyncio.gather(*(_take(socket, posts) for socket in sockets))
        return LISTENERS * posts / (time.perf_counter() - began)


async def _take(socket: ClientConnection, count: int) -> None:
    for _ in range(count):
        await socket.recv()

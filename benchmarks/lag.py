"""lag.*: how long after the answer to a mutation its document and its live item are there, against one plain insert into each store."""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from cassandra.cluster import Cluster
from motor.motor_asyncio import AsyncIOMotorClient
from websockets.asyncio.client import ClientConnection, connect

from benchmarks._result import Result, percentile, result
from benchmarks._server import Client, Running, register, server
from tests.servers import Addresses

AUTHORS = 20
RATE = 200
"""Commands a second, the load under which lag is promised."""
SECONDS = 5

CREATE = "mutation ($text: String!) { createPost(input: {text: $text}) { post { id } userErrors { code } } }"
FOLLOW = "mutation ($id: ID!) { followUser(input: {userId: $id}) { userErrors { code } } }"
SUBSCRIBE = "subscription { homeFeed { ... on FeedItemAdded { item { post { ... on Post { id } } } } } }"


async def run(addresses: Addresses, scale: bool) -> Mapping[str, Result]:
    """``scale`` measures six times as long."""
    count = RATE * SECONDS * (6 if scale else 1)
    async with server(addresses) as running:
        people = [await register(running.port, f"lag_{n}") for n in range(AUTHORS)]
        reader, _ = await register(running.port, "lag_reader")
        for _, account in people:
            await reader.send(FOLLOW, {"id": account})
        await asyncio.sleep(2)
        posters = [client for client, _ in people]
        delivered = await _until_delivered(running, reader.token, posters, count)
        projected = await _until_projected(running, posters, count)
        floor = await _plain_inserts(addresses, running)
        for client in (*posters, reader):
            client.close()
    # The clock starts at the mutation's answer, so the floor is what the two writes alone would take.
    return {
        "lag.document": _lag(projected, floor),
        "lag.subscriber": _lag(delivered, floor),
    }


def _lag(latencies: list[float], floor: float) -> Result:
    return result(percentile(sorted(latencies), 0.5) or 0.0, floor, "ms", latencies)


async def _paced(posters: list[Client], count: int, answered: dict[str, float]) -> None:
    """``count`` posts at RATE a second; notes when each was answered, by the post's id."""
    began = time.perf_counter()

    async def poster(number: int) -> None:
        for n in range(number, count, len(posters)):
            await asyncio.sleep(max(0.0, began + n / RATE - time.perf_counter()))
            answer = (await posters[number].send(CREATE, {"text": f"post {n}"}))["createPost"]
            if answer["post"] is None:
                raise RuntimeError(str(answer))
            answered[answer["post"]["id"].rpartition("_")[2]] = time.perf_counter()

    await asyncio.gather(*(poster(number) for number in range(len(posters))))


async def _until_delivered(running: Running, token: str, posters: list[Client], count: int) -> list[float]:
    answered: dict[str, float] = {}
    seen: dict[str, float] = {}
    async with connect(f"ws://127.0.0.1:{running.port}/graphql", subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
        await socket.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}))
        await socket.recv()
        await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": SUBSCRIBE}}))
        await asyncio.sleep(1)
        listening = asyncio.create_task(_listen(socket, seen, count))
        await _paced(posters, count, answered)
        async with asyncio.timeout(60):
            await listening
    # An item may arrive before its mutation's answer does: that is no lag.
    return [max(0.0, at - answered[post]) for post, at in seen.items()]


async def _listen(socket: ClientConnection, seen: dict[str, float], count: int) -> None:
    while len(seen) < count:
        message = json.loads(await socket.recv())
        if message["type"] == "ping":
            await socket.send('{"type":"pong"}')
        elif message["type"] == "next":
            item = (message["payload"]["data"] or {}).get("homeFeed", {}).get("item")
            if item is not None:
                seen[item["post"]["id"].rpartition("_")[2]] = time.perf_counter()
        else:
            raise RuntimeError(f"the subscription ended: {message}")


async def _until_projected(running: Running, posters: list[Client], count: int) -> list[float]:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(running.documents_url)
    posts = client.get_default_database()["posts.posts.v1"]
    answered: dict[str, float] = {}
    seen: dict[str, float] = {}

    async def look() -> None:
        while len(seen) < count:
            pending = [post for post in answered if post not in seen]
            async for document in posts.find({"_id": {"$in": pending}, "author": {"$exists": True}}, {"_id": 1}):
                seen[document["_id"]] = time.perf_counter()
            await asyncio.sleep(0.005)

    looking = asyncio.create_task(look())
    await _paced(posters, count, answered)
    async with asyncio.timeout(60):
        await looking
    client.close()
    return [max(0.0, at - answered[post]) for post, at in seen.items()]


async def _plain_inserts(addresses: Addresses, running: Running) -> float:
    """The median milliseconds of one insert by the Cassandra driver and, after it, one by motor."""
    host, _, port = addresses.cassandra.partition(":")
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(running.documents_url)
    took = []
    with Cluster([host], port=int(port)) as cluster:
        session = cluster.connect()
        keyspace = running.environment["LOG_URL"].rpartition("/")[2]
        session.execute(f"CREATE TABLE {keyspace}.floor (id uuid PRIMARY KEY, payload blob)")
        insert = session.prepare(f"INSERT INTO {keyspace}.floor (id, payload) VALUES (?, ?)")
        for _ in range(300):
            at = time.perf_counter()
            await asyncio.to_thread(session.execute, insert, (uuid.uuid4(), b"x" * 300))
            await client.get_default_database().floor.insert_one({"text": "x" * 300})
            took.append(time.perf_counter() - at)
    client.close()
    return percentile(sorted(took), 0.5) or 0.0

"""http.*: what a mutation and a page cost over HTTP, against a refused mutation and against the page's documents through motor alone."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient

from benchmarks._result import Result, result
from benchmarks._server import Client, Running, register, server
from tests.servers import Addresses

CONNECTIONS = 24
SECONDS = 5.0
WARM_UP = 1.0
PAGE = 20

CREATE = """mutation ($input: CreatePostInput!) {
  createPost(input: $input) { post { id text } receipt { position } userErrors { code } changed }
}"""
HOME = """{ viewer { homeFeed(first: 20) { edges { cursor node { id sortAt post { ... on Post {
  id text createdAt author { id handle displayName } counts { likes replies reposts } viewer { liked reposted } } } } } pageInfo { hasNextPage endCursor } } } }"""

Work = Callable[[int], Awaitable[object]]


async def run(addresses: Addresses, scale: bool) -> Mapping[str, Result]:
    """``scale`` runs each for six times as long."""
    seconds = SECONDS * (6 if scale else 1)
    async with server(addresses) as running:
        people = [await register(running.port, f"bench_{n}") for n in range(CONNECTIONS)]
        clients = [client for client, _ in people]
        created, latencies = await _rate(lambda n: _create(clients[n], "A post that says #something."), seconds)
        refused, _ = await _rate(lambda n: _create(clients[n], ""), seconds)
        await _follow_all(clients[0], [account for _, account in people[1:]])
        token = clients[0].token
        readers = [await Client.connect(running.port, token) for _ in range(CONNECTIONS)]
        await _full_page(readers[0])
        pages, page_latencies = await _rate(lambda n: readers[n].send(HOME), seconds)
        raw = await _raw_pages(running, people[0][1], seconds)
        for client in (*clients, *readers):
            client.close()
    return {
        "http.create_post_vs_noop": result(created, refused, "mutations/s", latencies),
        "http.home_feed_vs_documents": result(pages, raw, "pages/s", page_latencies),
    }


async def _create(client: Client, text: str) -> None:
    answer = (await client.send(CREATE, {"input": {"text": text}}))["createPost"]
    if bool(answer["userErrors"]) is bool(text):
        raise RuntimeError(str(answer))


async def _rate(work: Work, seconds: float) -> tuple[float, list[float]]:
    """Calls a second over CONNECTIONS workers after a short warm-up, and each call's seconds."""
    latencies: list[float] = []

    async def worker(number: int, until: float) -> None:
        while time.perf_counter() < until:
            at = time.perf_counter()
            await work(number)
            latencies.append(time.perf_counter() - at)

    await asyncio.gather(*(worker(number, time.perf_counter() + WARM_UP) for number in range(CONNECTIONS)))
    latencies.clear()
    began = time.perf_counter()
    await asyncio.gather(*(worker(number, began + seconds) for number in range(CONNECTIONS)))
    return len(latencies) / (time.perf_counter() - began), latencies


async def _follow_all(client: Client, accounts: list[str]) -> None:
    follow = "mutation ($id: ID!) { followUser(input: {userId: $id}) { userErrors { code } } }"
    for account in accounts:
        await client.send(follow, {"id": account})


async def _full_page(client: Client) -> None:
    """Until the folds have caught up with what was written, and the timeline stands."""
    async with asyncio.timeout(120):
        while True:
            page = await client.send(HOME)
            if len(page["viewer"]["homeFeed"]["edges"]) == PAGE:
                break
            await asyncio.sleep(0.2)
    await asyncio.sleep(2)


async def _raw_pages(running: Running, viewer: str, seconds: float) -> float:
    """The same documents in the same finds, through motor alone in this process."""
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(running.documents_url)
    database = client.get_default_database()
    owner = viewer.rpartition("_")[2]

    async def page(_: int) -> None:
        rows = database["home.timeline_rows.v1"].find({"owner": owner}).sort("key", -1).limit(PAGE + 1)
        timeline = database["home.timelines.v1"].find_one({"_id": owner})
        found, _ = await asyncio.gather(rows.to_list(None), timeline)
        posts = [row["post"] for row in found]
        authors = list({row["author"] for row in found})
        edges = [f"{owner}-{target}" for target in (*posts, *authors)] + [f"{author}-{owner}" for author in authors]
        await asyncio.gather(
            database["posts.posts.v1"].find({"_id": {"$in": posts}}).to_list(None),
            database["accounts.profiles.v1"].find({"_id": {"$in": authors}}).to_list(None),
            database["viewer_edges.viewer_edges.v1"].find({"_id": {"$in": edges}}).to_list(None),
        )

    rate, _ = await _rate(page, seconds)
    client.close()
    return rate

"""A flood of commands while Cassandra does not answer: every client is told what became of its command, in words that it can act upon."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from api.app import create_app
from api.schema.schema import schema
from api.secrets import load_secrets
from api.server import Server, bind, url_of
from api.services import Services, compose, system_now
from api.stores import open_documents
from domain import deciders
from domain.envelope import Recorded
from domain.log.cassandra import open_cassandra_log
from tests.edge_kit import eventually
from tests.log_cassandra_kit import FINGERPRINT, MASTER_KEY, Proxy, Store, commands_of, read_shard, store, until
from tests.product_kit import Person, Product, embedded_settings

QUEUE = 40
"""Open commands of a shard."""
FLOOD = 150


@asynccontextmanager
async def services(folder: Path, made: Store, proxy: Proxy) -> AsyncIterator[Services]:
    """The log is reached through the proxy, and its queues are short."""
    settings = embedded_settings(folder)
    log = await open_cassandra_log(
        [made.host],
        proxy.port,
        made.keyspace,
        master_key=MASTER_KEY,
        server_key_fingerprint=FINGERPRINT,
        aggregates=deciders,
        queue_limit=QUEUE,
        patience=settings.command_patience,
    )
    made.opened.append(log)
    documents = await open_documents(settings)
    parts = compose(settings, load_secrets(settings), log, documents, now=system_now, entropy=os.urandom)
    yield parts
    parts.passwords.close()
    await parts.waiting.close()
    await parts.live.close()
    await parts.errands.close()
    await documents.close()


@asynccontextmanager
async def served(parts: Services) -> AsyncIterator[Product]:
    """With a client that sends all at once."""
    closing = asyncio.Event()
    with bind(parts.settings) as sock:
        server = Server(create_app(parts, schema, closing), parts.settings, closing)
        serving = asyncio.create_task(server._serve([sock]))
        limits = httpx2.Limits(max_connections=None)
        try:
            await eventually(lambda: server.started or serving.done())
            async with httpx2.AsyncClient(base_url=url_of(sock), timeout=60, limits=limits) as client:
                yield Product(parts, client, url_of(sock))
        finally:
            server.should_exit = True
            await serving


async def outcome(person: Person, text: str) -> str:
    """What the client is told: the code of the refusal, or the receipt's status."""
    payload = await person.do("createPost", text=text)
    if payload["userErrors"]:
        assert payload["receipt"] is None
        [error] = payload["userErrors"]
        return str(error["code"])
    return str(payload["receipt"]["status"])


async def events_of(log_reader: Services, wanted: str) -> list[Recorded]:
    shards = range(log_reader.log.identity.shards)
    return [
        event for shard in shards for event in await read_shard(log_reader.log, shard) if event.event.name == wanted
    ]


@pytest.mark.slow
async def test_a_flood_on_a_stalled_store_is_answered_one_and_all(cassandra_address: str, tmp_path: Path) -> None:
    async with (
        store(cassandra_address) as made,
        made.proxy() as proxy,
        services(tmp_path, made, proxy) as parts,
        served(parts) as running,
    ):
        ann = await running.register("ann")
        assert await outcome(ann, "before") == "ACCEPTED"
        proxy.requests.clear()
        async with asyncio.timeout(60):
            told = Counter(await asyncio.gather(*(outcome(ann, f"flood {n}") for n in range(FLOOD))))
        # What found the queue full, what waited in it in vain, and what had been sent.
        assert set(told) <= {"RATE_LIMITED", "UNAVAILABLE", "UNKNOWN"}
        assert told["RATE_LIMITED"] >= 1
        assert told["UNAVAILABLE"] + told["UNKNOWN"] >= 1
        proxy.heal()

        async def well() -> bool:
            return await outcome(ann, "after") == "ACCEPTED"

        await until(well, seconds=60)
        posts = await events_of(parts, "post.created")
        assert set(commands_of(posts).values()) == {1}
        # Nothing of what was said not to be sent, and of the unknown none twice.
        assert len(posts) <= 2 + told["UNKNOWN"]

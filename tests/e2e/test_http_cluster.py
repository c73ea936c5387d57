"""A cluster as an operator starts it: an API process that only serves, and workers of their own that may die."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
import pytest_asyncio
from pymongo import MongoClient

from api.secrets import load_secrets, new_key
from api.settings import load_settings
from api.stores import StoreError, migrate, open_documents
from tests.servers import Addresses
from tests.stack import Stack, cluster_stack

REGISTER = """mutation ($input: RegisterAccountInput!) { registerAccount(input: $input) {
  session { accessToken } receipt { position } userErrors { code message } } }"""
POST = "mutation ($input: CreatePostInput!) { createPost(input: $input) { receipt { position } userErrors { code message } } }"
HOME = "{ viewer { homeFeed(first: 10) { nodes { post { ... on Post { text } } } } } }"


@pytest_asyncio.fixture
async def cluster(cassandra_address: str, mongodb_url: str) -> AsyncIterator[Stack]:
    cheap = {"WORKERS_IN_PROCESS": "false", "PASSWORD_MEMORY_KIB": "8", "PASSWORD_TIME_COST": "1"}
    async with cluster_stack(Addresses(cassandra_address, mongodb_url), **cheap) as stack:
        yield stack


async def test_documents_that_were_not_migrated_are_not_served(mongodb_url: str, tmp_path: Path) -> None:
    """Every list would be an error."""
    name = f"tidings_{secrets.token_hex(4)}"
    keys = {variable: new_key() for variable in ("master_key", "server_key", "token_keys")}
    url = urlsplit(mongodb_url)._replace(path=f"/{name}").geturl()
    settings = load_settings(documents_url=url, data_dir=tmp_path, log_url="", **keys)
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        try:
            with pytest.raises(StoreError, match="tidings migrate"):
                await open_documents(settings)
            await migrate(settings, load_secrets(settings))
            await (await open_documents(settings)).close()
        finally:
            client.drop_database(name)


@pytest.mark.slow
async def test_workers_come_and_go_while_the_api_serves(cluster: Stack) -> None:
    await cluster.serve()
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{cluster.port}", timeout=30) as client:

        async def ask(query: str, headers: dict[str, str], **variables: Any) -> dict[str, Any]:
            body = {"query": query, "variables": variables}
            answer: dict[str, Any] = (await client.post("/graphql", json=body, headers=headers)).json()
            assert "errors" not in answer, answer
            return answer

        person = {"handle": "grace", "email": "grace@example.org", "password": "correct horse"}
        made = (await ask(REGISTER, {}, input=person))["data"]["registerAccount"]
        assert made["userErrors"] == []
        token = {
            "authorization": f"Bearer {made['session']['accessToken']}",
            "x-consistency-token": made["receipt"]["position"],
        }

        async def post(text: str) -> None:
            payload = (await ask(POST, token, input={"text": text}))["data"]["createPost"]
            assert payload["userErrors"] == []
            token["x-consistency-token"] = payload["receipt"]["position"]

        async def home(*, reached: bool) -> list[str]:
            async with asyncio.timeout(60):
                while True:
                    answer = await ask(HOME, token)
                    if answer["extensions"].get("consistency", {"reached": True})["reached"] is reached:
                        viewer = answer["data"]["viewer"]
                        return [node["post"]["text"] for node in viewer["homeFeed"]["nodes"]] if viewer else []

        await post("before any worker")
        assert await home(reached=False) == []
        worker = await cluster.start("work")
        assert await home(reached=True) == ["before any worker"]
        worker.kill()
        await worker.wait()
        await post("while no worker lived")
        assert "while no worker lived" not in await home(reached=False)
        await cluster.start("work")
        await cluster.start("work")
        assert await home(reached=True) == ["while no worker lived", "before any worker"]
        await post("with two workers")
        assert (await home(reached=True))[0] == "with two workers"
        assert (await client.get("/readyz")).json()["status"] == "ready"
    await cluster.run("status")

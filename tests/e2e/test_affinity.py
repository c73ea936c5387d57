"""Two servers of one log on real stores, each shard's commands run by one of them; and one is killed."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.log_cassandra_kit import until
from tests.product_kit import CREATE_POST, REGISTER
from tests.servers import Addresses, free_port
from tests.stack import Stack, cluster_stack

CHEAP = {
    "COST_PER_HOUR": "0",
    "SIGN_INS_PER_5_MINUTES": "0",
    "PASSWORD_TIME_COST": "1",
    "PASSWORD_MEMORY_KIB": "8",
    "WORKERS_IN_PROCESS": "false",
    "INTERNAL_PORT": "0",
}
SHARDS = 8
PATIENCE = 120.0


class Client:
    """Speaks to the server at ``port``."""

    def __init__(self, port: int) -> None:
        self._http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60)

    async def do(self, query: str, given: dict[str, Any], access: str = "") -> dict[str, Any]:
        headers = {"authorization": f"Bearer {access}"} if access else {}
        body = {"query": query, "variables": {"input": given}}
        answer = (await self._http.post("/graphql", json=body, headers=headers)).json()
        assert "errors" not in answer, answer
        [payload] = answer["data"].values()
        found: dict[str, Any] = payload
        return found

    async def register(self, handle: str) -> str:
        """The access token of a new account."""
        given = {"handle": handle, "email": f"{handle}@example.org", "password": "correct horse battery"}
        payload = await self.do(REGISTER, given)
        assert payload["userErrors"] == []
        return str(payload["session"]["accessToken"])

    async def metric(self, name: str) -> float:
        text = (await self._http.get("/metrics")).text
        found = re.search(rf"^{re.escape(name)} (.+)$", text, re.MULTILINE)
        return float(found[1]) if found is not None else 0.0

    async def close(self) -> None:
        await self._http.aclose()


@asynccontextmanager
async def another(stack: Stack) -> AsyncIterator[Stack]:
    """A second server of the same log."""
    port = free_port()
    second = Stack({**stack.environment, "PORT": str(port)}, port)
    try:
        yield second
    finally:
        await second.stop()


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_commands_are_run_by_who_holds_their_shard_until_it_dies(
    cassandra_address: str, mongodb_url: str
) -> None:
    addresses = Addresses(cassandra_address, mongodb_url)
    async with cluster_stack(addresses, **CHEAP) as first, another(first) as second:
        await first.serve()
        doomed = await second.serve()
        one, other = Client(first.port), Client(second.port)

        async def shared() -> bool:
            return [await each.metric("tidings_held_shards") for each in (one, other)] == [SHARDS / 2] * 2

        await until(shared, seconds=PATIENCE)
        people = [await (one, other)[n % 2].register(f"person_{n}") for n in range(SHARDS)]
        for person in people:
            for client in (one, other):
                payload = await client.do(CREATE_POST, {"text": "hello", "idempotencyKey": "once"}, person)
                assert payload["userErrors"] == []
                # The same post, whichever is asked; the second finds it made.
                assert payload["changed"] == (client is one)
        sent = [await each.metric('tidings_forwarded_commands_total{outcome="answered"}') for each in (one, other)]
        taken = [await each.metric("tidings_commands_of_others_total") for each in (one, other)]
        assert min(sent) > 0
        assert taken == sent[::-1]

        doomed.kill()
        await doomed.wait()
        # Nothing is under way: each of these is done here at once, leases or no leases.
        for person in people:
            payload = await one.do(CREATE_POST, {"text": "alone"}, person)
            assert (payload["userErrors"], payload["receipt"]["status"]) == ([], "ACCEPTED")

        async def alone() -> bool:
            return await one.metric("tidings_held_shards") == SHARDS

        await until(alone, seconds=PATIENCE)
        await asyncio.gather(one.close(), other.close())

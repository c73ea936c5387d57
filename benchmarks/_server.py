"""A Tidings server on the real stores, started as an operator would start it, and a client that costs next to nothing."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from tests.servers import Addresses
from tests.stack import cluster_stack


@dataclass(frozen=True, slots=True)
class Running:
    """A server's port and process, and the address of its documents."""

    port: int
    pid: int
    documents_url: str
    environment: Mapping[str, str]


@asynccontextmanager
async def server(addresses: Addresses) -> AsyncIterator[Running]:
    """Migrated and serving, folds in the process, without the limits that would stop a benchmark; everything dropped at the end."""
    async with cluster_stack(addresses, COST_PER_HOUR="0", SIGN_INS_PER_5_MINUTES="0") as stack:
        process = await stack.serve()
        yield Running(stack.port, process.pid, stack.environment["DOCUMENTS_URL"], stack.environment)


class Client:
    """One keep-alive connection that posts GraphQL operations: no more of HTTP than that needs, so that the server is what is measured."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        self._reader = reader
        self._writer = writer
        self.token = token

    @classmethod
    async def connect(cls, port: int, token: str = "") -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port), token)

    async def send(self, query: str, variables: Mapping[str, object] | None = None) -> dict[str, Any]:
        """The response's ``data``. RuntimeError where there are errors."""
        body = msgspec.json.encode({"query": query, "variables": variables or {}})
        authorization = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        head = (
            f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{authorization}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        answer = msgspec.json.decode(await self._body(), type=dict[str, Any])
        if answer.get("errors"):
            raise RuntimeError(str(answer["errors"]))
        data: dict[str, Any] = answer["data"]
        return data

    async def _body(self) -> bytes:
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        return await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


REGISTER = """mutation ($input: RegisterAccountInput!) {
  registerAccount(input: $input) { account { id handle } session { accessToken } userErrors { code message } }
}"""


async def register(port: int, handle: str) -> tuple[Client, str]:
    """A new account's own connection, and its id."""
    client = await Client.connect(port)
    wanted = {"handle": handle, "email": f"{handle}@example.org", "password": "correct horse", "displayName": handle}
    answer = (await client.send(REGISTER, {"input": wanted}))["registerAccount"]
    if answer["userErrors"]:
        raise RuntimeError(str(answer["userErrors"]))
    client.token = answer["session"]["accessToken"]
    return client, answer["account"]["id"]

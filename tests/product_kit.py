"""The product for tests: the whole of it on given stores, on a free port of this machine, in this event loop; and clients that speak to it as others would."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from api.app import create_app
from api.schema.schema import schema
from api.server import Server, bind, url_of
from api.services import Services, open_services, system_now
from api.settings import Settings, load_settings
from api.workers import running_workers
from projections.runtime.lag import projection_status
from tests.edge_kit import eventually

PASSWORD = "correct horse battery"

REGISTER = """
mutation Register($input: RegisterAccountInput!) {
  registerAccount(input: $input) {
    account { id handle displayName counts { followers following posts } }
    session { accessToken refreshToken expiresAt }
    receipt { commandId position status acceptedAt } changed userErrors { code field message }
  }
}"""
CREATE_POST = """
mutation Post($input: CreatePostInput!) {
  createPost(input: $input) {
    post { id text author { handle } viewer { liked } counts { replies likes reposts } replyTo { ... on Post { id } } }
    receipt { commandId position status acceptedAt } changed userErrors { code field message }
  }
}"""


class AnswerError(AssertionError):
    """The answer has errors where none were expected."""


@dataclass
class Person:
    """Somebody with an account; ``token`` is the newest consistency token, sent along with everything they ask."""

    product: "Product"
    handle: str
    id: str
    access: str
    refresh: str
    token: str | None = None

    async def ask(self, query: str, /, **variables: Any) -> dict[str, Any]:
        """The data of an answer without errors. A busy machine may fold later than a read waits: then it is asked again, unless it changes something."""
        async with asyncio.timeout(60):
            while True:
                began = time.monotonic()
                answer = await self.product.ask(query, variables, self.headers)
                if "errors" in answer:
                    raise AnswerError(answer["errors"])
                reached = answer.get("extensions", {}).get("consistency", {"reached": True})["reached"]
                if reached or query.lstrip().startswith("mutation"):
                    data: dict[str, Any] = answer["data"]
                    return data
                assert time.monotonic() - began > 1, "it said at once that it waited in vain"

    async def do(self, mutation: str, **given: Any) -> dict[str, Any]:
        """The payload of a mutation by its name; remembers its receipt. ``select`` is what of the payload's own fields is asked for."""
        select = given.pop("select", "")
        name = mutation[0].upper() + mutation[1:]
        query = (
            f"mutation M($input: {name}Input!) {{ {mutation}(input: $input) {{ {select} changed "
            "receipt { commandId position status acceptedAt } userErrors { code field message } } }"
        )
        payload: dict[str, Any] = (await self.ask(query, input=given))[mutation]
        self.remember(payload)
        return payload

    async def done(self, mutation: str, **given: Any) -> dict[str, Any]:
        """As ``do``, of a mutation that must not be refused."""
        payload = await self.do(mutation, **given)
        assert payload["userErrors"] == []
        return payload

    async def post(self, text: str, **given: Any) -> str:
        """The id of a new post, which its payload has not got where documents are late: the same once more gives the same post."""
        given.setdefault("idempotencyKey", secrets.token_hex(8))
        async with asyncio.timeout(60):
            while True:
                payload = await self.done("createPost", select="post { id }", text=text, **given)
                if payload["post"] is not None:
                    return str(payload["post"]["id"])

    def remember(self, payload: Mapping[str, Any]) -> None:
        if payload["receipt"] is not None:
            self.token = payload["receipt"]["position"]

    @property
    def headers(self) -> dict[str, str]:
        given = {"authorization": f"Bearer {self.access}"}
        return given | ({"x-consistency-token": self.token} if self.token else {})


@dataclass
class Stream:
    """One subscription on a socket of its own; ``next`` gives the data of what comes, ``errors`` what ended it."""

    socket: ClientConnection
    errors: list[dict[str, Any]] = field(default_factory=list)

    async def next(self, seconds: float = 30) -> dict[str, Any] | None:
        """The next result's data; None at the end."""
        async with asyncio.timeout(seconds):
            while True:
                message = msgspec.json.decode(await self.socket.recv())
                match message["type"]:
                    case "next":
                        if "errors" in message["payload"]:
                            raise AnswerError(message["payload"]["errors"])
                        data: dict[str, Any] = message["payload"]["data"]
                        return data
                    case "complete":
                        return None
                    case "error":
                        self.errors = message["payload"]
                        return None


@dataclass(frozen=True)
class Product:
    services: Services
    client: httpx2.AsyncClient
    url: str

    async def ask(
        self, query: str, variables: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The whole answer, whatever it is."""
        body = {"query": query, "variables": variables or {}}
        response = await self.client.post("/graphql", json=body, headers=dict(headers or {}))
        answer: dict[str, Any] = response.json()
        return answer

    async def register(self, handle: str, **given: Any) -> Person:
        """A new account, which its payload has not got where documents are late: the same once more gives the same account."""
        account = {"handle": handle, "email": f"{handle}@example.org", "password": PASSWORD} | given
        account.setdefault("idempotencyKey", secrets.token_hex(8))
        async with asyncio.timeout(60):
            while True:
                payload = (await self.ask(REGISTER, {"input": account}))["data"]["registerAccount"]
                assert payload["userErrors"] == [], payload
                if payload["account"] is not None:
                    break
        session = payload["session"]
        person = Person(self, handle, payload["account"]["id"], session["accessToken"], session["refreshToken"])
        person.remember(payload)
        return person

    @asynccontextmanager
    async def stream(
        self, query: str, variables: Mapping[str, Any] | None = None, access: str | None = None
    ) -> AsyncIterator[Stream]:
        """A subscription over WebSocket."""
        url = self.url.replace("http", "ws", 1) + "/graphql"
        # A full queue would keep the client from reading the answer to its own close.
        async with connect(
            url, subprotocols=[Subprotocol("graphql-transport-ws")], max_size=None, max_queue=None
        ) as socket:
            await socket.send(encode({"type": "connection_init", "payload": credentials(access)}))
            assert msgspec.json.decode(await socket.recv()) == {"type": "connection_ack"}
            payload = {"query": query, "variables": dict(variables or {})}
            await socket.send(encode({"type": "subscribe", "id": "1", "payload": payload}))
            yield Stream(socket)


def credentials(access: str | None) -> dict[str, str]:
    return {} if access is None else {"Authorization": f"Bearer {access}"}


def encode(message: object) -> str:
    return msgspec.json.encode(message).decode()


def embedded_settings(folder: Path, **overrides: Any) -> Settings:
    """Both stores are files in ``folder``; passwords are cheap, and nothing is rationed."""
    return load_settings(data_dir=folder, **GENEROUS | overrides)


GENEROUS: dict[str, Any] = {
    "password_time_cost": 1,
    "password_memory_kib": 8,
    "port": 0,
    "log_level": "error",
    "cost_per_hour": 0,
    "sign_ins_per_5_minutes": 0,
}


class Clock:
    """The system's, and what a test adds to it (microseconds)."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return system_now() + self.ahead


@asynccontextmanager
async def product(
    settings: Settings, *, now: Callable[[], int] = system_now, workers: bool = True
) -> AsyncIterator[Product]:
    """Everything, folds included; without ``workers`` nothing is folded."""
    closing = asyncio.Event()
    async with open_services(settings, now=now) as opened, _working(opened, workers) as services:
        with bind(settings) as sock:
            server = Server(create_app(services, schema, closing), settings, closing)
            serving = asyncio.create_task(server._serve([sock]))
            try:
                await eventually(lambda: server.started or serving.done())
                async with httpx2.AsyncClient(base_url=url_of(sock), timeout=30) as client:
                    yield Product(services, client, url_of(sock))
            finally:
                server.should_exit = True
                await serving


@asynccontextmanager
async def _working(services: Services, workers: bool) -> AsyncIterator[Services]:
    if not workers:
        yield services
        return
    async with running_workers(services) as working:
        runtime, shards = working.runtime, working.log.identity.shards
        assert runtime is not None
        # A first answer would otherwise wait for leases, longer than it waits for documents.
        await eventually(lambda: len(runtime.status().looked) == shards)
        yield working


async def settled(served: Product) -> None:
    """Returns when every fold and reactor has come to the head of the log."""
    services = served.services
    assert services.runtime is not None
    async with asyncio.timeout(60):
        behind = True
        while behind:
            await asyncio.sleep(0.01)
            statuses = await projection_status(services.log, services.documents, services.runtime.names)
            behind = any(status.lag_events for status in statuses)

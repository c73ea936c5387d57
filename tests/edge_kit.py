"""The edge for tests: real services on files in a temporary folder, a small schema that misbehaves on request, a server on a free port."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import strawberry
from strawberry.types import Info

from api.app import create_app
from api.context import RequestContext
from api.server import Server, bind, url_of
from api.services import Services, open_services
from api.settings import Settings, load_settings
from domain.errors import Code, OutcomeUnknownError, UnavailableError, refuse

ContextInfo = Info[RequestContext, None]


@dataclass
class Probe:
    """What the schema's resolvers saw: contexts of operations, and which subscriptions have let go of what they held."""

    contexts: list[RequestContext] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)


PROBE = Probe()


@strawberry.type
class Thing:
    id: strawberry.ID

    @strawberry.field
    def things(self, first: int = 20) -> "Things":
        return things(first)


@strawberry.type
class Things:
    nodes: list[Thing]


def things(first: int) -> Things:
    return Things(nodes=[Thing(id=strawberry.ID(str(n))) for n in range(min(first, 3))])


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"hello {name}"

    @strawberry.field
    def me(self, info: ContextInfo) -> str:
        PROBE.contexts.append(info.context)
        return info.context.require_viewer().account

    @strawberry.field
    def things(self, first: int = 20) -> Things:
        return things(first)

    @strawberry.field
    def nodes(self, ids: list[strawberry.ID]) -> list[Thing]:
        return [Thing(id=id) for id in ids]

    @strawberry.field
    def broken(self) -> str:
        raise RuntimeError("the password of the database is hunter2")

    @strawberry.field
    def refused(self) -> str:
        raise refuse(Code.NOT_FOUND, "there is no such post", "postId")

    @strawberry.field
    def away(self) -> str:
        raise UnavailableError("mongodb at 10.1.2.3:27017 cannot be reached")

    @strawberry.field
    def unknown(self) -> str:
        raise OutcomeUnknownError("abc")

    @strawberry.field
    async def slow(self) -> str:
        await asyncio.sleep(60)
        return "at last"

    @strawberry.field
    def same_context(self, info: ContextInfo) -> bool:
        known = any(context is info.context for context in PROBE.contexts)
        PROBE.contexts.append(info.context)
        return known


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def create_thing(self, name: str, held: bool = False) -> str:
        await (PROBE.gate.wait() if held else asyncio.sleep(0.05))
        PROBE.made.append(name)
        return name

    @strawberry.mutation
    def sign_in(self, info: ContextInfo) -> str:
        info.context.count_sign_in()
        return "in"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, upto: int = 3, fail_at: int = -1, break_at: int = -1) -> AsyncGenerator[int, None]:
        for number in range(upto):
            if number == fail_at:
                raise refuse(Code.CURSOR_TOO_OLD, "that is too long ago")
            if number == break_at:
                raise RuntimeError("the password of the database is hunter2")
            yield number

    @strawberry.subscription
    async def forever(self, name: str = "it") -> AsyncGenerator[str, None]:
        try:
            while True:
                yield name
                await PROBE.gate.wait()
        finally:
            PROBE.finished.append(name)


SCHEMA = strawberry.Schema(Query, Mutation, Subscription)


def edge_settings(folder: Path, **overrides: Any) -> Settings:
    """Settings for tests: cheap passwords, everything in ``folder``, a free port."""
    cheap = {"password_time_cost": 1, "password_memory_kib": 8, "port": 0, "log_level": "error"}
    return load_settings(data_dir=folder, **cheap | overrides)


@dataclass(frozen=True, slots=True)
class Edge:
    """``client`` speaks to a real server at ``url``."""

    services: Services
    client: httpx2.AsyncClient
    url: str
    server: Server

    async def ask(self, query: str, **more: Any) -> httpx2.Response:
        """POST /graphql; ``headers`` and the other parameters of a request are taken by name."""
        headers = more.pop("headers", {})
        return await self.client.post("/graphql", json={"query": query, **more}, headers=headers)

    def token(self, account: str = "a" * 26, session: str = "b" * 25 + "a") -> str:
        return self.services.access_tokens.mint(account, session)[0]

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws", 1) + "/graphql"


@asynccontextmanager
async def edge(folder: Path, schema: strawberry.Schema = SCHEMA, **overrides: Any) -> AsyncIterator[Edge]:
    """A server on a free port of this machine, in this event loop."""
    settings = edge_settings(folder, **overrides)
    closing = asyncio.Event()
    async with open_services(settings) as services:
        with bind(settings) as sock:
            server = Server(create_app(services, schema, closing), settings, closing)
            serving = asyncio.create_task(server._serve([sock]))
            url = url_of(sock)
            try:
                await eventually(lambda: server.started or serving.done())
                async with httpx2.AsyncClient(base_url=url, timeout=20) as client:
                    yield Edge(services, client, url, server)
            finally:
                server.should_exit = True
                await serving


async def eventually(condition: Callable[[], bool]) -> None:
    """Returns once the condition holds; fails where it does not in half a minute."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 (the condition is any)
            await asyncio.sleep(0.01)

"""The Starlette app, assembled in one place from the services and the schema."""

import asyncio
from typing import Final

import strawberry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from api.errors import RequestCode
from api.health import Readiness, livez, metrics
from api.http import GraphQLOverHttp
from api.middleware import EdgeMiddleware
from api.operations import Engine
from api.playground import Playground, Prefill
from api.services import Services
from api.settings import Settings
from api.websocket import GraphQLOverWebSocket

COMPRESS_FROM: Final = 1_024
COMPRESSION: Final = 5
ASKED: Final = ("Authorization", "Content-Type", "X-Consistency-Token", "X-Request-Id", "Last-Event-ID", "traceparent")
EXPOSED: Final = (
    "X-Request-Id",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Used",
    "X-RateLimit-Reset",
    "Retry-After",
)


def create_app(
    services: Services,
    schema: strawberry.Schema,
    closing: asyncio.Event | None = None,
    prefill: Prefill | None = None,
) -> Starlette:
    """The whole edge. Setting ``closing`` ends streams and sockets, so that the server can stop; ``prefill`` stands in the playground's sign-in."""
    closing = closing or asyncio.Event()
    settings = services.settings
    engine = Engine(services, schema)
    playground = Playground(prefill) if settings.playground else None
    routes: list[BaseRoute] = [
        Route("/graphql", GraphQLOverHttp(services, engine, closing, playground)),
        WebSocketRoute("/graphql", GraphQLOverWebSocket(services, engine, closing)),
        Route("/livez", livez),
        Route("/readyz", Readiness(services).answer),
        Route("/", _to_graphql),
    ]
    if settings.metrics:
        routes.append(Route("/metrics", metrics))
    if playground is not None:
        routes.append(Mount("/static", playground.files))
    return Starlette(routes=routes, middleware=_middleware(settings), exception_handlers={404: _not_found})


def _middleware(settings: Settings) -> list[Middleware]:
    middleware = [Middleware(EdgeMiddleware)]
    if settings.allowed_origins:
        cors = Middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST"],
            allow_headers=ASKED,
            expose_headers=EXPOSED,
            max_age=7_200,
        )
        middleware.append(cors)
    middleware.append(Middleware(GZipMiddleware, minimum_size=COMPRESS_FROM, compresslevel=COMPRESSION))
    return middleware


async def _to_graphql(_: Request) -> Response:
    return RedirectResponse("/graphql")


async def _not_found(_: Request, __: Exception) -> Response:
    error = {
        "message": "There is nothing here; the API is at /graphql.",
        "extensions": {"code": RequestCode.BAD_REQUEST.value},
    }
    return JSONResponse({"errors": [error]}, 404)

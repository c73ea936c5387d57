"""What surrounds every request: its id, its place in a trace, a log line, a count, and headers that tell browsers what not to do."""

import re
import time
import uuid
from collections.abc import Callable
from typing import Final

import structlog
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import RequestCode
from api.metrics import REQUESTS, REQUESTS_IN_WORK

REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
PATHS: Final = frozenset({"/graphql", "/livez", "/readyz", "/metrics"})
SLOW_SECONDS: Final = 1.0
POLICY: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)

log = structlog.get_logger("tidings.http")
tracer = trace.get_tracer("tidings")


def request_id_of(headers: Headers) -> str:
    """The client's X-Request-Id where it is a plain one, else a new one."""
    given = headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def current_traceparent() -> str | None:
    """The trace that this request is part of, as a W3C traceparent."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")


class EdgeMiddleware:
    """Wraps the whole app. Sets ``scope["state"]["request_id"]`` for HTTP and WebSocket; nothing that is raised inside shows outside."""

    def __init__(self, app: ASGIApp, clock: Callable[[], float] = time.perf_counter) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = request_id_of(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        with (
            structlog.contextvars.bound_contextvars(request_id=request_id),
            tracer.start_as_current_span(f"{scope['type']} {_path(scope)}", context=_parent(headers)),
        ):
            if scope["type"] == "http":
                await self._http(scope, receive, send, request_id)
            else:
                await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started = self._clock()
        status = 0

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (b"x-request-id", request_id.encode()), *HEADERS]
                if not any(name == POLICY[0] for name, _ in headers):
                    headers.append(POLICY)
                message["headers"] = headers
            await send(message)

        REQUESTS_IN_WORK.inc()
        try:
            await self._app(scope, receive, dressed)
        except Exception:
            log.exception("unexpected error", path=scope["path"])
            if status:
                raise
            await _internal_error(request_id)(scope, receive, dressed)
        finally:
            REQUESTS_IN_WORK.dec()
            seconds = self._clock() - started
            REQUESTS.labels(_method(scope), _path(scope), str(status)).inc()
            worth_telling = status >= 500 or seconds > SLOW_SECONDS  # noqa: PLR2004 (HTTP's server errors)
            (log.warning if worth_telling else log.debug)(
                "request", method=scope["method"], path=scope["path"], status=status, ms=round(seconds * 1000, 1)
            )


def _parent(headers: Headers) -> Context | None:
    return propagate.extract(headers) if "traceparent" in headers else None


def _internal_error(request_id: str) -> JSONResponse:
    code = {"code": RequestCode.INTERNAL.value, "requestId": request_id}
    error = {"message": f"internal error; report it with this id: {request_id}", "extensions": code}
    return JSONResponse({"errors": [error]}, 500)


def _path(scope: Scope) -> str:
    return scope["path"] if scope["path"] in PATHS else "other"


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in {"GET", "POST", "OPTIONS", "HEAD"} else "other"

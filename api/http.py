"""GraphQL over HTTP: what may be sent how, and which status and media type an answer has.

| Accept                            | content type of the answer        | syntax error | other request error | executed |
|-----------------------------------|-----------------------------------|--------------|---------------------|----------|
| application/graphql-response+json | the same                          | 400          | by code (errors.py) | 200      |
| application/json                  | the same                          | 200          | 200                 | 200      |
| none, or wildcards                | application/json                  | 400          | 200                 | 200      |
| text/event-stream                 | the same (graphql-sse)            | 200          | 200                 | 200      |

The statuses are those of the `graphql-http` audit; the specification's newest draft would have 422 and 294 in places. A body that is no request at all (bad JSON,
wrong types, no query) is 400 whatever is accepted.
"""

import asyncio
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec
from graphql import OperationType
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.auth.access import bearer
from api.errors import HTTP_STATUS, CodedError, RequestCode, RequestError
from api.limits.budget import Standing, network
from api.middleware import current_traceparent
from api.operations import Caller, Engine, Params, Payload
from api.params import ParamsError, read_body, read_query_string
from api.playground import Playground
from api.services import Services
from api.sse import EventStream
from domain.errors import Code, Refusal

RESPONSE_JSON: Final = "application/graphql-response+json"
JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
HTML: Final = "text/html"
BODY_SECONDS: Final = 10.0
DRAINED: Final = 40
"""Times BODY_LIMIT that is read of a body which exceeds it."""

POSTED: Final = frozenset({OperationType.QUERY, OperationType.MUTATION})
GOTTEN: Final = frozenset({OperationType.QUERY})

encode = msgspec.json.Encoder().encode


class HttpError(Exception):
    """The request is refused as HTTP, before its GraphQL is looked at."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


class GraphQLOverHttp:
    """The ASGI app at /graphql for HTTP. ``closing`` is set when the server stops: open streams then end."""

    def __init__(
        self, services: Services, engine: Engine, closing: asyncio.Event, playground: Playground | None = None
    ) -> None:
        self._services = services
        self._engine = engine
        self._closing = closing
        self._playground = playground
        self._in_work = 0
        self._streams = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            if self._playground and wants_page(request):
                response = self._playground.page(request)
            else:
                response = await self._answer(request)
        except HttpError as error:
            response = _json({"errors": [_told(error)]}, error.status, JSON, error.headers)
        except ClientDisconnect:
            return
        self._streams += isinstance(response, EventStream)
        try:
            await response(scope, receive, send)
        finally:
            self._streams -= isinstance(response, EventStream)

    async def _answer(self, request: Request) -> Response:
        if self._in_work >= self._services.settings.max_requests:
            raise HttpError(503, "too many requests are in work", {"retry-after": "1"})
        self._in_work += 1
        try:
            media = negotiate(request.headers.get("accept"))
            params = await self._params(request)
            return await self._run(request, params, media)
        finally:
            self._in_work -= 1

    async def _params(self, request: Request) -> Params:
        try:
            if request.method == "GET":
                return read_query_string(request.query_params)
            if request.method != "POST":
                raise HttpError(405, "GraphQL is asked for with GET or POST", {"allow": "GET, POST"})
            # Only a JSON body: a page of another origin cannot send one without asking first.
            if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
                raise HttpError(415, f"the content type must be {JSON}")
            return read_body(await self._body(request))
        except ParamsError as error:
            raise HttpError(400, str(error)) from None

    async def _body(self, request: Request) -> bytes:
        """The body, held up to BODY_LIMIT. What exceeds it is read for a while and thrown away: a client that is still sending would not see the answer."""
        most = self._services.settings.body_limit
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    size += len(part)
                    if size <= most:
                        parts.append(part)
                    elif size > DRAINED * most:
                        break
        except TimeoutError:
            raise HttpError(408, "the body did not arrive in time", {"connection": "close"}) from None
        if size > most:
            raise HttpError(413, f"a body may have {most} bytes", {"connection": "close"})
        return b"".join(parts)

    async def _run(self, request: Request, params: Params, media: str) -> Response:
        caller: Caller | None = None
        try:
            caller = self._caller(request)
            operation = self._engine.begin(params, caller, self._allowed(request, media))
        except RequestError as error:
            return self._refused(error, request, media, caller)
        if media == EVENTS:
            if self._streams >= self._services.settings.max_sockets or self._closing.is_set():
                raise HttpError(503, "no more streams now", {"retry-after": "1"})
            return EventStream(self._engine, operation, self._closing)
        try:
            payload = await self._engine.run(operation)
        except RequestError as error:
            return self._refused(error, request, media, caller)
        return _json(payload, 200, _content_type(media), _limit_headers(operation.context.standing()))

    def _allowed(self, request: Request, media: str) -> AbstractSet[OperationType]:
        allowed = GOTTEN if request.method == "GET" else POSTED
        return allowed | {OperationType.SUBSCRIPTION} if media == EVENTS else allowed

    def _caller(self, request: Request) -> Caller:
        headers = request.headers
        try:
            token = bearer(headers.get("authorization"))
            viewer = self._services.access_tokens.verify(token) if token else None
        except Refusal as refusal:
            raise RequestError([CodedError(refusal.problems[0].code, str(refusal))]) from None
        return Caller(
            viewer=viewer,
            network=network(request.client.host if request.client else None),
            request_id=request.scope["state"]["request_id"],
            token=headers.get("x-consistency-token"),
            last_event_id=headers.get("last-event-id"),
            traceparent=current_traceparent(),
            user_agent=headers.get("user-agent", ""),
        )

    def _refused(self, error: RequestError, request: Request, media: str, caller: Caller | None) -> Response:
        payload = error.payload(request.scope["state"]["request_id"])
        if media == EVENTS:
            return EventStream.refusal(payload)
        if error.misplaced and request.method == "GET":
            return _json(payload, 405, _content_type(media), {"allow": "POST"})
        status = 400 if error.misplaced else _status(error, media)
        headers = _limit_headers(self._services.budget.standing(caller.payer)) if caller else {}
        if retry_after := _extensions(error).get("retryAfter"):
            headers["retry-after"] = str(retry_after)
        if status == HTTP_STATUS[Code.UNAUTHENTICATED]:
            headers["www-authenticate"] = "Bearer"
        return _json(payload, status, _content_type(media), headers)


def negotiate(accept: str | None) -> str:
    """The media type of the answer, or "*" where the client has no preference. HttpError 406 where it accepts none that there is."""
    if not accept or not accept.strip():
        return "*"
    best, best_quality = "", 0.0
    for part in accept.split(",", 32)[:32]:
        name, *options = (piece.strip().lower() for piece in part.split(";"))
        quality = _quality(options)
        known = name if name in {RESPONSE_JSON, JSON, EVENTS} else "*" if name in {"*/*", "application/*"} else ""
        if known and quality > best_quality:
            best, best_quality = known, quality
    if not best:
        raise HttpError(406, f"answers come as {RESPONSE_JSON}, {JSON} or {EVENTS}")
    return best


def wants_page(request: Request) -> bool:
    """Whether this is a person's browser asking for the playground, not a program with a query."""
    return request.method == "GET" and "query" not in request.query_params and HTML in request.headers.get("accept", "")


def _limit_headers(standing: Standing) -> dict[str, str]:
    if not standing.limit:
        return {}
    return {
        "x-ratelimit-limit": str(standing.limit),
        "x-ratelimit-remaining": str(standing.remaining),
        "x-ratelimit-used": str(standing.used),
        "x-ratelimit-reset": str(-(-standing.resets_at // 1_000_000)),
    }


def _quality(options: list[str]) -> float:
    for option in options:
        if option.startswith("q="):
            try:
                return min(1.0, max(0.0, float(option[2:])))
            except ValueError:
                return 0.0
    return 1.0


def _status(error: RequestError, media: str) -> int:
    if media == JSON or (media == "*" and not error.malformed):
        return 200
    return HTTP_STATUS.get(str(_extensions(error).get("code")), 400)


def _extensions(error: RequestError) -> Mapping[str, object]:
    return (error.errors[0].extensions or {}) if error.errors else {}


def _content_type(media: str) -> str:
    return RESPONSE_JSON if media == RESPONSE_JSON else JSON


def _told(error: HttpError) -> dict[str, object]:
    code = Code.UNAVAILABLE if error.status == HTTP_STATUS[Code.UNAVAILABLE] else RequestCode.BAD_REQUEST
    return {"message": str(error), "extensions": {"code": code.value}}


def _json(payload: Payload, status: int, media: str, headers: Mapping[str, str]) -> Response:
    return Response(encode(payload), status, {"cache-control": "no-store", **headers}, f"{media}; charset=utf-8")

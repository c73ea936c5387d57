"""graphql-transport-ws: many operations on one socket, each with a context of its own.

Written here rather than taken from strawberry because its handler shares one context (and so one set of loaders) among all operations of a
socket, drops a message's extensions, and ends in a server error on a frame of the wrong shape. Close codes are the protocol's:
4400 bad message, 4401 subscribe before the acknowledgement, 4403 token refused or expired, 4406 subprotocol, 4408 no init in time, 4409 id in use, 4429 second init.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import aclosing, suppress
from typing import Final
from urllib.parse import urlsplit

import msgspec
import structlog
from graphql import OperationType
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from api.auth.access import bearer
from api.errors import CodedError, RequestCode, RequestError
from api.limits.budget import network
from api.metrics import SOCKETS
from api.middleware import current_traceparent
from api.operations import Caller, Engine, Operation
from api.params import Message, ParamsError, read_body, read_message, read_object
from api.services import Services
from domain.errors import Refusal

PROTOCOL: Final = "graphql-transport-ws"
INIT_SECONDS: Final = 10.0
GOING_AWAY: Final = 1012
ANY: Final = frozenset(OperationType)

log = structlog.get_logger("tidings.websocket")
_encoder = msgspec.json.Encoder()


class GraphQLOverWebSocket:
    """The ASGI app at /graphql for WebSocket."""

    def __init__(self, services: Services, engine: Engine, closing: asyncio.Event) -> None:
        self._services = services
        self._engine = engine
        self._closing = closing
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        if not origin_allowed(websocket.headers, self._services.settings.allowed_origins):
            await _deny(websocket, 403, "pages of this origin may not connect; see ALLOWED_ORIGINS")
            return
        if self._closing.is_set() or self._open >= self._services.settings.max_sockets:
            await _deny(websocket, 503, "no more connections now")
            return
        self._open += 1
        SOCKETS.inc()
        try:
            await self._serve(websocket)
        finally:
            self._open -= 1
            SOCKETS.dec()

    async def _serve(self, websocket: WebSocket) -> None:
        if PROTOCOL not in websocket.scope["subprotocols"]:
            await websocket.accept()
            await websocket.close(4406, "Subprotocol not acceptable")
            return
        await websocket.accept(PROTOCOL)
        session = Session(websocket, self._services, self._engine)
        reading = asyncio.create_task(session.read())
        stopping = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait([reading, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                await session.close(GOING_AWAY, "Server is restarting")
        finally:
            stopping.cancel()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await session.end()


class Session:
    """One socket's state: whether it was initialised and acknowledged, by whom, and the operations on it by their ids."""

    def __init__(
        self, websocket: WebSocket, services: Services, engine: Engine, clock: Callable[[], float] = time.time
    ) -> None:
        self._websocket = websocket
        self._services = services
        self._engine = engine
        self._clock = clock
        self._caller: Caller | None = None
        self._initialised = False
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lasting: set[asyncio.Task[None]] = set()
        self._deadline = asyncio.get_running_loop().call_later(
            INIT_SECONDS, self._expire, 4408, "Connection initialisation timeout"
        )

    async def read(self) -> None:
        """Handles frames until the socket closes."""
        with suppress(WebSocketDisconnect):
            while self._websocket.application_state is WebSocketState.CONNECTED:
                frame = await self._websocket.receive()
                if frame["type"] == "websocket.disconnect":
                    return
                text = frame.get("text")
                if text is None:
                    await self.close(4400, "Messages must be text")
                    return
                try:
                    await self._handle(read_message(text))
                except ParamsError as error:
                    await self.close(4400, f"Invalid message: {error}")
                except WebSocketDisconnect:
                    return
                except Exception:
                    log.exception("message failed")
                    await self.close(1011, "Internal error")

    async def close(self, code: int, reason: str) -> None:
        # A close frame's reason has room for 123 bytes.
        if self._websocket.application_state is WebSocketState.CONNECTED:
            with suppress(RuntimeError, WebSocketDisconnect):
                await self._websocket.close(code, reason.encode()[:123].decode(errors="ignore"))

    async def end(self) -> None:
        """Stops what runs, and waits for it. Mutations run to their end: a command once sent is not taken back by a closed socket."""
        self._deadline.cancel()
        for task in self._tasks - self._lasting:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _handle(self, message: Message) -> None:
        match message.type:
            case "connection_init":
                await self._init(message)
            case "subscribe":
                await self._subscribe(message)
            case "complete":
                self._forget(_id_of(message), cancel=True)
            case "ping":
                await self._send({"type": "pong"})
            case "pong":
                pass
            case _:
                await self.close(4400, "Unknown message type")

    async def _init(self, message: Message) -> None:
        if self._initialised:
            await self.close(4429, "Too many initialisation requests")
            return
        self._initialised = True
        payload = read_object(message.payload)
        try:
            self._caller = self._caller_from(payload)
            # A token is read once here, so that a bad one is told at once and not by each operation.
            self._engine.check(self._caller)
        except (Refusal, RequestError) as error:
            code = error.code if isinstance(error, Refusal) else str((error.errors[0].extensions or {}).get("code"))
            await self.close(4403, f"{code}: {error}")
            return
        self._deadline.cancel()
        if self._caller.viewer is not None:
            seconds = self._caller.viewer.expires_at / 1_000_000 - self._services.now() / 1_000_000
            self._deadline = asyncio.get_running_loop().call_later(
                seconds, self._expire, 4403, "EXPIRED: the access token has expired"
            )
        await self._send({"type": "connection_ack"})

    def _caller_from(self, payload: Mapping[str, object]) -> Caller:
        lowered = {name.lower(): value for name, value in payload.items()}
        authorization = lowered.get("authorization")
        token = bearer(authorization if isinstance(authorization, str) else None)
        consistency = lowered.get("consistencytoken", lowered.get("x-consistency-token"))
        client = self._websocket.client
        return Caller(
            viewer=self._services.access_tokens.verify(token) if token else None,
            network=network(client.host if client else None),
            request_id=self._websocket.scope["state"]["request_id"],
            token=consistency if isinstance(consistency, str) else None,
            traceparent=current_traceparent(),
            user_agent=self._websocket.headers.get("user-agent", ""),
        )

    async def _subscribe(self, request: Message) -> None:
        id_ = _id_of(request)
        if self._caller is None:
            await self.close(4401, "Unauthorized")
            return
        if id_ in self._operations:
            await self.close(4409, f"Subscriber for {id_} already exists")
            return
        params = read_body(request.payload)
        most = self._services.settings.max_subscriptions
        if len(self._operations) >= most:
            message = f"{most} operations may run at a time on one socket."
            await self._send_errors(id_, RequestError([CodedError(RequestCode.BAD_REQUEST, message)]))
            return
        try:
            operation = self._engine.begin(params, self._caller, ANY)
        except RequestError as error:
            await self._send_errors(id_, error)
            return
        task = self._spawn(self._run(id_, operation))
        self._operations[id_] = task
        if operation.type is OperationType.MUTATION:
            self._lasting.add(task)
            task.add_done_callback(self._lasting.discard)

    async def _run(self, id_: str, operation: Operation) -> None:
        task = asyncio.current_task()
        try:
            if operation.type is OperationType.SUBSCRIPTION:
                async with aclosing(self._engine.stream(operation)) as payloads:
                    async for payload in payloads:
                        await self._send({"id": id_, "type": "next", "payload": payload})
            else:
                payload = await self._engine.run(operation)
                if self._operations.get(id_) is task:
                    await self._send({"id": id_, "type": "next", "payload": payload})
            if self._forget(id_, of=task):
                await self._send({"id": id_, "type": "complete"})
        except RequestError as error:
            if self._forget(id_, of=task):
                await self._send_errors(id_, error)
        except WebSocketDisconnect:
            self._forget(id_, of=task)
        except Exception:
            log.exception("operation failed")
            await self.close(1011, "Internal error")

    def _forget(self, id_: str, *, of: "asyncio.Task[None] | None" = None, cancel: bool = False) -> bool:
        """Frees an id for its next use; False where it was already, or is another operation's by now."""
        task = self._operations.get(id_)
        if task is None or (of is not None and task is not of):
            return False
        del self._operations[id_]
        if cancel and task not in self._lasting:
            task.cancel()
        return True

    async def _send_errors(self, id_: str, error: RequestError) -> None:
        request_id = self._websocket.scope["state"]["request_id"]
        await self._send({"id": id_, "type": "error", "payload": error.payload(request_id)["errors"]})

    async def _send(self, message: Mapping[str, object]) -> None:
        if self._websocket.application_state is WebSocketState.CONNECTED:
            text = _encoder.encode(message).decode()
            try:
                await self._websocket.send_text(text)
            except RuntimeError as error:
                # What is said of a socket that was closed meanwhile; any other is a defect, and told as one.
                raise WebSocketDisconnect(1006) from error

    def _expire(self, code: int, reason: str) -> None:
        self._spawn(self.close(code, reason))

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def origin_allowed(headers: Mapping[str, str], allowed: tuple[str, ...]) -> bool:
    """Whether the page that opens the socket may: it is of the API's own host, is listed, or is no page (programs send no Origin)."""
    origin = headers.get("origin")
    if origin is None or "*" in allowed or origin.rstrip("/") in allowed:
        return True
    return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


async def _deny(websocket: WebSocket, status: int, reason: str) -> None:
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(Response(reason, status))
    else:
        await websocket.close(1008)


def _id_of(message: Message) -> str:
    if not message.id:
        raise ParamsError("`id` is missing")
    return message.id

"""Server-sent events as graphql-sse has them ("distinct connections"): `next` with a result, then `complete`."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

import msgspec
from graphql import OperationType
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.errors import CodedError, RequestError
from api.operations import Engine, Operation, Payload
from domain.errors import Code

HEARTBEAT_SECONDS: Final = 15.0
HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
COMPLETE: Final = b"event: complete\ndata:\n\n"
COMMENT: Final = b":\n\n"
REFUSED: Final = (Code.CURSOR_INVALID, Code.CURSOR_TOO_OLD)
"""Who came back with such an id would come back with it for ever."""

encode = msgspec.json.Encoder().encode


def event(payload: Payload) -> bytes:
    """Its id is the cursor of what happened, where the client asks for that: who comes back says it as Last-Event-ID, and forgets it for an empty one."""
    id_ = b"id:\n" if _refuses_cursor(payload.get("errors")) else _id(payload.get("data"))
    return id_ + b"event: next\ndata: " + encode(payload) + b"\n\n"


def _refuses_cursor(errors: object) -> bool:
    return isinstance(errors, list) and any(error.get("extensions", {}).get("code") in REFUSED for error in errors)


def _id(data: object) -> bytes:
    if not isinstance(data, Mapping):
        return b""
    cursors = [
        happened["cursor"] for happened in data.values() if isinstance(happened, Mapping) and "cursor" in happened
    ]
    return b"".join(b"id: " + encode(cursor)[1:-1] + b"\n" for cursor in cursors if isinstance(cursor, str))


class EventStream(Response):
    """Sends the results of one operation as they come. Ends without `complete` when the server stops, so that clients come back."""

    def __init__(self, engine: Engine, operation: Operation, closing: asyncio.Event) -> None:
        super().__init__(None, 200, HEADERS)
        del self.headers["content-length"]
        self._engine = engine
        self._operation = operation
        self._closing = closing

    @staticmethod
    def refusal(payload: Payload) -> Response:
        """A stream that holds the errors of an operation which cannot begin: an EventSource cannot read the body of another status."""
        return Response(event(payload) + COMPLETE, 200, HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (ASGI's signature)
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        running = asyncio.create_task(self._results(send))
        tasks = [
            running,
            asyncio.create_task(_disconnected(receive)),
            asyncio.create_task(_ended(self._closing)),
            asyncio.create_task(_heartbeat(send)),
            asyncio.create_task(self._expiry(send)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._operation.type is OperationType.MUTATION:
                # A command once sent is not taken back by a client that leaves, or a server that stops.
                await asyncio.wait([running])
        finally:
            for task in tasks:
                task.cancel()
            results, *_ = await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(results, Exception):
            raise results
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _results(self, send: Send) -> None:
        try:
            if self._operation.type is not OperationType.SUBSCRIPTION:
                await _send(send, event(await self._engine.run(self._operation)))
            else:
                async with aclosing(self._engine.stream(self._operation)) as payloads:
                    async for payload in payloads:
                        await _send(send, event(payload))
        except RequestError as error:
            await _send(send, event(error.payload(self._operation.context.request_id)))
        await _send(send, COMPLETE)

    async def _expiry(self, send: Send) -> None:
        """A stream lasts no longer than the token that opened it; a mutation is none."""
        context = self._operation.context
        if context.viewer is None or self._operation.type is OperationType.MUTATION:
            await asyncio.Event().wait()
        else:
            await asyncio.sleep((context.viewer.expires_at - context.services.now()) / 1_000_000)
            ended = RequestError(
                [CodedError(Code.EXPIRED, "the access token has expired: open the stream again with another")]
            )
            await _send(send, event(ended.payload(context.request_id)) + COMPLETE)


async def _send(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _heartbeat(send: Send) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        await _send(send, COMMENT)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _ended(closing: asyncio.Event) -> None:
    await closing.wait()

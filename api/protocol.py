"""Uvicorn's protocols with bounds that they lack: on the size of a request's head and the time that one may take to arrive; on what a WebSocket's client costs
whose frames say nothing, or who reads nothing."""

import asyncio
from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent

HEAD_BYTES: Final = 64 * 1024
"""Request line and headers: room for a query in an address, as it is for other servers."""
HEAD_SECONDS: Final = 20.0
TURN_BYTES: Final = 2_048
"""What is parsed of a WebSocket in one turn of the loop: 340 frames at most, of which there go some 30,000 to a second."""
IDLE_FRAMES: Final = 1_000
"""Pings, pongs and parts of messages that a client may send between two heartbeats."""
LAST_WORDS_SECONDS: Final = 5.0
"""How long a WebSocket that has ended may take to be read to its end by its client."""
TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedHttp(HttpToolsProtocol):
    """Without these bounds one connection could hold any amount of memory, and many idle ones all of the sockets."""

    _head = 0
    _in_head = True
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # What has arrived with the end of the head is no more than one read of the socket.
        if self._in_head:
            self._head += len(data)
            if self._head > HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        self._begin_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._end_head()
        super().on_headers_complete()

    def _begin_head(self) -> None:
        self._end_head()
        self._head = 0
        self._in_head = True
        self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _end_head(self) -> None:
        self._in_head = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Without this one client's empty frames, six bytes each, keep the loop from everybody else for as long as they come; its pings fill the memory where it
    reads no answers; and if it reads nothing it is never got rid of, for what is left to be written keeps a connection open that was closed."""

    _idle = 0
    _turn: asyncio.Handle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._unfed = bytearray()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._unfed += data
        if self._turn is None:
            self._feed()

    def _feed(self) -> None:
        """Parses what one turn of the loop may cost, and leaves the rest to the next ones, or until the messages in it were taken."""
        self._turn = None
        if self.transport.is_closing():
            self._unfed.clear()
            return
        if not self.read_paused:
            part = bytes(self._unfed[:TURN_BYTES])
            del self._unfed[:TURN_BYTES]
            super().data_received(part)
        self._go_on()

    def _go_on(self) -> None:
        if self.transport.is_closing():
            return
        if self._unfed:
            self.transport.pause_reading()
            if not self.read_paused and self._turn is None:
                self._turn = self.loop.call_soon(self._feed)
        elif not self.read_paused:
            self.transport.resume_reading()

    async def receive(self) -> "ASGIReceiveEvent":
        message = await super().receive()
        self._go_on()
        return message

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:
            # Unanswered: who does not read has pongs enough on the way.
            self.conn.data_to_send()
        self._count()

    def handle_pong(self, event: Frame) -> None:
        super().handle_pong(event)
        self._count()

    def handle_cont(self, event: Frame) -> None:
        super().handle_cont(event)
        self._count()

    def _count(self) -> None:
        self._idle += 1
        if self._idle > IDLE_FRAMES and not self.close_sent:
            self.conn.fail(CloseCode.POLICY_VIOLATION, "too many frames")
            self.handle_parser_exception()

    def send_keepalive_ping(self) -> None:
        self._idle = 0
        super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        # Nobody takes messages any more, and the client's last word may lie behind some.
        self._go_on()
        self._abort_later()

    def shutdown(self) -> None:
        super().shutdown()
        self._abort_later()

    def _abort_later(self) -> None:
        self.loop.call_later(LAST_WORDS_SECONDS, self.transport.abort)

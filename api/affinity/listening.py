"""The internal listener: takes commands of other processes of the same log, on an address of its own that no client reaches."""

import asyncio
import contextlib
import hmac
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from api import metrics
from api.affinity.wire import MOST_BYTES, Ask, command_of, context_of, declined, done, failed, frames, read_asks
from domain.commands import Command
from domain.context import Context
from domain.errors import OverloadedError, TidingsError
from domain.handlers.forwarding import Handler
from domain.ids import Entropy, Namer
from domain.log.port import EventLog

MOST_OPEN: Final = 8_192
"""Commands of others in work at a time; the log's own queues, a shard, are shorter."""
_FORBIDDEN: Final = 4403

_log = structlog.get_logger("tidings.affinity")


class Listener:
    """Runs what it is asked on ``log``, never elsewhere."""

    def __init__(
        self, log: EventLog, handlers: Mapping[type[Command], Handler], namer: Namer, entropy: Entropy, token: str
    ) -> None:
        self._log = log
        self._handlers = {kind.__name__: (kind, handler) for kind, handler in handlers.items()}
        self._namer = namer
        self._entropy = entropy
        self._expected = f"Bearer {token}".encode()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False
        self.app = Starlette(routes=[WebSocketRoute("/commands", self._serve)])

    async def _serve(self, websocket: WebSocket) -> None:
        if not hmac.compare_digest(websocket.headers.get("authorization", "").encode(), self._expected):
            _log.warning("peer refused", peer=websocket.client.host if websocket.client else "")
            await websocket.close(_FORBIDDEN)
            return
        await websocket.accept()
        answers = _Answers(websocket)
        writer = asyncio.create_task(answers.write())
        try:
            while True:
                for ask in read_asks(await websocket.receive_bytes()):
                    self._begin(ask, answers)
        except WebSocketDisconnect:
            pass
        except msgspec.MsgspecError as error:
            _log.warning("peer speaks another language", error=str(error))
            await websocket.close(1003)
        finally:
            # What was begun goes on: whoever asked takes it for unknown.
            writer.cancel()

    def _begin(self, ask: Ask, answers: "_Answers") -> None:
        if len(self._tasks) >= MOST_OPEN:
            answers.add(failed(ask.number, OverloadedError(f"{MOST_OPEN} commands of others are in work: try again")))
            return
        task = asyncio.create_task(self._run(ask, answers))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, ask: Ask, answers: "_Answers") -> None:
        wanted = self._understood(ask)
        if wanted is None:
            answers.add(declined(ask.number))
            return
        handler, command, context = wanted
        metrics.FORWARDED_IN.inc()
        try:
            answers.add(done(ask.number, await handler(self._log, command, context)))
        except TidingsError as error:
            answers.add(failed(ask.number, error))
        except Exception:  # noqa: BLE001 -- whoever asked must hear of a defect here too
            _log.exception("command of a peer failed", command=ask.name)
            answers.add(failed(ask.number, TidingsError(f"{ask.name} failed in the process that appends to its shard")))

    def _understood(self, ask: Ask) -> tuple[Handler, Command, Context] | None:
        known = self._handlers.get(ask.name)
        if known is None or self._ending:
            return None
        kind, handler = known
        try:
            return handler, command_of(ask, kind), context_of(ask, self._namer, self._entropy)
        except (msgspec.MsgspecError, TypeError):
            return None

    async def end(self) -> None:
        """Declines what comes, and returns when nothing of others is in work."""
        self._ending = True
        while self._tasks:
            await asyncio.wait(self._tasks)


class _Answers:
    """What goes back through one connection: what has come together goes in one frame."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._outbox: list[bytes] = []
        self._work = asyncio.Event()

    def add(self, message: bytes) -> None:
        self._outbox.append(message)
        self._work.set()

    async def write(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            outbox, self._outbox = self._outbox, []
            for frame, _ in frames(outbox):
                await self._websocket.send_bytes(frame)


class InternalServer(uvicorn.Server):
    """Serves a listener on a bound socket; begun and ended by the process that it is in, not by signals."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(
            uvicorn.Config(
                listener.app,
                loop="none",
                ws="websockets-sansio",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
                ws_max_size=MOST_BYTES,
                ws_per_message_deflate=False,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

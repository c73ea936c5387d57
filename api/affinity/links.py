"""One connection to each process that holds a lease. What is asked for in one turn of the loop goes out in one frame."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from api.affinity.wire import MOST_BYTES, Answer, frames, read_answers

CONNECT_SECONDS: Final = 0.2
REST_SECONDS: Final = 1.0
"""After a process could not be reached, for how long it is not tried again."""
BEAT_SECONDS: Final = 5.0

_log = structlog.get_logger("tidings.affinity")


class NotSentError(Exception):
    """The other process could not be reached: it certainly has not got the command."""


class LostError(Exception):
    """The command was sent, and no answer came."""


@dataclass(slots=True, eq=False)
class _Open:
    message: bytes
    answer: "asyncio.Future[Answer]"
    sent: bool = False


class _Connection:
    """An open WebSocket with what is asked through it."""

    def __init__(self, socket: ClientConnection, patience: float) -> None:
        self._socket = socket
        self._patience = patience
        self._numbers = itertools.count()
        self._open: dict[int, _Open] = {}
        self._outbox: list[_Open] = []
        self._work = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    @property
    def alive(self) -> bool:
        return not self._task.done()

    async def ask(self, message: Callable[[int], bytes]) -> Answer:
        number = next(self._numbers)
        asked = _Open(message(number), asyncio.get_running_loop().create_future())
        self._open[number] = asked
        self._outbox.append(asked)
        self._work.set()
        try:
            async with asyncio.timeout(self._patience):
                return await asked.answer
        except TimeoutError:
            raise LostError("no answer came in time") from None
        finally:
            self._open.pop(number, None)

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read())
                group.create_task(self._write())
        except* (WebSocketException, OSError, msgspec.MsgspecError) as errors:
            _log.info("connection to a peer ended", reason=str(errors.exceptions[0]))
        finally:
            self._end()

    async def _read(self) -> None:
        while True:
            for answer in read_answers(await self._socket.recv(decode=False)):
                asked = self._open.get(answer.number)
                if asked is not None and not asked.answer.done():
                    asked.answer.set_result(answer)

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            outbox, self._outbox = self._outbox, []
            going = iter(outbox)
            for frame, count in frames([asked.message for asked in outbox]):
                # What fails while it is being written may have arrived.
                for asked in itertools.islice(going, count):
                    asked.sent = True
                await self._socket.send(frame)

    def _end(self) -> None:
        for asked in self._open.values():
            if not asked.answer.done():
                reason = "the connection to the peer has ended"
                asked.answer.set_exception(LostError(reason) if asked.sent else NotSentError(reason))

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._socket.close()


class Link:
    """To the process at ``address``; connects when something is asked, and waits ``patience`` seconds for an answer."""

    def __init__(self, address: str, token: str, patience: float) -> None:
        self._address = address
        self._token = token
        self._patience = patience
        self._connection: _Connection | None = None
        self._opening = asyncio.Lock()
        self._rest_until = 0.0

    async def ask(self, message: Callable[[int], bytes]) -> Answer:
        """The answer to the message of a number. Raises NotSentError or LostError."""
        connection = self._connection
        if connection is None or not connection.alive:
            connection = await self._connect()
        return await connection.ask(message)

    async def _connect(self) -> _Connection:
        async with self._opening:
            if self._connection is not None and self._connection.alive:
                return self._connection
            loop = asyncio.get_running_loop()
            if loop.time() < self._rest_until:
                raise NotSentError(f"{self._address} could not be reached a moment ago")
            try:
                socket = await connect(
                    f"ws://{self._address}/commands",
                    additional_headers={"Authorization": f"Bearer {self._token}"},
                    open_timeout=CONNECT_SECONDS,
                    ping_interval=BEAT_SECONDS,
                    ping_timeout=BEAT_SECONDS,
                    close_timeout=1,
                    max_size=MOST_BYTES,
                    compression=None,
                    proxy=None,
                )
            except (OSError, TimeoutError, WebSocketException) as error:
                self._rest_until = loop.time() + REST_SECONDS
                _log.warning("peer cannot be reached", address=self._address, error=str(error))
                raise NotSentError(f"{self._address} cannot be reached: {error}") from error
            self._connection = _Connection(socket, self._patience)
            return self._connection

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()


class Links:
    """By address. A process that has gone leaves a few bytes until the end."""

    def __init__(self, token: str, patience: float) -> None:
        self._token = token
        self._patience = patience
        self._links: dict[str, Link] = {}

    def to(self, address: str) -> Link:
        link = self._links.get(address)
        if link is None:
            link = self._links[address] = Link(address, self._token, self._patience)
        return link

    async def close(self) -> None:
        await asyncio.gather(*(link.close() for link in self._links.values()))

"""Uvicorn, configured here and nowhere else, and stopped so that whoever is being served notices little."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from api.protocol import BoundedHttp, BoundedWebSocket
from api.settings import Settings

HEARTBEAT_SECONDS = 15.0
UNREAD_SECONDS = 60.0
"""How long a client may leave unread what was sent to it: whoever reads nothing would keep an answer, or a stream, for as long as they like."""


class PortError(Exception):
    """The address cannot be bound."""


class Server(uvicorn.Server):
    """Stops on SIGTERM and SIGINT: no more connections, then streams and sockets end (so that clients reconnect elsewhere), then requests in work, at
    most SHUTDOWN_TIMEOUT seconds. Returns then, and does not raise the signal anew: the stores are yet to be closed."""

    def __init__(
        self, app: ASGIApp, settings: Settings, closing: asyncio.Event, started: Callable[[], None] | None = None
    ) -> None:
        """``started`` is called when connections are taken."""
        self._closing = closing
        self._started = started
        config = uvicorn.Config(
            app,
            loop="none",
            http=BoundedHttp,
            ws=BoundedWebSocket,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=True,
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=settings.shutdown_timeout,
            ws_max_size=settings.body_limit,
            ws_max_queue=16,
            ws_ping_interval=HEARTBEAT_SECONDS,
            ws_ping_timeout=HEARTBEAT_SECONDS,
            # Compression would hold some 300 KB a socket.
            ws_per_message_deflate=False,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._started is not None:
            self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing.set()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            try:
                yield
            finally:
                self._captured_signals.clear()


def bind(settings: Settings) -> socket.socket:
    """A socket bound to HOST and PORT; see :func:`bound`."""
    return bound(settings.host, settings.port, ("HOST", "PORT"))


def bound(host: str, port: int, variables: tuple[str, str]) -> socket.socket:
    """A socket bound to ``host`` and ``port``, which takes no connections before its server runs; raises PortError, which says what to do about which
    of the two variables."""
    family, kind, protocol, _, address = _resolve(host, port, variables[0])
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Of Linux; connections have it from the socket that they came to.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_SECONDS * 1000))
    try:
        sock.bind(address)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise PortError(f"{variables[0]} {host!r} is no address of this machine.") from error
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be bound ({error.strerror})"
        option = " (or --port 8001)" if variables[1] == "PORT" else ""
        raise PortError(f"{host} port {port} {reason}. Choose another with {variables[1]}=8001{option}.") from error
    sock.setblocking(False)
    return sock


def _resolve(
    host: str, port: int, variable: str
) -> tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise PortError(f"{variable} {host!r} is no address of this machine ({error}).") from error


def url_of(sock: socket.socket) -> str:
    """Where a browser on this machine finds what listens on ``sock``."""
    host, port = sock.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 (read, not bound)
    return f"http://{shown}:{port}"

"""How a process of the API takes part in affinity, as its settings say."""

import contextlib
import dataclasses
import socket
from collections.abc import AsyncIterator, Collection

from api.affinity.forwarding import forwarding
from api.secrets import load_secrets
from api.server import bound
from api.services import Services
from api.stores import open_appointments
from domain.handlers import HANDLERS

_ANY: frozenset[str] = frozenset({"0.0.0.0", "::"})  # noqa: S104 -- compared, not bound


@contextlib.asynccontextmanager
async def taking_part(services: Services, *, listens: bool) -> AsyncIterator[Services]:
    """``services`` as they are, or with a log that sends commands to the process that holds their shard; where it ``listens`` this one holds some itself.
    Raises PortError."""
    settings = services.settings
    appointments = None if settings.internal_port is None else await open_appointments(settings, services.log)
    if appointments is None or settings.internal_port is None:
        yield services
        return
    store, log = appointments
    # Folds in this process wait for the newest events, whoever appended them.
    ease = _not_at_all if settings.runs_workers else log.ease
    async with contextlib.AsyncExitStack() as stack:
        listen = None
        if listens:
            variables = ("INTERNAL_HOST", "INTERNAL_PORT")
            listen = stack.enter_context(bound(settings.internal_host, settings.internal_port, variables))
        part = await stack.enter_async_context(
            forwarding(
                services.log,
                store,
                HANDLERS,
                server_key=load_secrets(settings).server_key,
                entropy=services.entropy,
                able=log.appends,
                ease=ease,
                listen=listen,
                patience=settings.answer_patience,
                address="" if listen is None else _reached_at(settings.internal_host, listen),
            )
        )
        yield dataclasses.replace(services, log=part.log)


def _not_at_all(_: Collection[int]) -> None:
    """Follows all shards as closely as ever."""


def _reached_at(host: str, listen: socket.socket) -> str:
    shown = socket.gethostbyname(socket.gethostname()) if host in _ANY else host
    port: int = listen.getsockname()[1]
    return f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"

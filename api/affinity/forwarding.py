"""The log as the API sees it where there is affinity: commands on shards of others go to them."""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from api import metrics
from api.affinity.appointing import Appointer
from api.affinity.links import Links, LostError, NotSentError
from api.affinity.listening import InternalServer, Listener
from api.affinity.wire import Declined, Done, asked, error_of, result_of
from domain.commands import Command
from domain.context import Context
from domain.deciders import initial
from domain.envelope import Recorded
from domain.errors import OutcomeUnknownError
from domain.handlers.forwarding import Forwarding, Handler
from domain.handlers.result import Result, unchanged
from domain.ids import Entropy, Namer
from domain.log.affinity import Appointments, Peer
from domain.log.port import EventLog, Execution, LogIdentity, Outcome

_NAME_BYTES: Final = 8
PATIENCE: Final = 12.0
"""Seconds that an answer may take: longer than the log itself makes a caller wait."""


def internal_token(server_key: bytes, log_id: str) -> str:
    """What processes of one log show each other; nobody else can make it."""
    derived = HKDF(SHA256(), length=32, salt=log_id.encode(), info=b"tidings internal listener").derive(server_key)
    return derived.hex()


class _ElsewhereError(Exception):
    """A handler has come to what it wants executed, and that belongs elsewhere."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer


class _Through:
    """An ``EventLog`` that hands everything on."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    @property
    def identity(self) -> LogIdentity:
        return self._log.identity

    async def execute(self, execution: Execution) -> Outcome:
        return await self._log.execute(execution)

    async def states(self, streams: Sequence[str]) -> Mapping[str, object]:
        return await self._log.states(streams)

    async def load(self, stream: str, *, version: int | None = None, until: int | None = None) -> tuple[Recorded, ...]:
        return await self._log.load(stream, version=version, until=until)

    async def read(self, shard: int, after: int, limit: int) -> tuple[Recorded, ...]:
        return await self._log.read(shard, after, limit)

    async def head(self, shard: int) -> int:
        return await self._log.head(shard)

    async def wait(self, shard: int, after: int, timeout: float) -> None:
        await self._log.wait(shard, after, timeout)

    async def destroy_key(self, subject: str) -> None:
        await self._log.destroy_key(subject)

    async def close(self) -> None:
        await self._log.close()


class _Looking(_Through):
    """Shows where a command belongs by what its handler wants executed first, before anything of it has happened. What only reads stays here."""

    def __init__(self, log: EventLog, elsewhere: Callable[[int], Peer | None]) -> None:
        super().__init__(log)
        self._elsewhere = elsewhere
        self._begun = False

    async def execute(self, execution: Execution) -> Outcome:
        if not self._begun and execution.decide is not unchanged:
            self._begun = True
            peer = self._elsewhere(execution.shard)
            if peer is not None:
                raise _ElsewhereError(peer)
        return await self._log.execute(execution)


class ForwardingLog(_Through, Forwarding):
    """``elsewhere`` names the process that a shard's commands go to, None where they stay."""

    def __init__(
        self,
        log: EventLog,
        elsewhere: Callable[[int], Peer | None],
        links: Links,
        initial: Callable[[str], object],
    ) -> None:
        super().__init__(log)
        self._elsewhere = elsewhere
        self._links = links
        self._initial = initial

    async def run(self, handler: Handler, command: Command, context: Context) -> Result:
        try:
            return await handler(_Looking(self._log, self._elsewhere), command, context)
        except _ElsewhereError as found:
            peer = found.peer
        try:
            answer = await self._links.to(peer.address).ask(partial(_message, command, context))
        except NotSentError:
            metrics.FORWARDED.labels("not_sent").inc()
            return await handler(self._log, command, context)
        except LostError:
            # It may be appended yet: to run it here as well could do it twice.
            metrics.FORWARDED.labels("unknown").inc()
            raise OutcomeUnknownError(context.command_id) from None
        if isinstance(answer, Declined):
            metrics.FORWARDED.labels("declined").inc()
            return await handler(self._log, command, context)
        metrics.FORWARDED.labels("answered").inc()
        if not isinstance(answer, Done):
            raise error_of(answer)
        try:
            return result_of(answer, self._initial)
        except (msgspec.MsgspecError, KeyError):
            # A newer process has done it, in terms that this one cannot read.
            raise OutcomeUnknownError(context.command_id) from None


def _message(command: Command, context: Context, number: int) -> bytes:
    return asked(number, command, context)


@dataclass(frozen=True, slots=True)
class Part:
    """What a process has in affinity: the log to run commands on, and who holds what."""

    log: ForwardingLog
    appointer: Appointer


@contextlib.asynccontextmanager
async def forwarding(
    log: EventLog,
    appointments: Appointments,
    handlers: Mapping[type[Command], Handler],
    *,
    server_key: bytes,
    entropy: Entropy,
    able: Callable[[int], bool],
    ease: Callable[[Collection[int]], None],
    listen: socket.socket | None,
    address: str = "",
    patience: float = PATIENCE,
    initial: Callable[[str], object] = initial,
) -> AsyncIterator[Part]:
    """Holds leases and takes commands of others on ``listen``, which the others reach at ``address``; without it only sends to them."""
    identity = log.identity
    token = internal_token(server_key, identity.log_id)
    links = Links(token, patience)
    me = Peer(secrets.token_hex(_NAME_BYTES), address) if listen is not None else None
    appointer = Appointer(appointments, me, identity.shards, able, ease, asyncio.get_running_loop().time)
    listener = Listener(log, handlers, Namer(server_key), entropy, token)
    server = InternalServer(listener)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(links.close)
        if listen is not None:
            serving = asyncio.create_task(server.serve(sockets=[listen]))
            stack.push_async_callback(_stop, server, serving)
        stack.push_async_callback(listener.end)
        stack.push_async_callback(appointer.leave)
        renewing = asyncio.create_task(appointer.run())
        stack.push_async_callback(_cancel, renewing)
        yield Part(ForwardingLog(log, appointer.elsewhere, links, initial), appointer)


async def _stop(server: InternalServer, serving: "asyncio.Task[None]") -> None:
    server.should_exit = True
    await serving


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

"""Guards: a stream lasts no longer than the session that opened it, whatever ends that."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from api.auth.access import Viewer
from api.errors import CodedError, RequestError
from api.live.inbox import Inbox, Lag
from api.live.router import Router
from domain.errors import Code, UnavailableError
from projections.documents.port import Documents
from projections.sessions import session_is_open
from projections.signals import sessions_topic

T = TypeVar("T")

AGAIN: Final = 1.0
"""Seconds after which a guard that could not look, or was cut off, looks again."""
WAKES: Final = 50


class Guard:
    """Of one session, shared by its streams in this process."""

    def __init__(self) -> None:
        self.users = 0
        self.looked = asyncio.Event()
        self._ended = False
        self._scopes: set[asyncio.Timeout] = set()

    def end(self) -> None:
        self._ended = True
        for scope in self._scopes:
            scope.reschedule(0)

    async def pass_on(self, results: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """The results, until the session has ended: RequestError UNAUTHENTICATED."""
        while not self._ended:
            try:
                # Not around the yield: what its reader waits for is not to be cut short.
                async with asyncio.timeout(None) as scope:
                    self._scopes.add(scope)
                    try:
                        result = await anext(results)
                    finally:
                        self._scopes.discard(scope)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not self._ended:
                    raise
                break
            yield result
        raise RequestError([CodedError(Code.UNAUTHENTICATED, "This session has ended; sign in again.")])


class Guards:
    """Watch the sessions that have open streams here, by the signals of their accounts."""

    def __init__(self, documents: Documents, router: Router) -> None:
        self._documents = documents
        self._router = router
        self._guards: dict[str, tuple[Guard, asyncio.Task[None]]] = {}

    @asynccontextmanager
    async def watching(self, viewer: Viewer) -> AsyncIterator[Guard]:
        """A guard that has looked once: a session that had ended before lets nothing through."""
        if viewer.session not in self._guards:
            guard = Guard()
            self._guards[viewer.session] = guard, asyncio.create_task(self._watch(guard, viewer))
        guard, watch = self._guards[viewer.session]
        guard.users += 1
        try:
            await guard.looked.wait()
            yield guard
        finally:
            guard.users -= 1
            if not guard.users:
                del self._guards[viewer.session]
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)

    async def _watch(self, guard: Guard, viewer: Viewer) -> None:
        while True:
            try:
                async with self._router.listening():
                    if await self._outlived(guard, viewer):
                        guard.end()
                        return
            except UnavailableError:
                # Nobody can be told of anything now, and the signals will say so.
                pass
            finally:
                guard.looked.set()
            await asyncio.sleep(AGAIN)

    async def _outlived(self, guard: Guard, viewer: Viewer) -> bool:
        """True once the session has ended; False where the signals stand still."""
        inbox = Inbox({})
        # Before the first look: what ends between the two is then seen twice, not never.
        self._router.attach(inbox, [sessions_topic(viewer.account)])
        try:
            while await session_is_open(self._documents, viewer.account, viewer.session):
                guard.looked.set()
                if isinstance(await inbox.take(WAKES), Lag):
                    return False
            return True
        finally:
            self._router.detach(inbox)

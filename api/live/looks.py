"""Looks: what live items are judged by and shown from, read at once for all subscriptions that ask at the same moment."""

import asyncio

from projections.documents.port import Documents
from projections.sight import Sight, Wanted, read_together


class Looks:
    """One event wakes all its subscriptions in one turn of the event loop, and one wave of finds answers them all. ``documents`` are those of what is live:
    a stream lasts longer than a version."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents
        self._asked: list[tuple[Wanted, asyncio.Future[Sight]]] = []
        self._reading: set[asyncio.Task[None]] = set()

    async def read(self, wanted: Wanted) -> Sight:
        """As ``wanted.read``, in the company of others."""
        loop = asyncio.get_running_loop()
        if not self._asked:
            loop.call_soon(self._begin)
        answer: asyncio.Future[Sight] = loop.create_future()
        self._asked.append((wanted, answer))
        return await answer

    def _begin(self) -> None:
        asked, self._asked = self._asked, []
        task = asyncio.create_task(self._answer(asked))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _answer(self, asked: list[tuple[Wanted, asyncio.Future[Sight]]]) -> None:
        try:
            sights = await read_together(self.documents, [wanted for wanted, _ in asked])
        except Exception as error:  # noqa: BLE001 (each who asked gets it)
            for _, answer in asked:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), sight in zip(asked, sights, strict=True):
            if not answer.done():
                answer.set_result(sight)

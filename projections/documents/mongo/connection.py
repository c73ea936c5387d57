"""The connection to MongoDB: its settings, what its failures mean, and calls for many at once that end in the state asked for or in an error."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import Enum, auto
from functools import partial
from typing import Any, Final, TypeVar

import pymongo
from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
from bson.int64 import Int64
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo import UpdateOne
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
)
from pymongo.write_concern import WriteConcern
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from domain.errors import UnavailableError
from projections.documents.mongo.convoy import Convoy
from projections.documents.mongo.novelty import Novelty
from projections.documents.rules import STEP

A = TypeVar("A")
Q = TypeVar("Q")
R = TypeVar("R")

Stored = dict[str, Any]
"""A document as the driver gives it: its fields, ``_id``, and the private fields of the adapter."""

CALL_SECONDS: Final = 5.0
"""The most that the driver spends on one call, its own retries included."""

SELECTION_SECONDS: Final = 2.0
"""How long a call looks for a primary: shorter, so that callers soon know that there is none."""

AT_ONCE: Final = 4
"""Calls of one kind on one collection in flight: rows are upserted at 18,000/s one bulk after the other, at 34,000/s by fours."""

DEFAULT_DATABASE: Final = "tidings"
ADMIN: Final = "admin"
DUPLICATE_KEY: Final = 11000

# The codes of servers that stop, step down, are cut off or out of time; and of those that are short of memory, of disk or of a turn (112, 134, 365,
# 11601, 14031), which say nothing of what was sent either (MongoDB's error_codes.yml).
_OUT_OF_REACH: Final = frozenset(
    {6, 7, 50, 64, 89, 91, 100, 112, 133, 134, 189, 262, 365, 9001, 10107, 11600, 11601, 11602, 13435, 13436, 14031},
)


class _PlainInteger(TypeDecoder):
    """The driver gives 64-bit integers a class of their own; outside they are integers like any other."""

    bson_type = Int64

    def transform_bson(self, value: int) -> int:
        return int(value)


class Upserted(Enum):
    """What became of a guarded upsert. UNTOUCHED: some of those that were sent with it, perhaps this one, left their document as it was."""

    MADE = auto()
    CHANGED = auto()
    UNTOUCHED = auto()


class Connection:
    """One client on one database. Writes are acknowledged by a majority, from its journals; reads go to the primary."""

    def __init__(self, url: str) -> None:
        self.address = url.removeprefix("mongodb://").rpartition("@")[2].partition("?")[0]
        try:
            self._client: AsyncIOMotorClient[Stored] = AsyncIOMotorClient(
                url,
                timeoutMS=int(CALL_SECONDS * 1000),
                serverSelectionTimeoutMS=int(SELECTION_SECONDS * 1000),
                connectTimeoutMS=int(SELECTION_SECONDS * 1000),
            )
            name = self._client.get_default_database(DEFAULT_DATABASE).name
        except (PyMongoError, ValueError) as error:
            raise UnavailableError(f"MongoDB's address {self.address} cannot be used: {error}") from error
        self.novelty = Novelty()
        self._finds: dict[str, Convoy[str, Stored | None]] = {}
        self._inserts: dict[str, Convoy[Stored, bool]] = {}
        self._upserts: dict[str, Convoy[UpdateOne, Upserted]] = {}
        self._database: AsyncIOMotorDatabase[Stored] = self._client.get_database(
            name,
            codec_options=CodecOptions(type_registry=TypeRegistry([_PlainInteger()])),
            write_concern=WriteConcern("majority", j=True),
        )

    def collection(self, name: str) -> AsyncIOMotorCollection[Stored]:
        return self._database[name]

    @property
    def database(self) -> str:
        return self._database.name

    async def command(self, database: str, command: Stored, seconds: float) -> Stored:
        """What the server answers to a command of its own language."""
        with pymongo.timeout(seconds):
            async with self.call(seconds + 1):
                answer: Stored = await self._client[database].command(command)
                return answer

    @asynccontextmanager
    async def call(self, seconds: float = CALL_SECONDS + 1) -> AsyncIterator[None]:
        """Bounds what is awaited inside and turns what an unreachable store makes of it into UnavailableError.

        The bound here is above the driver's: it counts the wait for one of its threads too, all of which a frozen server can hold.
        """
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise UnavailableError(f"MongoDB at {self.address} did not answer within {seconds:.0f} s") from error
        except PyMongoError as error:
            if is_out_of_reach(error):
                raise UnavailableError(f"MongoDB at {self.address} cannot be reached: {_reason(error)}") from error
            raise

    async def find(self, name: str, ids: Sequence[str]) -> Mapping[str, Stored]:
        """Documents by id, shared with others who ask for them: not to be changed."""
        found = await self._convoy(self._finds, name, self._find)(ids)
        return {stored["_id"]: stored for stored in found if stored is not None}

    async def insert(self, name: str, documents: Sequence[Stored]) -> list[Stored]:
        """Inserts those whose ``_id`` is not taken, and gives back the others."""
        taken = await self._convoy(self._inserts, name, self._insert)(documents)
        return [document for document, there in zip(documents, taken, strict=True) if there]

    async def upsert(self, name: str, updates: Sequence[UpdateOne]) -> Sequence[Upserted]:
        """Guarded upserts by ``_id``. One that met another's insert is answered "duplicate key" and has *not* been applied: it is sent again."""
        return await self._convoy(self._upserts, name, self._upsert)(updates)

    def _convoy(
        self,
        convoys: dict[str, Convoy[Q, A]],
        name: str,
        send: Callable[[str, Sequence[Q]], Awaitable[Sequence[A]]],
    ) -> Convoy[Q, A]:
        if name not in convoys:
            convoys[name] = Convoy(partial(send, name), most=STEP, at_once=AT_ONCE)
        return convoys[name]

    async def _find(self, name: str, ids: Sequence[str]) -> Sequence[Stored | None]:
        each = list(dict.fromkeys(ids))
        async with self.call():
            # All in the first answer, or MongoDB would give 101 documents and wait to be asked for more.
            cursor = self.collection(name).find({"_id": {"$in": each}}, limit=len(each), batch_size=len(each))
            found = {stored["_id"]: stored for stored in await cursor.to_list(len(each))}
        return [found.get(id_) for id_ in ids]

    async def _insert(self, name: str, documents: Sequence[Stored]) -> Sequence[bool]:
        """Whether the ``_id`` was taken."""
        taken: list[int] = []
        async with self.call():
            try:
                await self.collection(name).insert_many(documents, ordered=False)
            except BulkWriteError as error:
                taken = _duplicates(error)
        answers = [False] * len(documents)
        for index in taken:
            answers[index] = True
        return answers

    async def _upsert(self, name: str, updates: Sequence[UpdateOne]) -> Sequence[Upserted]:
        remaining = list(range(len(updates)))
        inserted: set[int] = set()
        untouched = 0

        async def send() -> None:
            nonlocal remaining, untouched
            async with self.call():
                try:
                    answer = await self.collection(name).bulk_write([updates[n] for n in remaining], ordered=False)
                    told: Mapping[str, Any] = answer.bulk_api_result
                    duplicates: list[int] = []
                except BulkWriteError as error:
                    told, duplicates = error.details, _duplicates(error)
            inserted.update(remaining[upserted["index"]] for upserted in told["upserted"])
            untouched += told["nMatched"] - told["nModified"]
            remaining = [remaining[index] for index in duplicates]
            if remaining:
                raise DuplicateKeyError(f"{len(remaining)} upserts met an insert")

        await self.again_on_duplicate(send)
        changed = Upserted.UNTOUCHED if untouched else Upserted.CHANGED
        return [Upserted.MADE if index in inserted else changed for index in range(len(updates))]

    async def again_on_duplicate(self, send: Callable[[], Awaitable[R]]) -> R:
        """``send()``, repeated while two upserts of one ``_id`` meet; the document is there at the latest when the first one returns."""
        try:
            return await send()
        except DuplicateKeyError:
            pass
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(DuplicateKeyError),
            wait=wait_random_exponential(multiplier=0.005, max=0.2),
            stop=stop_after_attempt(12),
            reraise=True,
        )
        try:
            return await retrying(send)
        except DuplicateKeyError as error:
            raise UnavailableError(f"MongoDB at {self.address} goes on answering: {error}") from error

    async def close(self) -> None:
        self._client.close()


def is_out_of_reach(error: PyMongoError) -> bool:
    """Whether the store could not be reached or answered in time, as opposed to having refused the request."""
    if isinstance(error, BulkWriteError):
        return any(_outages(error))
    if isinstance(error, OperationFailure):
        return error.timeout or error.code in _OUT_OF_REACH
    # InvalidOperation: the client was closed.
    return error.timeout or isinstance(error, ConnectionFailure | InvalidOperation)


def _outages(error: BulkWriteError) -> Iterator[str]:
    """What the server said of those operations that it was out of reach for."""
    answers = (*error.details["writeErrors"], *error.details["writeConcernErrors"])
    return (answer.get("errmsg") or f"code {answer['code']}" for answer in answers if answer["code"] in _OUT_OF_REACH)


def _reason(error: PyMongoError) -> str:
    """What happened, without what the driver tells besides: its settings, its picture of the servers, all that was sent."""
    if isinstance(error, BulkWriteError):
        return next(_outages(error))
    said = str(error)
    for besides in (" (configured timeouts", ", Timeout: ", ", full error: "):
        said = said.partition(besides)[0]
    return said


def _duplicates(error: BulkWriteError) -> list[int]:
    """The indexes of the operations that failed; raises the error itself where one failed for another reason."""
    failed = error.details["writeErrors"]
    if error.details["writeConcernErrors"] or any(answer["code"] != DUPLICATE_KEY for answer in failed):
        raise error
    return [answer["index"] for answer in failed]

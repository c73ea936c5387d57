"""The document port on MongoDB. State and rows are guarded inside their updates (see pipeline), and no index but ``_id`` is unique."""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeVar

import pymongo
from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from projections.documents.changes import foreseen
from projections.documents.mongo.connection import Connection, Stored
from projections.documents.mongo.control import Control
from projections.documents.mongo.pipeline import GUARDS, update_pipeline
from projections.documents.mongo.queries import index_model, order, page_filter, range_filter
from projections.documents.port import After, Collection, Doc, Document, Found, Index, Lease, Row, Shape, Value
from projections.documents.rules import (
    PREFIXES,
    STEP,
    VERSIONS,
    changed,
    check_fields,
    check_indexes,
    check_scalars,
    check_shape,
    index_name,
    live_version,
    newest,
    sort_of,
    steps,
    stored_name,
    usable_prefixes,
)

T = TypeVar("T")

PARALLEL_STEPS: Final = 4
"""Bulks of one call in flight: 18,000 rows replaced a second one after the other, 34,000 by fours."""

BUILD_SECONDS: Final = 600.0
"""The most that building a collection's indexes may take."""

PING_SECONDS: Final = 2.0


async def open_mongo_documents(url: str) -> "MongoDocuments":
    """``mongodb://host:port/database?…``; without a database it is called tidings. UnavailableError, with the address, where it does not answer."""
    documents = MongoDocuments(Connection(url))
    try:
        await documents.ping()
    except BaseException:
        await documents.close()
        raise
    return documents


class MongoDocuments:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._control = Control(connection)
        self._versions: Document | None = None

    async def prepare(self, collections: Sequence[Collection]) -> None:
        await self.ping()
        for collection in collections:
            check_indexes(collection)
            if collection.indexes:
                models = [index_model(index) for index in collection.indexes]
                with pymongo.timeout(BUILD_SECONDS):
                    async with self._connection.call(BUILD_SECONDS + 1):
                        await self._connection.collection(self._name(collection)).create_indexes(models)

    async def get(self, collection: Collection, ids: Sequence[str]) -> Mapping[str, Document]:
        if not ids:
            return {}
        async with self._connection.call():
            cursor = self._connection.collection(self._name(collection)).find({"_id": {"$in": list(ids)}})
            found = await cursor.batch_size(len(ids) + 1).to_list(None)
        return {document["_id"]: _fields(document) for document in found}

    async def page(
        self,
        collection: Collection,
        index: str,
        prefix: Sequence[Value],
        *,
        after: After | None = None,
        limit: int,
        reverse: bool = False,
    ) -> Sequence[Found]:
        return await self.page_many(collection, index, [prefix], after=after, limit=limit, reverse=reverse)

    async def page_many(
        self,
        collection: Collection,
        index: str,
        prefixes: Sequence[Sequence[Value]],
        *,
        after: After | None = None,
        limit: int,
        reverse: bool = False,
    ) -> Sequence[Found]:
        declared = collection.index(index)
        usable = usable_prefixes(declared, prefixes)
        if not usable or limit <= 0:
            return ()
        pages = [
            await self._read_page(collection, declared, some, after, limit, reverse) for some in steps(usable, PREFIXES)
        ]
        if len(pages) == 1:
            return pages[0]
        merged = heapq.merge(*pages, key=lambda found: (found.sort, found.id), reverse=reverse)
        return [found for _, found in zip(range(limit), merged, strict=False)]

    async def _read_page(
        self,
        collection: Collection,
        index: Index,
        prefixes: Sequence[Sequence[Value]],
        after: After | None,
        limit: int,
        reverse: bool,
    ) -> list[Found]:
        async with self._connection.call():
            cursor = self._connection.collection(self._name(collection)).find(
                page_filter(index, prefixes, after, reverse),
                sort=order(index, reverse),
                limit=limit,
                batch_size=limit,
                hint=index_name(index),
            )
            documents = await cursor.to_list(limit)
        found = ((document["_id"], _fields(document)) for document in documents)
        return [Found(id, fields, sort_of(fields, index)) for id, fields in found]

    async def scan(self, collection: Collection, *, after: str | None = None, limit: int) -> Sequence[Found]:
        if limit <= 0:
            return ()
        past = {} if after is None else {"_id": {"$gt": after}}
        async with self._connection.call():
            cursor = self._connection.collection(self._name(collection)).find(past, limit=limit, batch_size=limit)
            documents = await cursor.sort("_id", pymongo.ASCENDING).to_list(limit)
        return [Found(document["_id"], _fields(document)) for document in documents]

    async def count(self, collection: Collection, index: str, prefix: Sequence[Value], cap: int) -> int:
        declared = collection.index(index)
        usable = usable_prefixes(declared, [prefix])
        if not usable or cap <= 0:
            return 0
        async with self._connection.call():
            return await self._connection.collection(self._name(collection)).count_documents(
                page_filter(declared, usable, None, False), limit=cap, hint=index_name(declared)
            )

    async def apply(self, collection: Collection, docs: Sequence[Doc]) -> None:
        check_shape(collection, Shape.STATE)
        name = self._name(collection)

        async def send(step: Sequence[Doc]) -> None:
            updates = [UpdateOne({"_id": doc.id}, update_pipeline(doc), upsert=True) for doc in step]
            await self._connection.upsert(name, updates)

        await _in_parallel(changed(docs), send)

    async def preview(self, collection: Collection, docs: Sequence[Doc]) -> Mapping[str, Document]:
        check_shape(collection, Shape.STATE)
        ids = [doc.id for doc in docs]
        async with self._connection.call():
            cursor = self._connection.collection(self._name(collection)).find({"_id": {"$in": ids}})
            found = {stored["_id"]: stored for stored in await cursor.batch_size(len(ids) + 1).to_list(None)}
        guards = {id: stored.get(GUARDS, {}) for id, stored in found.items()}
        before = {id: _fields(stored) for id, stored in found.items()}
        return {
            doc.id: foreseen(before.get(doc.id, {}), guards.get(doc.id, {}).get(str(doc.shard), 0), doc) for doc in docs
        }

    async def put(self, collection: Collection, rows: Sequence[Row]) -> None:
        """Inserts first, for most rows are new and inserts take a fifth of an upsert's time; what is there already goes by guarded upserts, which
        are right too when the row vanishes between."""
        check_shape(collection, Shape.ROWS)
        name = self._name(collection)

        async def send(step: Sequence[Row]) -> None:
            there = await self._connection.insert(name, [_stored(row) for row in step])
            if there:
                await self._connection.upsert(name, [_replacement(document) for document in there])

        await _in_parallel(newest(rows), send)

    async def put_if(self, collection: Collection, id: str, expected: Document | None, fields: Document) -> bool:
        check_fields(fields)
        stored: Stored = {"_id": id, **fields}
        if collection.shape is Shape.ROWS:
            stored[GUARDS] = 0
        target = self._connection.collection(self._name(collection))
        async with self._connection.call():
            if expected is None:
                try:
                    await target.insert_one(stored)
                except DuplicateKeyError:
                    return False
                return True
            check_scalars(expected)
            same = [{"$eq": [f"${name}", {"$literal": value}]} for name, value in expected.items()]
            result = await target.replace_one({"_id": id, "$expr": {"$and": same}}, stored)
            return result.matched_count == 1

    async def remove(
        self,
        collection: Collection,
        index: str,
        prefix: Sequence[Value],
        *,
        below: str | int,
        position: int,
        limit: int,
    ) -> int:
        check_shape(collection, Shape.ROWS)
        declared = collection.index(index)
        removed = 0
        for usable in usable_prefixes(declared, [prefix]):
            # Stands in the delete too: a row that was written anew after the find stays.
            old = {**range_filter(declared, usable, below), GUARDS: {"$lte": position}}
            target = self._connection.collection(self._name(collection))
            while removed < limit:
                asked = min(STEP, limit - removed)
                async with self._connection.call():
                    cursor = target.find(old, {"_id": 1}, hint=index_name(declared), limit=asked, batch_size=asked)
                    ids = [found["_id"] for found in await cursor.sort(order(declared, False)).to_list(asked)]
                    deleted = await target.delete_many({"_id": {"$in": ids}, **old})
                removed += deleted.deleted_count
                if len(ids) < asked:
                    break
        return removed

    async def load_checkpoints(self, family: str) -> Mapping[int, int]:
        return await self._control.load_checkpoints(self._live(family))

    async def save_checkpoint(self, family: str, shard: int, sequence: int, lease: Lease | None) -> None:
        await self._control.save_checkpoint(self._live(family), shard, sequence, lease)

    async def claim_lease(self, name: str, holder: str, ttl: float) -> Lease | None:
        return await self._control.claim_lease(name, holder, ttl)

    async def release_lease(self, lease: Lease) -> None:
        await self._control.release_lease(lease)

    async def get_meta(self, key: str) -> Document | None:
        return await self._control.get_meta(key)

    async def set_meta(self, key: str, value: Document) -> None:
        await self._control.set_meta(key, value)
        if key == VERSIONS:
            self._versions = value

    async def ping(self) -> None:
        async with self._connection.call(PING_SECONDS):
            self._versions = await self._control.get_meta(VERSIONS)

    async def close(self) -> None:
        await self._connection.close()

    def _live(self, family: str) -> str:
        return f"{family}.v{live_version(self._versions, family)}"

    def _name(self, collection: Collection) -> str:
        return stored_name(collection, self._versions)


def _fields(document: Stored) -> dict[str, Value]:
    del document["_id"]
    document.pop(GUARDS, None)
    return document


def _stored(row: Row) -> Stored:
    return {"_id": row.id, GUARDS: row.position, **row.fields}


def _replacement(document: Stored) -> UpdateOne:
    guarded = {"$cond": [{"$lt": [f"${GUARDS}", document[GUARDS]]}, {"$literal": document}, "$$ROOT"]}
    return UpdateOne({"_id": document["_id"]}, [{"$replaceWith": guarded}], upsert=True)


async def _in_parallel(items: Sequence[T], send: Callable[[Sequence[T]], Awaitable[None]]) -> None:
    """Sends the items in steps, a few at a time. All have ended when it returns or raises."""
    gate = asyncio.Semaphore(PARALLEL_STEPS)

    async def one(step: Sequence[T]) -> None:
        async with gate:
            await send(step)

    for outcome in await asyncio.gather(*(one(step) for step in steps(items)), return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome

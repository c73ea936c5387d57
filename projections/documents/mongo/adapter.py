"""The document port on MongoDB. State and rows are guarded inside their updates (see pipeline), and no index but ``_id`` is unique."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from domain.errors import UnavailableError
from projections.documents.mongo import reading, writing
from projections.documents.mongo.connection import Connection
from projections.documents.mongo.control import Control
from projections.documents.mongo.queries import index_model
from projections.documents.mongo.sharding import shard
from projections.documents.port import After, Collection, Doc, Document, Found, Lease, Row, Shape, Value
from projections.documents.rules import (
    VERSIONS,
    check_docs,
    check_dropped,
    check_fields,
    check_indexes,
    check_removable,
    check_scalars,
    check_shape,
    index_name,
    live_version,
    newest,
    stored_name,
    usable_prefixes,
    versioned,
)

BAD_HINT: Final = 2
"""MongoDB's BadValue: what it answers to a hint at an index that it cannot use."""

BUILD_SECONDS: Final = 600.0
"""The most that building a collection's indexes may take."""

PING_SECONDS: Final = 2.0


async def open_mongo_documents(url: str) -> "MongoDocuments":
    """``mongodb://host:port/database?…``; without a database it is called tidings. UnavailableError, with the address, where it does not answer."""
    connection = Connection(url)
    documents = MongoDocuments(connection)
    try:
        await documents.refresh()
    except PyMongoError as error:
        await documents.close()
        raise UnavailableError(f"MongoDB at {connection.address} refuses: {error}") from error
    except BaseException:
        await documents.close()
        raise
    return documents


@dataclass(frozen=True, slots=True)
class _Pins:
    """``others``: what was live when the view was made."""

    versions: Mapping[str, int]
    others: Document | None


class MongoDocuments:
    """``pins`` makes it a view (see the port)."""

    def __init__(self, connection: Connection, control: Control | None = None, pins: "_Pins | None" = None) -> None:
        self._connection = connection
        self._control = control or Control(connection)
        self._versions: Document | None = None if pins is None else pins.others
        self._pins = pins

    async def prepare(self, collections: Sequence[Collection]) -> None:
        await self.refresh()
        for collection in collections:
            check_indexes(collection)
            if collection.indexes and self.version(collection.family):
                models = [index_model(index) for index in collection.indexes]
                with pymongo.timeout(BUILD_SECONDS):
                    async with self._connection.call(BUILD_SECONDS + 1):
                        await self._connection.collection(self._name(collection)).create_indexes(models)
        placed = {self._name(one): one.spread for one in collections if self.version(one.family)}
        await shard(self._connection, placed, BUILD_SECONDS)

    async def prepared(self, collections: Sequence[Collection]) -> bool:
        """Whether the live versions of these collections have all their indexes. Without one every read that names it is an error."""
        live = [each for each in collections if each.indexes and self.version(each.family)]
        return all(await asyncio.gather(*(self._indexed(collection) for collection in live)))

    async def _indexed(self, collection: Collection) -> bool:
        target = self._connection.collection(self._name(collection))
        names = [index_name(index) for index in collection.indexes]
        async with self._connection.call():
            there = await target.index_information()
            if not there.keys() >= set(names):
                return False
            try:
                # One that is still being built is listed too.
                for name in names:
                    await target.find_one(there[name].get("partialFilterExpression"), {"_id": 1}, hint=name)
            except OperationFailure as error:
                if error.code != BAD_HINT:
                    raise
                return False
        return True

    def version(self, family: str) -> int:
        pinned = None if self._pins is None else self._pins.versions.get(family)
        return live_version(self._versions, family) if pinned is None else pinned

    def pinned(self, versions: Mapping[str, int]) -> "MongoDocuments":
        own = {} if self._pins is None else self._pins.versions
        return MongoDocuments(self._connection, self._control, _Pins({**own, **versions}, self._versions))

    async def refresh(self) -> None:
        if self._pins is None:
            self._versions = await self._control.get_meta(VERSIONS)

    async def drop(self, collections: Sequence[Collection]) -> None:
        check_dropped(collections, await self._control.get_meta(VERSIONS), self.version)
        for collection in collections:
            with pymongo.timeout(BUILD_SECONDS):
                async with self._connection.call(BUILD_SECONDS + 1):
                    await self._connection.collection(self._name(collection)).drop()
        for family in {collection.family for collection in collections}:
            await self._control.drop_checkpoints(self._live(family))

    async def get(self, collection: Collection, ids: Sequence[str]) -> Mapping[str, Document]:
        return await reading.get(self._connection, self._name(collection), ids)

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
        return await reading.page(self._connection, self._name(collection), declared, usable, after, limit, reverse)

    async def scan(self, collection: Collection, *, after: str | None = None, limit: int) -> Sequence[Found]:
        return await reading.scan(self._connection, self._name(collection), after, limit) if limit > 0 else ()

    async def count(self, collection: Collection, index: str, prefix: Sequence[Value], cap: int) -> int:
        declared = collection.index(index)
        usable = usable_prefixes(declared, [prefix])
        if not usable or cap <= 0:
            return 0
        return await reading.count(self._connection, self._name(collection), declared, usable[0], cap)

    async def apply(self, collection: Collection, docs: Sequence[Doc]) -> None:
        check_shape(collection, Shape.STATE)
        check_docs(docs)
        await writing.apply(self._connection, self._name(collection), [doc for doc in docs if doc.changes])

    async def preview(self, collection: Collection, docs: Sequence[Doc]) -> Mapping[str, Document]:
        check_shape(collection, Shape.STATE)
        check_docs(docs)
        return await reading.preview(self._connection, self._name(collection), docs)

    async def put(self, collection: Collection, rows: Sequence[Row]) -> None:
        check_shape(collection, Shape.ROWS)
        await writing.put(self._connection, self._name(collection), newest(rows))

    async def put_if(self, collection: Collection, id: str, expected: Document | None, fields: Document) -> bool:
        check_fields(fields)
        check_scalars(expected or {})
        name, shape = self._name(collection), collection.shape
        return await writing.put_if(self._connection, name, shape, id, expected, fields)

    async def remove(
        self,
        collection: Collection,
        index: str,
        prefix: Sequence[Value],
        *,
        below: str | int,
        position: int | None,
        limit: int,
    ) -> int:
        check_removable(collection, position)
        declared, name = collection.index(index), self._name(collection)
        usable = usable_prefixes(declared, [prefix])
        if not usable:
            return 0
        return await writing.remove(self._connection, name, declared, usable[0], below, position, limit)

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

    async def swap_meta(self, key: str, expected: Document | None, value: Document) -> bool:
        return await self._control.swap_meta(key, expected, value)

    async def ping(self) -> None:
        async with self._connection.call(PING_SECONDS):
            await self._control.get_meta(VERSIONS)

    async def close(self) -> None:
        if self._pins is None:
            await self._connection.close()

    def _live(self, family: str) -> str:
        return versioned(family, self.version(family))

    def _name(self, collection: Collection) -> str:
        return stored_name(collection, self.version(collection.family))

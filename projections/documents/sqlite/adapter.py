"""The document port on SQLite: every call is one short read, or transactions of at most rules.STEP rows each."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Final

from domain.errors import UnavailableError
from projections.documents.port import After, Collection, Doc, Document, Found, Lease, Row, Shape, Value
from projections.documents.rules import (
    STEP,
    VERSIONS,
    check_docs,
    check_dropped,
    check_fields,
    check_removable,
    check_scalars,
    check_shape,
    live_version,
    newest,
    steps,
    stored_name,
    usable_prefixes,
    versioned,
)
from projections.documents.sqlite import control, reading, schema, writing
from projections.documents.sqlite.store import Store

PING_SECONDS: Final = 2.0


async def open_sqlite_documents(path: str | PathLike[str]) -> "SqliteDocuments":
    """The file is made where it is missing, its directory is not. UnavailableError, with the path, where it cannot be used."""
    store = Store(Path(path))
    documents = SqliteDocuments(store)
    try:
        await store.write(schema.create_control)
        await documents.refresh()
    except BaseException:
        await documents.close()
        raise
    return documents


@dataclass(frozen=True, slots=True)
class _Pins:
    """``others``: what was live when the view was made."""

    versions: Mapping[str, int]
    others: Document | None


class SqliteDocuments:
    """``pins`` makes it a view (see the port)."""

    def __init__(self, store: Store, pins: "_Pins | None" = None) -> None:
        self._store = store
        self._versions: Document | None = None if pins is None else pins.others
        self._pins = pins

    async def prepare(self, collections: Sequence[Collection]) -> None:
        await self.refresh()
        for collection in collections:
            if self.version(collection.family):
                create = partial(schema.create_collection, collection=collection, table=self._table(collection))
                await self._store.write(create)

    def version(self, family: str) -> int:
        pinned = None if self._pins is None else self._pins.versions.get(family)
        return live_version(self._versions, family) if pinned is None else pinned

    def pinned(self, versions: Mapping[str, int]) -> "SqliteDocuments":
        own = {} if self._pins is None else self._pins.versions
        return SqliteDocuments(self._store, _Pins({**own, **versions}, self._versions))

    async def refresh(self) -> None:
        if self._pins is None:
            self._versions = await self.get_meta(VERSIONS)

    async def drop(self, collections: Sequence[Collection]) -> None:
        check_dropped(collections, await self.get_meta(VERSIONS), self.version)
        for collection in collections:
            table = self._table(collection)
            while await self._store.write(partial(schema.empty_collection, table=table, limit=STEP)) == STEP:
                pass
            await self._store.write(partial(schema.drop_collection, table=table))
        for family in {collection.family for collection in collections}:
            await self._store.write(partial(control.drop_checkpoints, family=self._live(family)))

    async def get(self, collection: Collection, ids: Sequence[str]) -> Mapping[str, Document]:
        return await self._store.read(partial(reading.get, table=self._table(collection), ids=ids))

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
        table = self._table(collection)
        return await self._store.read(lambda c: reading.page(c, table, declared, usable, after, limit, reverse))

    async def scan(self, collection: Collection, *, after: str | None = None, limit: int) -> Sequence[Found]:
        table = self._table(collection)
        return await self._store.read(partial(reading.scan, table=table, after=after, limit=max(limit, 0)))

    async def count(self, collection: Collection, index: str, prefix: Sequence[Value], cap: int) -> int:
        declared = collection.index(index)
        usable = usable_prefixes(declared, [prefix])
        if not usable or cap <= 0:
            return 0
        table = self._table(collection)
        return await self._store.read(lambda c: reading.count(c, table, declared, usable[0], cap))

    async def apply(self, collection: Collection, docs: Sequence[Doc]) -> None:
        check_shape(collection, Shape.STATE)
        check_docs(docs)
        table = self._table(collection)
        for step in steps([doc for doc in docs if doc.changes]):
            await self._store.write(partial(writing.apply, table=table, docs=step))

    async def preview(self, collection: Collection, docs: Sequence[Doc]) -> Mapping[str, Document]:
        check_shape(collection, Shape.STATE)
        check_docs(docs)
        return await self._store.read(partial(reading.preview, table=self._table(collection), docs=docs))

    async def put(self, collection: Collection, rows: Sequence[Row]) -> None:
        check_shape(collection, Shape.ROWS)
        table = self._table(collection)
        for step in steps(newest(rows)):
            await self._store.write(partial(writing.put, table=table, rows=step))

    async def put_if(self, collection: Collection, id: str, expected: Document | None, fields: Document) -> bool:
        check_fields(fields)
        check_scalars(expected or {})
        table, shape = self._table(collection), collection.shape
        return await self._store.write(lambda c: writing.put_if(c, table, shape, id, expected, fields))

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
        declared, table = collection.index(index), self._table(collection)
        usable = usable_prefixes(declared, [prefix])
        removed, more = 0, bool(usable)
        while more and removed < limit:
            asked = min(STEP, limit - removed)
            remove = partial(writing.remove, table=table, index=declared, prefix=usable[0], below=below)
            gone = await self._store.write(partial(remove, position=position, limit=asked))
            removed, more = removed + gone, gone == asked
        return removed

    async def load_checkpoints(self, family: str) -> Mapping[int, int]:
        return await self._store.read(partial(control.load_checkpoints, family=self._live(family)))

    async def save_checkpoint(self, family: str, shard: int, sequence: int, lease: Lease | None) -> None:
        live = self._live(family)
        await self._store.write(lambda c: control.save_checkpoint(c, live, shard, sequence, lease))

    async def claim_lease(self, name: str, holder: str, ttl: float) -> Lease | None:
        return await self._store.write(lambda c: control.claim_lease(c, name, holder, ttl))

    async def release_lease(self, lease: Lease) -> None:
        await self._store.write(partial(control.release_lease, lease=lease))

    async def get_meta(self, key: str) -> Document | None:
        return await self._store.read(partial(control.get_meta, key=key))

    async def set_meta(self, key: str, value: Document) -> None:
        await self._store.write(partial(control.set_meta, key=key, value=value))

    async def swap_meta(self, key: str, expected: Document | None, value: Document) -> bool:
        return await self._store.write(partial(control.swap_meta, key=key, expected=expected, value=value))

    async def ping(self) -> None:
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self.get_meta(VERSIONS)
        except TimeoutError as error:
            raise UnavailableError("the documents' file does not answer: its disk hangs or is overloaded") from error

    async def close(self) -> None:
        if self._pins is None:
            await self._store.close()

    def _live(self, family: str) -> str:
        return versioned(family, self.version(family))

    def _table(self, collection: Collection) -> str:
        return stored_name(collection, self.version(collection.family))

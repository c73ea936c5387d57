"""Reads: one find each, on the index that it names. ``name`` is the stored collection's."""

import asyncio
import heapq
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import pymongo

from projections.documents.changes import foreseen
from projections.documents.mongo.connection import Connection, Stored
from projections.documents.mongo.pipeline import GUARDS
from projections.documents.mongo.queries import order, page_filter
from projections.documents.port import After, Doc, Document, Found, Index, Value
from projections.documents.rules import PREFIXES, index_name, sort_of, steps


async def get(connection: Connection, name: str, ids: Sequence[str]) -> Mapping[str, Document]:
    return {id_: fields_of(dict(stored)) for id_, stored in (await _find_ids(connection, name, ids)).items()}


async def preview(connection: Connection, name: str, docs: Sequence[Doc]) -> Mapping[str, Document]:
    found = await _find_ids(connection, name, [doc.id for doc in docs])
    foreseen_documents: dict[str, Document] = {}
    for doc in docs:
        stored = dict(found.get(doc.id, {"_id": doc.id}))
        guard = stored.get(GUARDS, {}).get(str(doc.shard), 0)
        foreseen_documents[doc.id] = foreseen(fields_of(stored), guard, doc)
    return foreseen_documents


async def _find_ids(connection: Connection, name: str, ids: Sequence[str]) -> Mapping[str, Stored]:
    return await connection.find(name, ids) if ids else {}


async def _find(connection: Connection, name: str, where: Mapping[str, Any], *, limit: int, **how: Any) -> list[Stored]:
    async with connection.call():
        # All in the first answer, or MongoDB would give 101 documents and wait to be asked for more.
        cursor = connection.collection(name).find(where, limit=limit, batch_size=limit, **how)
        return await cursor.to_list(limit)


async def scan(connection: Connection, name: str, after: str | None, limit: int) -> Sequence[Found]:
    past = {} if after is None else {"_id": {"$gt": after}}
    found = await _find(connection, name, past, limit=limit, sort=[("_id", pymongo.ASCENDING)])
    return [Found(stored["_id"], fields_of(stored)) for stored in found]


async def page(
    connection: Connection,
    name: str,
    index: Index,
    prefixes: Sequence[Sequence[Value]],
    after: After | None,
    limit: int,
    reverse: bool,
) -> Sequence[Found]:
    """One find up to rules.PREFIXES prefixes, then one for each as many again, side by side."""

    async def read(some: Sequence[Sequence[Value]]) -> list[Found]:
        where = page_filter(index, some, after, reverse)
        how = {"sort": order(index, reverse), "hint": index_name(index)}
        found = [
            (stored["_id"], fields_of(stored)) for stored in await _find(connection, name, where, limit=limit, **how)
        ]
        return [Found(id, fields, sort_of(fields, index)) for id, fields in found]

    pages = await asyncio.gather(*(read(some) for some in steps(prefixes, PREFIXES)))
    if len(pages) == 1:
        return pages[0]
    merged = heapq.merge(*pages, key=lambda found: (found.sort, found.id), reverse=reverse)
    return list(islice(merged, limit))


async def count(connection: Connection, name: str, index: Index, prefix: Sequence[Value], cap: int) -> int:
    where = page_filter(index, [prefix], None, False)
    async with connection.call():
        return await connection.collection(name).count_documents(where, limit=cap, hint=index_name(index))


def fields_of(stored: Stored) -> dict[str, Value]:
    """Takes what is not the document's own out of it."""
    del stored["_id"]
    stored.pop(GUARDS, None)
    return stored

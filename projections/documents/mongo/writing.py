"""Writes: guarded upserts in bulks that run side by side, for their documents are all different. ``name`` is the stored collection's."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from projections.documents.changes import foreseen
from projections.documents.mongo.connection import Connection, Stored, Upserted
from projections.documents.mongo.pipeline import GUARDS, update_pipeline
from projections.documents.mongo.queries import order, range_filter
from projections.documents.port import Doc, Document, Index, Row, Shape, Value
from projections.documents.rules import STEP, index_name, steps

T = TypeVar("T")


async def apply(connection: Connection, name: str, docs: Sequence[Doc]) -> None:
    """What is probably new is inserted as the changes make it. The rest, and what turns out to be there, goes by guarded upserts: first in the short
    form, which takes all of a document's changes or none; only where some took none, in the form that tells which are due."""

    async def send(step: Sequence[Doc]) -> None:
        new, known = connection.novelty.split(name, step)
        if new:
            there = {stored["_id"] for stored in await connection.insert(name, [_made(doc) for doc in new])}
            connection.novelty.learn(name, new, [doc.id not in there for doc in new])
            known += [doc for doc in new if doc.id in there]
        if known:
            await _upsert(connection, name, known)

    await _in_steps(docs, send)


def _made(doc: Doc) -> Stored:
    """The document as it comes into being."""
    return {"_id": doc.id, GUARDS: {str(doc.shard): doc.changes[-1][0]}, **foreseen({}, 0, doc)}


async def _upsert(connection: Connection, name: str, docs: Sequence[Doc]) -> None:
    updates = [UpdateOne({"_id": doc.id}, update_pipeline(doc, whole=True), upsert=True) for doc in docs]
    written = await connection.upsert(name, updates)
    connection.novelty.learn(name, docs, [each is Upserted.MADE for each in written])
    partly = [
        doc for doc, each in zip(docs, written, strict=True) if each is Upserted.UNTOUCHED and len(doc.changes) > 1
    ]
    if partly:
        await connection.upsert(name, [UpdateOne({"_id": doc.id}, update_pipeline(doc), upsert=True) for doc in partly])


async def put(connection: Connection, name: str, rows: Sequence[Row]) -> None:
    """Inserts first, for most rows are new and an insert takes a fifth of an upsert's time; what is there already goes by guarded upserts, which
    are right too when the row vanishes between."""

    async def send(step: Sequence[Row]) -> None:
        there = await connection.insert(name, [{"_id": row.id, GUARDS: row.position, **row.fields} for row in step])
        if there:
            await connection.upsert(name, [_replacement(stored) for stored in there])

    await _in_steps(rows, send)


def _replacement(stored: Stored) -> UpdateOne:
    guarded = {"$cond": [{"$lt": [f"${GUARDS}", stored[GUARDS]]}, {"$literal": stored}, "$$ROOT"]}
    return UpdateOne({"_id": stored["_id"]}, [{"$replaceWith": guarded}], upsert=True)


async def put_if(
    connection: Connection, name: str, shape: Shape, id: str, expected: Document | None, fields: Document
) -> bool:
    stored: Stored = {"_id": id, **fields}
    if shape is Shape.ROWS:
        stored[GUARDS] = 0
    target = connection.collection(name)
    async with connection.call():
        if expected is None:
            try:
                await target.insert_one(stored)
            except DuplicateKeyError:
                return False
            return True
        same = [{"$eq": [f"${field}", {"$literal": value}]} for field, value in expected.items()]
        result = await target.replace_one({"_id": id, "$expr": {"$and": same}}, stored)
        return result.matched_count == 1


async def remove(
    connection: Connection,
    name: str,
    index: Index,
    prefix: Sequence[Value],
    below: str | int,
    position: int | None,
    limit: int,
) -> int:
    # Stands in the delete too: a row that was written anew after the find stays.
    old = range_filter(index, prefix, below) | ({} if position is None else {GUARDS: {"$lte": position}})
    target = connection.collection(name)
    removed, more = 0, True
    while more and removed < limit:
        asked = min(STEP, limit - removed)
        async with connection.call():
            cursor = target.find(old, {"_id": 1}, hint=index_name(index), limit=asked, batch_size=asked)
            ids = [found["_id"] for found in await cursor.sort(order(index, False)).to_list(asked)]
            deleted = await target.delete_many({"_id": {"$in": ids}, **old})
        removed, more = removed + deleted.deleted_count, len(ids) == asked
    return removed


async def _in_steps(items: Sequence[T], send: Callable[[Sequence[T]], Awaitable[None]]) -> None:
    """Sends the items in steps. All have ended when it returns or raises."""
    for outcome in await asyncio.gather(*(send(step) for step in steps(items)), return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome

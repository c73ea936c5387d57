"""What the runtime's tests share: histories in a real log, small families over them, and stores that fail when they are told to."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from pymongo import MongoClient

from domain import deciders
from domain.envelope import Metadata, Recorded
from domain.events import Event, PostLiked, PostUnliked
from domain.ids import mint_id, reaction_stream, stream_shard
from domain.log.port import Draft, EventLog, Execution, LogIdentity, Outcome
from domain.log.sqlite import open_sqlite_log
from projections.documents.mongo import open_mongo_documents
from projections.documents.port import (
    After,
    Change,
    Collection,
    Doc,
    Document,
    Documents,
    Fidelity,
    Found,
    Index,
    Lease,
    Row,
    Shape,
    Value,
)
from projections.documents.sqlite import open_sqlite_documents
from projections.folding import Alter, Family, Operation, Put, on
from projections.runtime import COLLECTIONS

T = TypeVar("T")

SHARDS = 2


def account(slot: int, number: int) -> str:
    """An id of ``slot``, the same for the same number."""
    return mint_id(slot, lambda n: number.to_bytes(n, "big"))


@asynccontextmanager
async def sqlite_log(path: Path, *, shards: int = SHARDS) -> AsyncIterator[EventLog]:
    log = await open_sqlite_log(
        path,
        master_key=bytes(32),
        server_key_fingerprint="test",
        aggregates=deciders,
        shards=shards,
        segment_size=64,
    )
    try:
        yield log
    finally:
        await log.close()


@asynccontextmanager
async def sqlite_documents(path: Path, collections: Sequence[Collection]) -> AsyncIterator[Documents]:
    documents = await open_sqlite_documents(path)
    try:
        await documents.prepare([*COLLECTIONS, *collections])
        yield documents
    finally:
        await documents.close()


@asynccontextmanager
async def mongo_documents(url: str, collections: Sequence[Collection]) -> AsyncIterator[Documents]:
    """In a database of its own, which is dropped."""
    name = f"tidings_runtime_{os.urandom(6).hex()}"
    documents = await open_mongo_documents(urlsplit(url)._replace(path=f"/{name}").geturl())
    try:
        await documents.prepare([*COLLECTIONS, *collections])
        yield documents
    finally:
        await documents.close()
        await asyncio.to_thread(_drop, url, name)


def _drop(url: str, name: str) -> None:
    with MongoClient[dict[str, object]](url) as client:
        client.drop_database(name)


async def append(log: EventLog, stream: str, *events: Event, subject: str | None = None) -> Outcome:
    """Events as if some command had decided them."""
    return await log.execute(
        Execution(
            stream_shard(stream, log.identity.shards),
            (stream,),
            lambda _: [Draft(stream, event) for event in events],
            Metadata(command_id=os.urandom(8).hex()),
            subject=subject,
            new_subject=subject is not None,
        )
    )


async def like(log: EventLog, post: str, actor: str) -> Outcome:
    return await append(log, reaction_stream(post, actor), PostLiked(post=post, author=post, actor=actor))


async def unlike(log: EventLog, post: str, actor: str) -> Outcome:
    return await append(log, reaction_stream(post, actor), PostUnliked(post=post, author=post, actor=actor))


TALLIES = Collection("tallies", "tallies", Shape.STATE, Fidelity.EXACT)
"""Likes by post: counted, so that anything done twice or not at all shows."""
TRAIL = Collection("trail", "trail", Shape.ROWS, Fidelity.EXACT, (Index("by_shard", ("shard",), "position"),))
"""A row an event and one an actor and shard, which later events of the actor replace."""


def tally_family(name: str = "tallies", *, poison: Callable[[Recorded], bool] = lambda _: False) -> Family:
    """Counts likes; ``poison`` events make its folds fail."""
    collection = Collection(name, TALLIES.name, TALLIES.shape, TALLIES.fidelity)

    def step(recorded: Recorded, post: str, by: int) -> Sequence[Operation]:
        if poison(recorded):
            raise ArithmeticError("what was typed must not be told")
        change = Change(inc={"likes": by, "events": 1}, max={"last": recorded.sequence})
        return [Alter(collection, post, change)]

    return Family(
        name,
        (collection,),
        dict(
            (
                on(PostLiked, lambda recorded, event: step(recorded, event.post, 1)),
                on(PostUnliked, lambda recorded, event: step(recorded, event.post, -1)),
            )
        ),
    )


def trail_family(*, follows: tuple[str, ...] = ()) -> Family:
    def fold(recorded: Recorded, event: PostLiked | PostUnliked) -> Sequence[Operation]:
        fields: dict[str, Value] = {"shard": recorded.shard, "position": recorded.sequence, "type": event.name}
        return [
            Put(TRAIL, f"event-{recorded.shard}-{recorded.sequence}", fields),
            # A row is one shard's alone: positions of two shards say nothing of each other.
            Put(TRAIL, f"actor-{recorded.shard}-{event.actor}", {"type": event.name, "at": recorded.sequence}),
        ]

    return Family("trail", (TRAIL,), dict((on(PostLiked, fold), on(PostUnliked, fold))), follows)


class Faults:
    """Decides what befalls each call of a store. ``seen`` counts calls, ``fired`` what was done to them, by operation."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.fired: Counter[tuple[str, str]] = Counter()

    async def before(self, operation: str) -> None:
        """May raise: the call then never reaches the store."""
        self.seen[operation] += 1

    async def after(self, operation: str) -> None:
        """May raise: the call was done and its caller is not told."""


class FaultyLog:
    """A log that fails as it is told; all that passes goes to a real one."""

    def __init__(self, log: EventLog, faults: Faults) -> None:
        self._log = log
        self._faults = faults

    @property
    def identity(self) -> LogIdentity:
        return self._log.identity

    async def execute(self, execution: Execution) -> Outcome:
        await self._faults.before("execute")
        outcome = await self._log.execute(execution)
        await self._faults.after("execute")
        return outcome

    async def states(self, streams: Sequence[str]) -> Mapping[str, object]:
        return await self._log.states(streams)

    async def load(self, stream: str, *, version: int | None = None, until: int | None = None) -> tuple[Recorded, ...]:
        return await self._log.load(stream, version=version, until=until)

    async def read(self, shard: int, after: int, limit: int) -> tuple[Recorded, ...]:
        await self._faults.before("read")
        return await self._log.read(shard, after, limit)

    async def head(self, shard: int) -> int:
        await self._faults.before("head")
        return await self._log.head(shard)

    async def wait(self, shard: int, after: int, timeout: float) -> None:
        await self._faults.before("wait")
        await self._log.wait(shard, after, timeout)

    async def destroy_key(self, subject: str) -> None:
        await self._log.destroy_key(subject)

    async def close(self) -> None:
        """The real log is closed by whoever opened it."""


class FaultyDocuments:
    """Documents that fail as they are told; all that passes goes to a real store."""

    def __init__(self, documents: Documents, faults: Faults) -> None:
        self._documents = documents
        self._faults = faults

    async def _call(self, operation: str, work: Callable[[], Awaitable[T]]) -> T:
        await self._faults.before(operation)
        answer = await work()
        await self._faults.after(operation)
        return answer

    async def prepare(self, collections: Sequence[Collection]) -> None:
        await self._documents.prepare(collections)

    def version(self, family: str) -> int:
        return self._documents.version(family)

    def pinned(self, versions: Mapping[str, int]) -> Documents:
        return type(self)(self._documents.pinned(versions), self._faults)

    async def refresh(self) -> None:
        await self._call("refresh", self._documents.refresh)

    async def drop(self, collections: Sequence[Collection]) -> None:
        await self._call("drop", lambda: self._documents.drop(collections))

    async def get(self, collection: Collection, ids: Sequence[str]) -> Mapping[str, Document]:
        return await self._call("get", lambda: self._documents.get(collection, ids))

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
        page = self._documents.page
        return await self._call(
            "page", lambda: page(collection, index, prefix, after=after, limit=limit, reverse=reverse)
        )

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
        page_many = self._documents.page_many
        return await self._call(
            "page_many", lambda: page_many(collection, index, prefixes, after=after, limit=limit, reverse=reverse)
        )

    async def scan(self, collection: Collection, *, after: str | None = None, limit: int) -> Sequence[Found]:
        return await self._call("scan", lambda: self._documents.scan(collection, after=after, limit=limit))

    async def count(self, collection: Collection, index: str, prefix: Sequence[Value], cap: int) -> int:
        return await self._call("count", lambda: self._documents.count(collection, index, prefix, cap))

    async def apply(self, collection: Collection, docs: Sequence[Doc]) -> None:
        await self._call("apply", lambda: self._documents.apply(collection, docs))

    async def preview(self, collection: Collection, docs: Sequence[Doc]) -> Mapping[str, Document]:
        return await self._call("preview", lambda: self._documents.preview(collection, docs))

    async def put(self, collection: Collection, rows: Sequence[Row]) -> None:
        await self._call("put", lambda: self._documents.put(collection, rows))

    async def put_if(self, collection: Collection, id: str, expected: Document | None, fields: Document) -> bool:
        return await self._call("put_if", lambda: self._documents.put_if(collection, id, expected, fields))

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
        remove = self._documents.remove
        return await self._call(
            "remove", lambda: remove(collection, index, prefix, below=below, position=position, limit=limit)
        )

    async def load_checkpoints(self, family: str) -> Mapping[int, int]:
        return await self._call("load_checkpoints", lambda: self._documents.load_checkpoints(family))

    async def save_checkpoint(self, family: str, shard: int, sequence: int, lease: Lease | None) -> None:
        save = self._documents.save_checkpoint
        await self._call("save_checkpoint", lambda: save(family, shard, sequence, lease))

    async def claim_lease(self, name: str, holder: str, ttl: float) -> Lease | None:
        return await self._call("claim_lease", lambda: self._documents.claim_lease(name, holder, ttl))

    async def release_lease(self, lease: Lease) -> None:
        await self._call("release_lease", lambda: self._documents.release_lease(lease))

    async def get_meta(self, key: str) -> Document | None:
        return await self._call("get_meta", lambda: self._documents.get_meta(key))

    async def set_meta(self, key: str, value: Document) -> None:
        await self._call("set_meta", lambda: self._documents.set_meta(key, value))

    async def swap_meta(self, key: str, expected: Document | None, value: Document) -> bool:
        return await self._call("swap_meta", lambda: self._documents.swap_meta(key, expected, value))

    async def ping(self) -> None:
        await self._call("ping", self._documents.ping)

    async def close(self) -> None:
        """The real store is closed by whoever opened it."""

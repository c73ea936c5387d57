"""Checkpoints, leases and small facts: one document each, changed by one atomic update each."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError

from projections.documents.mongo.connection import Connection
from projections.documents.mongo.convoy import Convoy
from projections.documents.port import Document, FencedError, Lease
from projections.documents.rules import STEP

CHECKPOINTS: Final = "_checkpoints"
LEASES: Final = "_leases"
META: Final = "_meta"


@dataclass(frozen=True, slots=True)
class _Save:
    """A checkpoint that is to be written."""

    family: str
    shard: int
    sequence: int
    lease: Lease | None


class Control:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._saves: Convoy[_Save, bool] = Convoy(self._save, most=STEP, at_once=1)

    async def load_checkpoints(self, family: str) -> Mapping[int, int]:
        """``family`` is the family's name with its version."""
        found = (await self._connection.find(CHECKPOINTS, [family])).get(family)
        return {int(shard): sequence for shard, sequence in found["shards"].items()} if found else {}

    async def save_checkpoint(self, family: str, shard: int, sequence: int, lease: Lease | None) -> None:
        """A holder that loses its lease between the two calls still writes; that is harmless, for what its checkpoint covers is durable and
        the checkpoint never moves back.

        Together, for a worker saves some seventy checkpoints of few events each where events trickle in.
        """
        (held,) = await self._saves([_Save(family, shard, sequence, lease)])
        if not held:
            raise FencedError(f"{lease} is lost")

    async def _save(self, saves: Sequence[_Save]) -> Sequence[bool]:
        """Whether each one's lease was still held."""
        held = await self._held({save.lease for save in saves if save.lease is not None})
        raised: dict[str, dict[str, object]] = {}
        for save in saves:
            if save.lease is None or save.lease in held:
                field = f"shards.{save.shard}"
                # A shard's later checkpoint of one family may be among them before an earlier one has been written.
                before = raised.setdefault(save.family, {}).get(field, f"${field}")
                raised[save.family][field] = {"$max": [before, save.sequence]}
        if raised:
            updates = [UpdateOne({"_id": family}, [{"$set": fields}], upsert=True) for family, fields in raised.items()]
            await self._connection.upsert(CHECKPOINTS, updates)
        return [save.lease is None or save.lease in held for save in saves]

    async def _held(self, leases: AbstractSet[Lease]) -> AbstractSet[Lease]:
        """Those that are still their names' newest claims."""
        if not leases:
            return leases
        found = await self._connection.find(LEASES, [lease.name for lease in leases])
        newest = {Lease(name, claim["holder"], claim["fence"]) for name, claim in found.items() if "holder" in claim}
        return leases & newest

    async def drop_checkpoints(self, family: str) -> None:
        async with self._connection.call():
            await self._connection.collection(CHECKPOINTS).delete_one({"_id": family})

    async def claim_lease(self, name: str, holder: str, ttl: float) -> Lease | None:
        mine = {"$eq": ["$holder", {"$literal": holder}]}
        free = {"$or": [mine, {"$not": [{"$gt": ["$until", "$$NOW"]}]}]}
        next_fence = {"$cond": [mine, "$fence", {"$add": [{"$ifNull": ["$fence", 0]}, 1]}]}
        claimed = {
            "holder": {"$literal": holder},
            "fence": next_fence,
            "until": {"$add": ["$$NOW", round(ttl * 1000)]},
        }
        claim = [{"$set": {field: {"$cond": [free, value, f"${field}"]} for field, value in claimed.items()}}]

        async def send() -> Lease | None:
            async with self._connection.call():
                found = await self._connection.collection(LEASES).find_one_and_update(
                    {"_id": name}, claim, upsert=True, return_document=ReturnDocument.AFTER
                )
            return Lease(name, holder, found["fence"]) if found["holder"] == holder else None

        return await self._connection.again_on_duplicate(send)

    async def release_lease(self, lease: Lease) -> None:
        """The document stays, so that the fence goes on growing."""
        async with self._connection.call():
            claimed = {"_id": lease.name, "holder": lease.holder, "fence": lease.fence}
            await self._connection.collection(LEASES).update_one(claimed, {"$unset": {"holder": "", "until": ""}})

    async def get_meta(self, key: str) -> Document | None:
        async with self._connection.call():
            found = await self._connection.collection(META).find_one({"_id": key})
        value: Document | None = found["value"] if found else None
        return value

    async def set_meta(self, key: str, value: Document) -> None:
        async def send() -> None:
            async with self._connection.call():
                await self._connection.collection(META).replace_one({"_id": key}, {"value": dict(value)}, upsert=True)

        await self._connection.again_on_duplicate(send)

    async def swap_meta(self, key: str, expected: Document | None, value: Document) -> bool:
        stored = {"_id": key, "value": dict(value)}
        async with self._connection.call():
            if expected is not None:
                # Objects are equal where their fields stand in one order, as they do in what was read.
                result = await self._connection.collection(META).replace_one({"_id": key, "value": expected}, stored)
                return result.matched_count == 1
            try:
                await self._connection.collection(META).insert_one(stored)
            except DuplicateKeyError:
                return False
            return True

"""Checkpoints, leases and small facts: one document each, changed by one atomic update each."""

from collections.abc import Mapping
from typing import Final

from pymongo import ReturnDocument

from projections.documents.mongo.connection import Connection
from projections.documents.port import Document, FencedError, Lease

CHECKPOINTS: Final = "_checkpoints"
LEASES: Final = "_leases"
META: Final = "_meta"


class Control:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def load_checkpoints(self, family: str) -> Mapping[int, int]:
        """``family`` is the family's name with its version."""
        async with self._connection.call():
            found = await self._connection.collection(CHECKPOINTS).find_one({"_id": family})
        return {int(shard): sequence for shard, sequence in found["shards"].items()} if found else {}

    async def save_checkpoint(self, family: str, shard: int, sequence: int, lease: Lease | None) -> None:
        """A holder that loses its lease between the two calls still writes; that is harmless, for what its checkpoint covers is durable and
        the checkpoint never moves back."""
        if lease is not None:
            await self._check(lease)
        field = f"shards.{shard}"
        raised = [{"$set": {field: {"$max": [f"${field}", sequence]}}}]

        async def send() -> None:
            async with self._connection.call():
                await self._connection.collection(CHECKPOINTS).update_one({"_id": family}, raised, upsert=True)

        await self._connection.again_on_duplicate(send)

    async def _check(self, lease: Lease) -> None:
        async with self._connection.call():
            claimed = {"_id": lease.name, "holder": lease.holder, "fence": lease.fence}
            found = await self._connection.collection(LEASES).find_one(claimed)
        if found is None:
            raise FencedError(f"{lease.holder} has lost the lease {lease.name} (fence {lease.fence})")

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

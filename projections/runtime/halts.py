"""Halts: where a family or reactor could not go on, kept in the documents so that every process can tell."""

from collections.abc import Mapping
from typing import Final

from projections.documents.port import Collection, Documents, Fidelity, Row, Shape
from projections.documents.rules import versioned

HALTS: Final = Collection(family="runtime", name="halts", shape=Shape.ROWS, fidelity=Fidelity.CACHE)


def _id(documents: Documents, family: str, shard: int) -> str:
    return f"{versioned(family, documents.version(family))}/{shard}"


async def record(documents: Documents, family: str, shard: int, checkpoint: int, reason: str) -> None:
    """Halted in front of the event that follows ``checkpoint``."""
    fields: dict[str, str | int] = {"family": family, "shard": shard, "checkpoint": checkpoint, "reason": reason}
    await documents.put(HALTS, [Row(_id(documents, family, shard), checkpoint + 1, fields)])


async def halted(documents: Documents, checkpoints: Mapping[tuple[str, int], int]) -> Mapping[tuple[str, int], str]:
    """Those of the given (family, shard) → checkpoint that are halted, with the reason. One that has moved on since is not."""
    ids = {_id(documents, family, shard): (family, shard) for family, shard in checkpoints}
    found = await documents.get(HALTS, list(ids))
    return {
        ids[id_]: str(fields["reason"])
        for id_, fields in found.items()
        if fields["checkpoint"] == checkpoints[ids[id_]]
    }

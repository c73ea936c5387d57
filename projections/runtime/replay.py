"""Replay: the log folded into an empty document store up to where a live one stands."""

import asyncio
from collections.abc import Sequence

from domain.log.port import EventLog
from projections.documents.port import Documents
from projections.folding import Family
from projections.runtime.filling import Filling, Target, Upto


async def checkpoints_of(documents: Documents, families: Sequence[Family]) -> Upto:
    saved = await asyncio.gather(*(documents.load_checkpoints(family.name) for family in families))
    return {family.name: own for family, own in zip(families, saved, strict=True)}


async def replay(log: EventLog, documents: Documents, families: Sequence[Family], upto: Upto) -> None:
    """Folds every family from the log's beginning up to and including ``upto`` (``checkpoints_of`` the live store). ``documents`` are prepared and empty.

    What is deferred is left out: it writes caches, which are rebuilt by their own builders. Raises HaltedError at an event that a family cannot
    take, LogError at one that cannot be read, ValueError where the documents are not empty.
    """
    if any((await checkpoints_of(documents, families)).values()):
        raise ValueError("a replay begins with empty documents")
    filling = Filling(log, [Target(family, documents) for family in families])
    await filling.run({family.name: upto.get(family.name, {}) for family in families})
    for error in filling.failed.values():
        raise error

"""The start check: these documents were folded from this log, and from no more of it than there is."""

import asyncio
from collections.abc import Sequence
from typing import Final

from domain.envelope import split_sequence
from domain.errors import UnknownEventError
from domain.log.port import EventLog
from projections.documents.port import Documents
from projections.runtime.faults import CheckpointError

LOG_META: Final = "log"


async def require_same_log(log: EventLog, documents: Documents, names: Sequence[str]) -> None:
    """Records the log's identity in empty documents. CheckpointError where they are of another log, or a checkpoint of ``names`` lies ahead of the
    log's head, as after a log was restored from a backup; UnavailableError where either store is out of reach."""
    # Checkpoints first: the head can only have grown by the time it is read.
    saved = dict(zip(names, await asyncio.gather(*(documents.load_checkpoints(name) for name in names)), strict=True))
    await _require_identity(log, documents, empty=not any(saved.values()))
    shards = log.identity.shards
    heads = await asyncio.gather(*(log.head(shard) for shard in range(shards)))
    for name, checkpoints in saved.items():
        for shard, checkpoint in checkpoints.items():
            head = heads[shard] if shard < shards else 0
            if checkpoint > head:
                raise CheckpointError(
                    f"{name} is folded up to {_place(checkpoint)} of shard {shard}, but this log ends at {_place(head)}. "
                    "A log that was restored must begin a new generation, and its documents be rebuilt"
                )
            if not await _is_there(log, shard, checkpoint):
                raise CheckpointError(
                    f"{name} is folded up to {_place(checkpoint)} of shard {shard}, and that generation of the log ended before it. "
                    "Documents of what was lost must be rebuilt: begin with empty documents"
                )


async def _is_there(log: EventLog, shard: int, checkpoint: int) -> bool:
    """Whether the event of a checkpoint is in the log, which only in a generation that has ended can be doubted once its head is higher."""
    if not checkpoint or split_sequence(checkpoint)[0] == log.identity.generation:
        return True
    try:
        found = await log.read(shard, checkpoint - 1, 1)
    except UnknownEventError:
        return True
    return bool(found) and found[0].sequence == checkpoint


async def _require_identity(log: EventLog, documents: Documents, *, empty: bool) -> None:
    identity = log.identity
    recorded = await documents.get_meta(LOG_META)
    if recorded is None and empty:
        await documents.set_meta(LOG_META, {"logId": identity.log_id, "shards": identity.shards})
        return
    log_id, shards = (recorded.get("logId"), recorded.get("shards")) if recorded is not None else ("unknown", "unknown")
    if log_id != identity.log_id or shards != identity.shards:
        raise CheckpointError(
            f"The documents were folded from log {log_id} (shards: {shards}), but this is log {identity.log_id} "
            f"(shards: {identity.shards}). Name the right pair of stores, or begin with empty documents"
        )


def _place(value: int) -> str:
    generation, position = split_sequence(value)
    return f"position {position} (generation {generation})"

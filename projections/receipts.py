"""Receipts: where a command's events went, for commandStatus and for those who ask after a time-out. Kept for a day."""

from collections.abc import Iterable, Mapping

import msgspec

from domain.envelope import Recorded
from domain.events import REGISTRY, Event, GenerationClosed, SegmentPadded
from projections.documents.port import Collection, Documents, Fidelity, Index, Shape
from projections.folding import Family, Fold, Operation, Put

RECEIPTS = Collection(
    "receipts",
    "receipts",
    Shape.ROWS,
    Fidelity.HORIZON,
    # A command may have written two shards (a registration's two claims): one row each.
    (Index("by_command", ("command",), "shard"), Index("by_shard", ("shard",), "at")),
)

KEPT = 24 * 3_600_000_000
"""Microseconds."""
SWEEP_STEP = 1_000
MAX_SHARDS = 1_024
_NEVER = 2**63 - 1


class Recording(msgspec.Struct, frozen=True):
    """Of a command: {shard: sequence} of its last event there, and when the first of these was recorded (microseconds)."""

    positions: Mapping[int, int]
    at: int


class _Receipt(msgspec.Struct, frozen=True):
    shard: int
    position: int
    at: int


def _recorded(recorded: Recorded) -> Iterable[Operation]:
    command = recorded.metadata.command_id
    # Of a command's events in a shard the last one stays: a row gives way to a higher position.
    yield Put(
        RECEIPTS,
        f"{command}-{recorded.shard}",
        {
            "command": command,
            "shard": recorded.shard,
            "position": recorded.sequence,
            "at": recorded.recorded_at,
        },
    )


_OF_THE_LOG: tuple[type[Event], ...] = (SegmentPadded, GenerationClosed)
_FOLDS: Mapping[type[Event], Fold] = {kind: _recorded for kind in REGISTRY.values() if kind not in _OF_THE_LOG}

FAMILY = Family("receipts", (RECEIPTS,), _FOLDS, kept=KEPT)


async def find_recording(documents: Documents, command: str) -> Recording | None:
    """What is known of a command; one find."""
    found = await documents.page(RECEIPTS, "by_command", [command], limit=MAX_SHARDS)
    receipts = [msgspec.convert(row.fields, _Receipt) for row in found]
    if not receipts:
        return None
    return Recording({receipt.shard: receipt.position for receipt in receipts}, min(receipt.at for receipt in receipts))


async def sweep_receipts(documents: Documents, shard: int, now: int, kept: int = KEPT) -> int:
    """Deletes one step of a shard's receipts older than ``kept`` microseconds; says how many: SWEEP_STEP means that there may be more."""
    return await documents.remove(RECEIPTS, "by_shard", [shard], below=now - kept, position=_NEVER, limit=SWEEP_STEP)

"""How events become documents: tails, leases, runners, dead letters, reactors, lag, waits and replay."""

from typing import Final

from projections.documents.port import Collection
from projections.runtime.deadletters import DEAD_LETTERS
from projections.runtime.faults import CheckpointError, HaltedError
from projections.runtime.halts import HALTS
from projections.runtime.housekeeping import Sweeper
from projections.runtime.processes import PROCESSES
from projections.runtime.reactors import Cascade, Cause, Perform
from projections.runtime.runtime import Runtime, RuntimeStatus, Tuning
from projections.runtime.sharing import WORKERS
from projections.runtime.skips import SKIPS

COLLECTIONS: Final[tuple[Collection, ...]] = (DEAD_LETTERS, HALTS, PROCESSES, SKIPS, WORKERS)
"""The runtime's own, prepared with those of the families."""

__all__ = [
    "COLLECTIONS",
    "Cascade",
    "Cause",
    "CheckpointError",
    "HaltedError",
    "Perform",
    "Runtime",
    "RuntimeStatus",
    "Sweeper",
    "Tuning",
]

"""What a failure is called in logs and dead letters: its type and place. Its message may hold what a person typed, and is told only where a store is
out of reach: then it is the adapter's own sentence, and the reason is what an operator needs.

TidingsError
├── HaltedError        a family or reactor cannot go on in a shard
└── CheckpointError    these documents were not folded from this log: fatal at start
"""

import traceback

from domain.errors import TidingsError, UnavailableError


class HaltedError(TidingsError):
    """Nothing more is folded here until an operator has looked; code HALTED."""

    code = "HALTED"


class CheckpointError(TidingsError):
    """The documents are of another log, or ahead of this one: name the right stores, or rebuild the documents; code CHECKPOINT."""

    code = "CHECKPOINT"


def describe(error: BaseException) -> str:
    """``KeyError at posts.py:81 in _created``; the code too where the project raised it on purpose."""
    name = type(error).__name__
    if isinstance(error, TidingsError):
        name = f"{name} ({error.code})"
    frames = traceback.extract_tb(error.__traceback__)
    if frames:
        last = frames[-1]
        name = f"{name} at {last.filename.rpartition('/')[2]}:{last.lineno} in {last.name}"
    return f"{name}: {error}" if isinstance(error, UnavailableError) else name

"""What can be refused, with the stable code that a client sees.

TidingsError
├── Refusal                 an expected failure of a command: one or more problems, nothing appended
├── UnavailableError        a store cannot be reached; the command was not sent (code UNAVAILABLE)
├── OverloadedError         a bounded queue is full; the command was not sent (code RATE_LIMITED)
├── OutcomeUnknownError     the command was sent and may have been applied: ask commandStatus
└── LogError                the log itself cannot be trusted or read: fatal for what met it
    ├── UnknownEventError   a type or schema version newer than this program
    ├── CorruptStreamError  two events of one version, or a gap
    └── TransferError       an export or import that cannot go on: a file that is damaged, foreign or in the way
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """Codes of expected failures; names and meaning are part of the API."""

    NOT_FOUND = "NOT_FOUND"
    FORBIDDEN = "FORBIDDEN"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    INVALID = "INVALID"
    TOO_LONG = "TOO_LONG"
    TOO_SHORT = "TOO_SHORT"
    TOO_MANY = "TOO_MANY"
    BLOCKED = "BLOCKED"
    LOCKED = "LOCKED"
    DUPLICATE = "DUPLICATE"
    CONFLICT = "CONFLICT"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    RATE_LIMITED = "RATE_LIMITED"
    LIMIT_REACHED = "LIMIT_REACHED"
    EXPIRED = "EXPIRED"
    CURSOR_INVALID = "CURSOR_INVALID"
    CURSOR_TOO_OLD = "CURSOR_TOO_OLD"
    UNAVAILABLE = "UNAVAILABLE"


class TidingsError(Exception):
    """Everything that Tidings raises on purpose; ``code`` is stable."""

    code: str = "INTERNAL"


@dataclass(frozen=True, slots=True)
class Problem:
    """One expected failure: what is wrong, its code, and the path of the input field at fault (camelCase, empty: the whole input)."""

    code: Code
    message: str
    field: tuple[str, ...] = ()


class Refusal(TidingsError):  # noqa: N818 - an expected answer of the domain, not a fault
    """The command is refused for the problems it carries (at least one); nothing was appended."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(p.message for p in problems))
        self.problems = tuple(problems)
        self.code = self.problems[0].code


def refuse(code: Code, message: str, *field: str) -> Refusal:
    """A refusal with a single problem: ``raise refuse(Code.INVALID, "…", "userId")``."""
    return Refusal([Problem(code, message, field)])


class UnavailableError(TidingsError):
    code = "UNAVAILABLE"


class OverloadedError(TidingsError):
    code = "RATE_LIMITED"


class OutcomeUnknownError(TidingsError):
    code = "UNKNOWN"

    def __init__(self, command_id: str) -> None:
        super().__init__(f"command {command_id} was sent and its outcome is not known yet; ask commandStatus")
        self.command_id = command_id


class LogError(TidingsError):
    code = "LOG"


class UnknownEventError(LogError):
    code = "UNKNOWN_EVENT"


class CorruptStreamError(LogError):
    code = "CORRUPT_STREAM"


class TransferError(LogError):
    code = "TRANSFER"

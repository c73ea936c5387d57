"""The one place where an exception becomes an error that a client sees: a code, a message, and never more than that."""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import structlog
from graphql import GraphQLError

from domain.errors import (
    Code,
    OutcomeUnknownError,
    OverloadedError,
    Refusal,
    UnavailableError,
)

log = structlog.get_logger("tidings.errors")


class RequestCode(StrEnum):
    """Codes that a request can earn besides those of domain.errors.Code."""

    BAD_REQUEST = "BAD_REQUEST"
    COST_EXCEEDED = "COST_EXCEEDED"
    INTERNAL = "INTERNAL"


INPUT: Final = re.compile(
    r"(?:(?<='), found: \{|(?<= be an object), found: |(?<=\?) Found: \{|(?<= value): [\[{]).*", re.DOTALL
)
"""The end of graphql-core's messages about an input object, what stands where one should, and what stands where a scalar should and may hold one."""
HTTP_STATUS: Final[dict[str, int]] = {
    Code.UNAUTHENTICATED: 401,
    Code.EXPIRED: 401,
    Code.FORBIDDEN: 403,
    Code.RATE_LIMITED: 429,
    RequestCode.COST_EXCEEDED: 429,
    Code.UNAVAILABLE: 503,
    RequestCode.INTERNAL: 500,
}
"""By code, for an operation that was not begun, told to clients that accept application/graphql-response+json; 400 for the others."""


class CodedError(GraphQLError):
    """An error of the request itself, before anything was executed."""

    def __init__(self, code: Code | RequestCode, message: str, **details: object) -> None:
        super().__init__(message, extensions={"code": code.value, **details})


class RequestError(Exception):
    """An operation that was not begun, or a subscription that failed for good. ``malformed``: its text is no GraphQL at all; ``misplaced``: it cannot
    be sent in this way."""

    def __init__(self, errors: Sequence[GraphQLError], *, malformed: bool = False, misplaced: bool = False) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = errors
        self.malformed = malformed
        self.misplaced = misplaced

    def payload(self, request_id: str) -> dict[str, object]:
        return {"errors": [format_error(error, request_id) for error in self.errors]}


def format_error(error: GraphQLError, request_id: str) -> dict[str, object]:
    """message, locations, path and extensions.code. What was not foreseen is INTERNAL: logged here with its traceback, told only by its request id."""
    message, extensions = _explain(error, request_id)
    formatted: dict[str, object] = {"message": message}
    if error.locations:
        formatted["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
    if error.path:
        formatted["path"] = error.path
    formatted["extensions"] = extensions
    return formatted


def _explain(error: GraphQLError, request_id: str) -> tuple[str, dict[str, object]]:
    cause = _cause(error)
    if isinstance(cause, Refusal):
        extensions: dict[str, object] = {"code": cause.code}
        if cause.problems[0].field:
            extensions["field"] = list(cause.problems[0].field)
        return str(cause), extensions
    if isinstance(cause, UnavailableError):
        return "a store is out of reach: try again", {"code": Code.UNAVAILABLE.value}
    if isinstance(cause, OutcomeUnknownError):
        return str(cause), {"code": Code.UNAVAILABLE.value, "commandId": cause.command_id}
    if isinstance(cause, OverloadedError):
        return "too much is being asked at a time: try again", {"code": Code.RATE_LIMITED.value}
    # An error with nodes and no path is of the request (a variable that does not fit), whatever it was made from.
    if cause is None or (error.path is None and error.nodes):
        return _without_input(error.message), {"code": RequestCode.BAD_REQUEST.value, **(error.extensions or {})}
    log.error("unexpected error", request_id=request_id, path=error.path, exc_info=cause)
    return f"internal error; report it with this id: {request_id}", {
        "code": RequestCode.INTERNAL.value,
        "requestId": request_id,
    }


def _without_input(message: str) -> str:
    """What does not fit is told without the object that it is in: others of its fields may be secrets, and clients keep such messages."""
    told = INPUT.sub("", message)
    return told if told == message or told.endswith("?") else f"{told}."


def _cause(error: GraphQLError) -> BaseException | None:
    """What was raised in the first place: a GraphQLError may wrap another."""
    cause = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause

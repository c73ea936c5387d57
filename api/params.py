"""What a request says, read strictly: the four parameters of GraphQL over HTTP and the messages of graphql-transport-ws.

Unknown keys are ignored, as both protocols ask; everything else that does not fit is a ParamsError, whatever its shape or depth.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from api.operations import Params

T = TypeVar("T")


class ParamsError(Exception):
    """The request is not one; the text says why and may be shown."""


class _Body(msgspec.Struct, frozen=True, rename="camel"):
    query: str | None = None
    operation_name: str | None = None
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None

    def params(self) -> Params:
        if self.query is None:
            raise _no_query(self.extensions)
        return Params(self.query, self.operation_name or None, self.variables or {}, self.extensions or {})


class Message(msgspec.Struct, frozen=True):
    """One frame from a client. ``payload`` is left as it came: its form depends on ``type``."""

    type: str
    id: str | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")


_body = msgspec.json.Decoder(_Body)
_message = msgspec.json.Decoder(Message)
_object = msgspec.json.Decoder(dict[str, Any] | None)


def read_body(data: bytes | msgspec.Raw) -> Params:
    return _guarded(_body, data).params()


def read_query_string(query: Mapping[str, str]) -> Params:
    variables, extensions = (_guarded(_object, query.get(name) or "null") for name in ("variables", "extensions"))
    return _Body(query.get("query"), query.get("operationName"), variables, extensions).params()


def read_message(data: str) -> Message:
    return _guarded(_message, data)


def read_object(data: msgspec.Raw) -> Mapping[str, object]:
    """A payload that is an object or absent."""
    return _guarded(_object, data) or {}


def _guarded(decoder: msgspec.json.Decoder[T], data: bytes | str | msgspec.Raw) -> T:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise ParamsError(str(error)) from None
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ParamsError(f"This is not JSON: {error}") from None
    except RecursionError:
        raise ParamsError("JSON is nested too deeply") from None


def _no_query(extensions: Mapping[str, Any] | None) -> ParamsError:
    """Clients of automatic persisted queries know the first by its words, and then send the query itself."""
    return ParamsError("PersistedQueryNotSupported" if "persistedQuery" in (extensions or {}) else "`query` is missing")

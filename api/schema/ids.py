"""Global ids: one letter for the kind, an underscore, the bare id. Opaque to clients, and of one kind only."""

from enum import StrEnum
from typing import Final

from domain.errors import Code, refuse
from domain.ids import is_id


class Kind(StrEnum):
    """What a global id can name; the value is its prefix."""

    USER = "u"
    POST = "p"
    COMMAND = "c"
    SESSION = "s"
    VIEWER = "v"


_KINDS: Final = {kind.value: kind for kind in Kind}
_NAMES: Final = {
    Kind.USER: "user",
    Kind.POST: "post",
    Kind.COMMAND: "command",
    Kind.SESSION: "session",
    Kind.VIEWER: "viewer",
}


def global_id(kind: Kind, bare: str) -> str:
    return f"{kind}_{bare}"


def kind_and_bare(text: str) -> tuple[Kind, str] | None:
    """What an id of any kind names, or None where it is no id: nothing has it then."""
    prefix, _, bare = text.partition("_")
    kind = _KINDS.get(prefix)
    return (kind, bare) if kind is not None and is_id(bare) else None


def bare_id(kind: Kind, text: str, field: str) -> str:
    """The bare id of one kind. Refusal NOT_FOUND at ``field`` for any other text: nothing of that kind has it."""
    parsed = kind_and_bare(text)
    if parsed is None or parsed[0] is not kind:
        raise refuse(Code.NOT_FOUND, f"There is no such {_NAMES[kind]}.", field)
    return parsed[1]

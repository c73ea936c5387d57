"""What changes do to a document in memory: the meaning that every adapter must give them, and how to fold an event over a document in hand."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeGuard

from projections.documents.port import Change, Doc, Document, Value


class Kind(StrEnum):
    """What a touch does to its field."""

    SET = "set"
    UNSET = "unset"
    INC = "inc"
    MAX = "max"
    MIN = "min"


class Touch(NamedTuple):
    """One field's part of a change; ``path`` is the field's name split at its dots."""

    path: tuple[str, ...]
    kind: Kind
    value: Value


@lru_cache(maxsize=4096)
def split(name: str) -> tuple[str, ...]:
    """A field's path. ValueError where a part of the name is no identifier or begins with an underscore."""
    path = tuple(name.split("."))
    if not all(part.isidentifier() and not part.startswith("_") for part in path):
        raise ValueError(f"a field cannot be named {name!r}")
    return path


@lru_cache(maxsize=4096)
def _check_apart(*names: str) -> None:
    paths = sorted(split(name) for name in names)
    for path, following in pairwise(paths):
        if following[: len(path)] == path:
            raise ValueError(f"one change touches both {'.'.join(path)} and {'.'.join(following)}")


@lru_cache(maxsize=4096)
def _are_flat(*names: str) -> bool:
    """Whether none reaches into another field. ValueError as of ``touches``."""
    _check_apart(*names)
    return all(len(split(name)) == 1 for name in names)


def touches(change: Change) -> list[Touch]:
    """A change field by field, in order. ValueError where its fields are not apart."""
    numbers: tuple[tuple[Kind, Mapping[str, int] | None], ...] = (
        (Kind.INC, change.inc),
        (Kind.MAX, change.max),
        (Kind.MIN, change.min),
    )
    named = [(name, Kind.SET, value) for name, value in (change.set or {}).items()]
    named += [(name, Kind.UNSET, None) for name in change.unset]
    named += [(name, kind, value) for kind, fields in numbers for name, value in (fields or {}).items()]
    _check_apart(*(name for name, _, _ in named))
    return [Touch(split(name), kind, value) for name, kind, value in named]


def altered(document: Document, changes: Iterable[Change]) -> dict[str, Value]:
    """The document after the changes; ``document`` itself stays as it is."""
    fields = dict(document)
    for change in changes:
        if change.set and _only_sets(change) and _are_flat(*change.set):
            # Nearly all changes that make a document, in a twentieth of the time.
            fields.update(change.set)
        else:
            touch_all(fields, touches(change))
    return fields


def _only_sets(change: Change) -> bool:
    return not (change.unset or change.inc or change.max or change.min)


def foreseen(document: Document, guard: int, doc: Doc) -> dict[str, Value]:
    """The document after those changes of ``doc`` that lie above ``guard``, the highest position of its shard that the document holds already."""
    return altered(document, [change for position, changes in doc.changes if position > guard for change in changes])


def touch_all(fields: dict[str, Value], all_touches: Iterable[Touch]) -> None:
    """Alters ``fields`` in place, but no value inside: those may be the caller's own."""
    for touch in all_touches:
        _touch(fields, touch)


def _touch(fields: dict[str, Value], touch: Touch) -> None:
    *parents, name = touch.path
    for parent in parents:
        inside = fields.get(parent)
        if not isinstance(inside, dict):
            if touch.kind is Kind.UNSET:
                return
            inside = {}
        copy = dict(inside)
        fields[parent] = copy
        fields = copy
    if touch.kind is Kind.UNSET:
        fields.pop(name, None)
    elif touch.kind is Kind.SET:
        fields[name] = touch.value
    else:
        fields[name] = _counted(touch.kind, fields.get(name), touch.value)


def is_number(value: Value) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _counted(kind: Kind, before: Value, value: Value) -> Value:
    if not is_number(value):
        raise ValueError(f"{kind} takes a number, not {value!r}")
    if not is_number(before):
        return value
    if kind is Kind.INC:
        return before + value
    return max(before, value) if kind is Kind.MAX else min(before, value)

"""What a comparison of documents has found, for a terminal and for scripts."""

from collections.abc import Sequence
from typing import Final

import msgspec
from rich.console import Console
from rich.markup import escape

from projections.documents.port import Value
from projections.runtime.comparing import Absent, Difference, Verdict, by_document

LONGEST: Final = 200
"""Letters of a value."""
SHOWN: Final = 20
"""Documents that are written out on a terminal; ``--json`` has up to a thousand."""


class Differing(msgspec.Struct, frozen=True, kw_only=True):
    """``field`` is empty where the whole document is in one of the two only; null stands for what is absent too."""

    collection: str
    id: str
    field: str
    live: Value
    replayed: Value


class Found(msgspec.Struct, frozen=True, kw_only=True):
    compared: int
    equal: bool
    differences: Sequence[Differing]
    more: bool
    unsettled: Sequence[str]


def found(verdict: Verdict) -> Found:
    return Found(
        compared=verdict.compared,
        equal=not verdict.differences,
        differences=[_differing(one) for one in verdict.differences],
        more=verdict.cut,
        unsettled=verdict.unsettled,
    )


def show(console: Console, family: str, verdict: Verdict) -> None:
    documents = by_document(verdict.differences)
    said = "no differences" if not documents else f"[bold red]{len(documents):,} differ[/]"
    more = ", and there may be more" if verdict.cut else ""
    console.print(f"[bold]{family}[/]: {verdict.compared:,} documents compared, {said}{more}.")
    for name, fields in list(documents.items())[:SHOWN]:
        console.print(f"  {escape(name)}")
        for one in fields:
            console.print(f"    {one.field or 'document'}: {escape(_said(one.live))} → {escape(_said(one.replayed))}")
    if len(documents) > SHOWN:
        console.print(f"  … and {len(documents) - SHOWN:,} more: --json has them.")
    if verdict.unsettled:
        console.print(f"  {len(verdict.unsettled):,} documents moved all the while and could not be compared.")


def _differing(one: Difference) -> Differing:
    return Differing(
        collection=one.collection, id=one.id, field=one.field, live=_value(one.live), replayed=_value(one.replayed)
    )


def _value(value: Value | Absent) -> Value:
    return None if isinstance(value, Absent) else value


def _said(value: Value | Absent) -> str:
    text = "absent" if isinstance(value, Absent) else msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"

"""Families as arguments of commands."""

from collections.abc import Sequence
from typing import Annotated

import typer

from projections.families import ALL
from projections.folding import Family

Families = Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(family.name for family in ALL)}.")]


def chosen(names: Sequence[str] | None, every: bool) -> Sequence[Family]:
    """The named families, or all, in the order in which they are declared. typer.BadParameter for one that there is not, or none."""
    unknown = set(names or ()) - {family.name for family in ALL}
    if unknown:
        raise typer.BadParameter(f"there is no family {', '.join(sorted(unknown))}")
    if not names and not every:
        raise typer.BadParameter("name one or more families, or give --all")
    return [family for family in ALL if every or family.name in (names or ())]

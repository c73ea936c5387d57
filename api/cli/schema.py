"""``tidings schema``: the schema file, written from the code."""

from pathlib import Path
from typing import Annotated, Final

import typer

from api.cli.running import console

SCHEMA_FILE: Final = Path(__file__).parents[2] / "docs" / "schema.graphql"


def schema(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether the file is what the code gives; exit code 1 if not.")
    ] = False,
    show: Annotated[bool, typer.Option("--print", help="Write to standard output instead of the file.")] = False,
    file: Annotated[Path, typer.Option(help="The schema file.")] = SCHEMA_FILE,
) -> None:
    """Write the GraphQL schema file from the code, or check that it is up to date."""
    from api.schema.schema import schema as built  # noqa: PLC0415 (the other commands start without it)

    text = built.as_str().rstrip() + "\n"
    if show:
        typer.echo(text, nl=False)
    elif not check:
        file.write_text(text)
        console.print(f"Wrote {file}")
    elif not file.exists() or file.read_text() != text:
        console.print(f"{file} is not what the code gives: run `tidings schema`")
        raise typer.Exit(1)

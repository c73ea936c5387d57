"""``tidings secrets``: keys for a cluster, and the change of the master key."""

from typing import Annotated, Final

import msgspec
import typer

from api.cli.running import begin_on_log, console, run, stopping
from api.cli.transfers import bar, master_keys, opened, until
from api.secrets import new_key
from api.settings import Settings
from api.transfer.rotation import Rotation, rotate, summary

INTERRUPTED: Final = 130

secrets = typer.Typer(
    name="secrets",
    help="Print three fresh secrets as environment variables; or change the master key of a log.",
    invoke_without_command=True,
)


@secrets.callback()
def fresh(context: typer.Context) -> None:
    """Print three fresh secrets as environment variables. Keep them: without MASTER_KEY and SERVER_KEY a log cannot be read or written again."""
    if context.invoked_subcommand is None:
        for variable in ("MASTER_KEY", "SERVER_KEY", "TOKEN_KEYS"):
            typer.echo(f"{variable}={new_key()}")


@secrets.command("rotate-master")
def rotate_master(
    *,
    check: Annotated[bool, typer.Option("--check", help="Only count: change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Wrap every subject key under the first key of MASTER_KEY, so that those after it may be dropped.

    Every process must have both keys before it begins (docs/operations.md). Safe beside running servers, and to break off and repeat.
    Exit code 1 while a key is left that needs a retired master key.
    """
    found = run(_rotate(begin_on_log(), check=check))
    if as_json:
        typer.echo(msgspec.json.encode(msgspec.to_builtins(found) | {"done": found.done}).decode())
    else:
        for line in summary(found):
            console.print(line)
    if not found.done:
        raise typer.Exit(1)


async def _rotate(settings: Settings, *, check: bool) -> Rotation:
    found = Rotation()
    async with opened(settings) as (archive, given):
        with stopping() as stop, bar("Wrapping keys", None, unit="keys") as shown:
            work = rotate(archive, master_keys(given), lambda n: shown.advance(n, n), found, check=check)
            if not await until(stop, work):
                console.print(
                    f"Interrupted after {found.rewrapped:,} keys: the same command goes on where this one ended."
                )
                raise typer.Exit(INTERRUPTED)
    return found

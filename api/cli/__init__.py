"""The command line: ``tidings`` and what it can do. Exit codes: 0 done, 1 failed, 2 wrong use or settings, 3 a store is not there, 4 the port is not free."""

import os
import sys
from typing import Final

import typer
from rich.console import Console
from rich.markup import escape

from api.cli import (
    dead_letters,
    doctor,
    events,
    log,
    migrate,
    rebuild,
    schema,
    secrets,
    seed,
    serve,
    status,
    verify,
    work,
)
from api.server import PortError
from api.settings import SettingsError
from api.stores import StoreError
from domain.errors import TidingsError, UnavailableError
from projections.runtime import CheckpointError

EXIT_CODES: Final[dict[type[Exception], int]] = {
    SettingsError: 2,
    StoreError: 3,
    CheckpointError: 3,
    UnavailableError: 3,
    PortError: 4,
    TidingsError: 1,
    OSError: 1,
}
INTERRUPTED: Final = 130

app = typer.Typer(
    name="tidings",
    help="A social platform behind one GraphQL API. Every setting is an environment variable: see `tidings doctor --settings`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(serve.serve)
app.command()(work.work)
app.command()(migrate.migrate)
app.command()(schema.schema)
app.command()(status.status)
app.command()(rebuild.rebuild)
app.command()(verify.verify)
app.command()(doctor.doctor)
app.command()(seed.seed)
app.add_typer(secrets.secrets)
app.add_typer(events.events)
app.add_typer(log.log)
app.add_typer(dead_letters.dead_letters_app)


def main() -> None:
    """Runs the command line. An error that was foreseen is a sentence on standard error and an exit code, never a traceback."""
    _open_standard_streams()
    try:
        app()
    except tuple(EXIT_CODES) as error:
        Console(stderr=True, highlight=False).print(f"[bold red]tidings:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind)))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _open_standard_streams() -> None:
    """Those that are closed (``tidings status >&-``) are opened on nothing: else the first file that is opened would take their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            # The lowest that is free, and those below are open.
            setattr(sys, name, os.fdopen(descriptor, "w" if number else "r"))


__all__ = ["app", "main"]

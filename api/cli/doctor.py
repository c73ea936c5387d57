"""``tidings doctor``: looks for what would keep Tidings from working, and says what to do about it."""

import sys
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from api.cli.running import begin, console, run
from api.secrets import load_secrets
from api.settings import Settings, SettingsError, without_password
from api.stores import StoreError, open_documents, open_log

OLDEST = (3, 11)


def doctor(
    *,
    settings: Annotated[
        bool, typer.Option("--settings", help="List every setting with its meaning and its value.")
    ] = False,
) -> None:
    """Check this machine, the settings and both stores. Exit code 1 if something is wrong."""
    found = begin()
    if settings:
        console.print(_settings_table(found))
        return
    if not run(_examine(found)):
        raise typer.Exit(1)


async def _examine(settings: Settings) -> bool:
    good = _tell("Python", sys.version_info >= OLDEST, f"{sys.version_info.major}.{sys.version_info.minor}")
    good &= _tell("mode", True, "embedded" if settings.embedded else "cluster")
    try:
        secrets = load_secrets(settings)
    except SettingsError as error:
        return _tell("secrets", False, str(error))
    good &= _tell("secrets", True, "all three")
    try:
        log = await open_log(settings, secrets)
    except StoreError as error:
        return _tell("log", False, str(error))
    identity = log.identity
    good &= _tell(
        "log",
        True,
        f"{without_password(settings.log_address)}: {identity.shards} shards, generation {identity.generation}",
    )
    try:
        documents = await open_documents(settings)
        good &= _tell("documents", True, without_password(settings.documents_address))
        await documents.close()
    except StoreError as error:
        good = _tell("documents", False, str(error))
    finally:
        await log.close()
    return good


def _tell(part: str, good: bool, text: str) -> bool:
    console.print(f"{'[green]ok[/]  ' if good else '[red]no[/]  '} {part:<10} {text}")
    return good


def _settings_table(settings: Settings) -> Table:
    table = Table("variable", "value", "meaning", box=None, header_style="bold")
    for name, field in type(settings).model_fields.items():
        value = str(getattr(settings, name))
        shown = without_password(value) if name.endswith("_url") else value
        table.add_row(name.upper(), escape(shown), escape(field.description or ""))
    return table

"""``tidings verify``: compares the live documents with a replay of the log."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from api.cli.families import Families, chosen
from api.cli.findings import found, show
from api.cli.progress_bars import bars
from api.cli.running import begin_on_log, console, run
from api.services import open_services
from api.settings import Settings
from api.stores import open_scratch_documents
from projections.folding import Family
from projections.runtime.comparing import Verdict
from projections.runtime.editions import Editions
from projections.runtime.verifying import Verification

FOR_EVER: Final = float("inf")


def verify(
    families: Families = None,
    *,
    directory: Annotated[
        Path | None, typer.Option(help="Where the replay's temporary file is made; it grows as large as the documents.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: what was found, by family.")] = False,
) -> None:
    """Compare the live documents with a replay of the log into a temporary file; all families unless some are named.

    Workers may go on meanwhile. Exit code 1 if anything differs.
    """
    wanted = chosen(families, every=not families)
    verdicts = run(_verify(begin_on_log(), wanted, directory))
    if as_json:
        typer.echo(msgspec.json.encode({family: found(verdict) for family, verdict in verdicts.items()}).decode())
    else:
        for family, verdict in verdicts.items():
            show(console, family, verdict)
    if any(verdict.differences for verdict in verdicts.values()):
        raise typer.Exit(1)


async def _verify(settings: Settings, families: Sequence[Family], directory: Path | None) -> Mapping[str, Verdict]:
    async with open_services(settings) as services:
        # It never confirms a switch: what it reads is kept for it until it ends.
        editions = Editions(services.documents, linger=FOR_EVER)
        async with editions.watched():
            live = editions.current.documents
            with tempfile.TemporaryDirectory(prefix="tidings-verify-", dir=directory) as folder, bars() as watcher:
                async with open_scratch_documents(Path(folder) / "replay.db") as scratch:
                    filled = [family for family in families if live.version(family.name)]
                    verification = Verification(
                        services.log, live, scratch, filled, watcher=watcher, clock=services.now
                    )
                    return await verification.run()

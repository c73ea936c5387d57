"""``tidings rebuild``: fills families of documents anew from the log, beside the live ones."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Final

import msgspec
import typer
from rich.table import Table

from api.cli.families import Families, chosen
from api.cli.findings import Found, found, show
from api.cli.progress_bars import bars
from api.cli.running import begin_on_log, console, run
from api.services import Services, open_services
from api.settings import Settings
from projections.folding import Family
from projections.runtime.filling import Pace, distance
from projections.runtime.leases import TTL, Tenure, claim
from projections.runtime.rebuilding import LEASE, Outcome, Rebuild
from projections.runtime.replay import checkpoints_of
from projections.runtime.versions import Asker, RebuildError, aborted, adopt, change, read_versions

PATIENCE: Final = TTL + 2
"""Seconds in which the lease of one that was killed runs out."""


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What ``--json`` prints of a family."""

    family: str
    version: int
    switched: bool
    halted: str | None
    comparison: Found | None


def rebuild(
    families: Families = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All families.")] = False,
    throttle: Annotated[
        float, typer.Option(min=0, help="Events a second at most, over all families and shards; 0: no bound.")
    ] = 0,
    accept_differences: Annotated[
        bool,
        typer.Option(
            "--accept-differences", help="The new documents are meant to differ: switch without comparing them."
        ),
    ] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="Give up the rebuild of these families; the live ones stay as they are.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without it only what would be done is said.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one entry for each family.")] = False,
) -> None:
    """Fill families anew from the log beside the live ones, compare them, and switch.

    Queries go on with the live documents until the switch. May be broken off, killed and repeated: it goes on where it was. Exit code 1 if a family was not
    switched: it differs, or met an event that it cannot take.
    """
    wanted = chosen(families, every)
    settings = begin_on_log()
    if abort:
        run(_abort(settings, wanted))
        return
    if not yes:
        run(_plan(settings, wanted))
        return
    outcomes = run(_rebuild(settings, wanted, Pace(throttle), accept_differences))
    if as_json:
        typer.echo(msgspec.json.encode([_rebuilt(outcome) for outcome in outcomes]).decode())
    else:
        for outcome in outcomes:
            _tell(outcome)
    if not all(outcome.switched for outcome in outcomes):
        raise typer.Exit(1)


async def _rebuild(
    settings: Settings, families: Sequence[Family], pace: Pace, accept_differences: bool
) -> Sequence[Outcome]:
    async with open_services(settings) as services:
        await adopt(services.log, services.documents, tuple(families))
        async with _tenure(services) as tenure:
            with bars() as watcher:
                work = Rebuild(
                    services.log,
                    services.documents,
                    families,
                    tenure,
                    by=Asker.OPERATOR,
                    differ=accept_differences,
                    pace=pace,
                    watcher=watcher,
                    clock=services.now,
                )
                return await work.run()


@asynccontextmanager
async def _tenure(services: Services) -> AsyncIterator[Tenure]:
    """The lease of rebuilds. RebuildError while another process has it."""
    holder, until = f"rebuild-{os.getpid()}-{os.urandom(4).hex()}", time.monotonic() + PATIENCE
    while (tenure := await claim(services.documents, LEASE, holder, TTL, time.monotonic)) is None:
        if time.monotonic() > until:
            raise RebuildError("another process rebuilds: let it end, or end it")
        await asyncio.sleep(0.5)
    keep = asyncio.create_task(tenure.keep())
    try:
        yield tenure
    finally:
        keep.cancel()
        await asyncio.gather(keep, return_exceptions=True)
        await tenure.release()


async def _abort(settings: Settings, families: Sequence[Family]) -> None:
    async with open_services(settings) as services:
        for family in families:
            await change(services.documents, family.name, aborted)
            console.print(f"The rebuild of {family.name} is aborted; the workers clear away what it has filled.")


async def _plan(settings: Settings, families: Sequence[Family]) -> None:
    async with open_services(settings) as services:
        versions = await read_versions(services.documents)
        saved = await checkpoints_of(services.documents, families)
        table = Table("family", "live", "events to fold", "on its way", box=None, header_style="bold")
        for family in families:
            standing = versions.of(family.name)
            build = standing.build
            way = f"version {build.version}, {build.phase.value}" if build is not None else ""
            left = distance({}, {family.name: saved[family.name]})
            table.add_row(family.name, str(standing.live or "none"), f"{left:,}", way)
    console.print(table)
    console.print("Nothing was done. With --yes these are filled anew and switched.")


def _rebuilt(outcome: Outcome) -> Rebuilt:
    return Rebuilt(
        family=outcome.family,
        version=outcome.version,
        switched=outcome.switched,
        halted=str(outcome.halted) if outcome.halted is not None else None,
        comparison=found(outcome.verdict) if outcome.verdict is not None else None,
    )


def _tell(outcome: Outcome) -> None:
    if outcome.halted is not None:
        console.print(f"[bold red]{outcome.family}[/] stopped: {outcome.halted}")
        console.print("  Repair the fold and repeat, or pass the event over with `tidings dead-letters skip`.")
        return
    if outcome.verdict is not None:
        show(console, outcome.family, outcome.verdict)
    if outcome.switched:
        console.print(f"[bold]{outcome.family}[/] is switched to version {outcome.version}.")
    else:
        console.print(
            f"[bold red]{outcome.family}[/] differs and is not switched. Version {outcome.version} is folded on beside the live one: "
            "repeat with --accept-differences to switch to it, or with --abort to give it up."
        )

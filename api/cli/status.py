"""``tidings status``: how far every projection is."""

from typing import Annotated

import msgspec
import typer
from rich.table import Table

from api.cli.running import begin_on_log, console, run
from api.health import NAMES
from api.services import Services, open_services
from api.settings import Settings
from domain.envelope import split_sequence
from projections.runtime.lag import ProjectionStatus, projection_status
from projections.runtime.progress import State


def status(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, one entry for each projection and shard.")
    ] = False,
) -> None:
    """Show how far each projection has folded the log. Exit code 1 if one has halted, has dead letters, or has folded more than the log holds."""
    statuses = run(_statuses(begin_on_log()))
    if as_json:
        typer.echo(msgspec.json.encode(statuses).decode())
    else:
        console.print(_table(statuses))
    if any(one.state is not State.LIVE or _ahead(one) for one in statuses):
        raise typer.Exit(1)


def _ahead(one: ProjectionStatus) -> bool:
    """As after the log was restored from a backup: see Backup and restore in docs/operations.md."""
    return one.checkpoint > one.head


async def _statuses(settings: Settings) -> list[ProjectionStatus]:
    async with open_services(settings) as services:
        return await read_statuses(services)


async def read_statuses(services: Services) -> list[ProjectionStatus]:
    return list(await projection_status(services.log, services.documents, NAMES, clock=services.now))


def _table(statuses: list[ProjectionStatus]) -> Table:
    table = Table(
        "projection",
        "folded",
        "events behind",
        "seconds behind",
        "state",
        "dead letters",
        box=None,
        header_style="bold",
    )
    for name in dict.fromkeys(one.name for one in statuses):
        own = [one for one in statuses if one.name == name]
        folded = sum(split_sequence(one.checkpoint)[1] for one in own)
        seconds = max((one.lag_seconds or 0.0 for one in own), default=0.0)
        worst = next((one for one in own if one.state is not State.LIVE), own[0])
        state = worst.state.value + (f": shard {worst.shard}, {worst.reason}" if worst.reason else "")
        if any(_ahead(one) for one in own):
            state = "ahead of the log"
        letters = sum(one.dead_letters for one in own)
        table.add_row(
            name, f"{folded:,}", f"{sum(one.lag_events for one in own):,}", f"{seconds:.1f}", state, str(letters)
        )
    return table

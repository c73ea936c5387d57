"""`python -m benchmarks`: starts the real servers, runs the groups, prints each figure as a ratio to its floor and writes benchmarks/latest.json."""

import logging
import resource
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
import structlog
import typer
from rich.table import Table

from api.cli.running import console, run
from benchmarks import documents, growth, http, lag, live, log, memory, queries, writers
from benchmarks._result import Result
from tests.servers import Addresses, running_servers

Group = Callable[[Addresses, bool], Awaitable[Mapping[str, Result]]]


async def _log(addresses: Addresses, scale: bool) -> Mapping[str, Result]:
    measured = {**await log.run(addresses, scale), **await writers.run(addresses, scale)}
    return {**measured, **await growth.run(addresses, scale)}


GROUPS: Mapping[str, Group] = {
    "log": _log,
    "documents": documents.run,
    "lag": lag.run,
    "http": http.run,
    "live": live.run,
    "memory": memory.run,
    "queries": queries.run,
}
"""By the name that --only takes; fanout.* and projection.* are measured by ``documents``."""

SLOW: Final = ("queries",)
"""Groups that run where they are asked for, or with --scale."""

LATEST = Path(__file__).parent / "latest.json"


def _group_of(name: str) -> str:
    """The group that a figure's (or a group's) name belongs to."""
    prefix = name.partition(".")[0]
    return "documents" if prefix in ("fanout", "projection") else prefix


def main(
    only: Annotated[
        str, typer.Option(help="Run one group, or the group of one figure: log, fanout, http.home_feed_vs_documents …")
    ] = "",
    scale: Annotated[bool, typer.Option(help="Also run what takes long: large data, several processes.")] = False,
) -> None:
    """Measure Tidings against raw floors in the same run; quote the ratios, for machines differ."""
    wanted = _group_of(only) if only else ""
    if wanted and wanted not in GROUPS:
        raise typer.BadParameter(f"there is no group {wanted}; there are {', '.join(GROUPS)}", param_hint="--only")
    # What a worker says of its shards is no figure.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    results: dict[str, Result] = {}
    with running_servers() as addresses:
        for name, group in GROUPS.items():
            if wanted == name or (not wanted and (scale or name not in SLOW)):
                began = time.monotonic()
                console.print(f"[dim]{name} …[/dim]")
                results.update(run(_run(group, addresses, scale)))
                console.print(f"[dim]{name} took {time.monotonic() - began:.0f} s; {_resident()}[/dim]")
    console.print(_table(results))
    LATEST.write_bytes(
        msgspec.json.format(msgspec.json.encode({name: r.as_json() for name, r in results.items()}), indent=2)
    )


async def _run(group: Group, addresses: Addresses, scale: bool) -> Mapping[str, Result]:
    return await group(addresses, scale)


def _resident() -> str:
    """The most that was in RAM so far (``ru_maxrss`` of getrusage(2), kB): of this process, which drives the log and the folds itself, and of any that it started and
    that has ended, as the servers of Tidings have."""
    here, there = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return f"at most {here:.0f} MiB here so far, {there:.0f} in what was started and has ended"


def _table(results: Mapping[str, Result]) -> Table:
    table = Table("figure", "value", "floor", "ratio", "unit", "p50 ms", "p99 ms", title="Tidings against its floors")
    for name, r in results.items():
        cells = [r.value, r.floor, r.ratio, r.p50_ms, r.p99_ms]
        value, floor, ratio, p50, p99 = ("–" if cell is None else f"{cell:,.2f}" for cell in cells)  # noqa: RUF001
        table.add_row(name, value, floor, ratio, r.unit, p50, p99)
    return table


if __name__ == "__main__":
    typer.run(main)

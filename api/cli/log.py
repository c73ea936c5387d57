"""``tidings log``: verifies the event log, mends what is derived from it, and ends and begins its generations."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from api.cli.progress_bars import Rate
from api.cli.running import begin_on_log, console, run
from api.secrets import load_secrets
from api.settings import Settings
from api.stores import open_generation, open_log, open_verifier
from domain.ids import mint_id
from domain.log.findings import Finding, Report
from domain.log.generations import close_generation
from domain.log.port import LogIdentity
from domain.log.verifying import Verifier

SHOWN: Final = 50
"""Findings that are written out on a terminal; ``--json`` has more."""

log = typer.Typer(
    name="log",
    help="Verify the event log, mend what is derived from it, end and begin its generations.",
    no_args_is_help=True,
)

Confirmed = Annotated[bool, typer.Option("--yes", help="Do it. Without it only what would be done is said.")]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` prints. ``counts`` are of all findings, ``findings`` the first thousand; ``repairs`` what was mended before."""

    log_id: str
    generation: int
    clean: bool
    looked_at: dict[str, int]
    counts: dict[str, int]
    findings: Sequence[Finding]
    repairs: dict[str, int]


@log.command()
def verify(
    *,
    shard: Annotated[list[int] | None, typer.Option(help="Only this shard; may be given several times.")] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Mend what is derived from the log (index, watermarks), and verify again."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Verify every event, the index by stream and the marks. Safe beside running servers. Exit code 1 if something is wrong, 3 if the store is not there.

    It reads the log once and the index once, in bounded memory; rows of the log are never changed, with --repair neither."""
    identity, report, repairs = run(_verify(begin_on_log(), shard, repair=repair))
    if as_json:
        typer.echo(msgspec.json.encode(_verdict(identity, report, repairs)).decode())
    else:
        _tell(report, repairs)
    if not report.clean:
        raise typer.Exit(1)


async def _verify(
    settings: Settings, shards: list[int] | None, *, repair: bool
) -> tuple[LogIdentity, Report, dict[str, int]]:
    verifier = await open_verifier(settings, load_secrets(settings))
    try:
        beyond = [shard for shard in shards or () if not 0 <= shard < verifier.identity.shards]
        if beyond:
            raise typer.BadParameter(f"the log has shards 0 to {verifier.identity.shards - 1}", param_hint="--shard")
        report = await _pass(verifier, shards, repair=repair)
        repairs = dict(report.repairs)
        if repairs:
            report = await _pass(verifier, shards, repair=False)
        return verifier.identity, report, repairs
    finally:
        await verifier.close()


async def _pass(verifier: Verifier, shards: list[int] | None, *, repair: bool) -> Report:
    with _bars() as progress:
        report = Report(progress)
        await verifier.verify(report, shards, repair=repair)
    return report


class _Bars:
    """One bar for each phase, made when it begins."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, phase: str, done: int, total: int) -> None:
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(phase, total=total)
        self._progress.update(self._tasks[phase], completed=done)


@contextmanager
def _bars() -> "Iterator[_Bars]":
    columns = (TextColumn("Reading the {task.description:<12}"), BarColumn(), MofNCompleteColumn(), Rate())
    # On standard error: standard output is the verdict's.
    shown = Console(stderr=True)
    with Progress(
        *columns, TimeRemainingColumn(), console=shown, transient=True, disable=not shown.is_terminal
    ) as bars:
        yield _Bars(bars)


def _verdict(identity: LogIdentity, report: Report, repairs: dict[str, int]) -> Verdict:
    return Verdict(
        log_id=identity.log_id,
        generation=identity.generation,
        clean=report.clean,
        looked_at=dict(report.done),
        counts={str(kind): count for kind, count in report.counts.items()},
        findings=report.findings,
        repairs=repairs,
    )


def _tell(report: Report, repairs: dict[str, int]) -> None:
    for done, count in repairs.items():
        console.print(f"[yellow]mended[/] {count:,} {done}")
    for finding in report.findings[:SHOWN]:
        console.print(f"[red]{finding.kind}[/] {escape(_sentence(finding))}")
    beyond = report.counts.total() - min(len(report.findings), SHOWN)
    if beyond > 0:
        console.print(f"… and {beyond:,} more; --json names the first {len(report.findings):,}.")
    looked = ", ".join(f"{count:,} {phase}" for phase, count in report.done.items() if phase in ("log", "index"))
    if report.clean:
        console.print(f"[green]ok[/]  nothing is wrong (rows: {looked or 'none'})")
    else:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in report.counts.most_common())
        console.print(f"[red]no[/]  {report.counts.total():,} findings: {kinds} (rows: {looked or 'none'})")


def _sentence(finding: Finding) -> str:
    named = {
        "shard": finding.shard,
        "generation": finding.generation,
        "position": finding.position,
        "stream": finding.stream,
        "version": finding.version,
    }
    place = ", ".join(f"{name} {value}" for name, value in named.items() if value is not None)
    return f"{place or 'the log'}: expected {finding.expected}; found {finding.found}"


@log.command()
def close(*, yes: Confirmed = False) -> None:
    """End the log's generation in every shard: from then on nothing is appended, until the next generation is opened. There is no way back.

    For a log that was restored from a backup, before anything is appended to it; and for a log that is to be given up. May be repeated."""
    settings = begin_on_log()
    if not yes:
        console.print(
            "This ends the log's generation for good: every command will be refused until `tidings log open-generation`."
        )
        console.print("Say --yes to do it.")
        raise typer.Exit(2)
    closed, identity = run(_close(settings))
    console.print(
        f"Generation {identity.generation} has ended in all {identity.shards} shards ({closed} of them just now)."
    )


async def _close(settings: Settings) -> tuple[int, LogIdentity]:
    opened = await open_log(settings, load_secrets(settings))
    try:
        return await close_generation(opened, partial(mint_id, 0, os.urandom)), opened.identity
    finally:
        await opened.close()


@log.command("open-generation")
def open_next(
    *,
    restored: Annotated[
        bool,
        typer.Option(
            "--restored",
            help="The log was restored from a backup: give it a new id, so that documents, cursors and tokens of what was lost are refused.",
        ),
    ] = False,
    yes: Confirmed = False,
) -> None:
    """Begin the log's next generation, after the last one has ended. Every process must be started again to append to it."""
    settings = begin_on_log()
    if not yes:
        console.print(
            "This begins a new generation of the log; every process must be started again after it. Say --yes to do it."
        )
        raise typer.Exit(2)
    identity = run(open_generation(settings, load_secrets(settings), restored=restored))
    console.print(f"The log is {identity.log_id}, generation {identity.generation}. Start every process again.")
    if restored:
        console.print("Its documents are those of another log: begin with empty ones, and run `tidings migrate`.")

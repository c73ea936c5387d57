"""``tidings events``: looks into the log, and takes it out or in as a whole. Reads the log alone: no documents."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Final

import msgspec
import typer

from api.cli import transfers
from api.cli.running import begin_on_log, console, run, stopping
from api.cli.shown import render_history, render_line
from api.history import History, history, moment, stream_named, time_of
from api.secrets import load_secrets
from api.settings import Settings
from api.stores import open_log
from api.tailing import Starts, Wanted, from_now, from_time, tail
from domain.envelope import Recorded
from domain.errors import Code, refuse
from domain.ids import Namer
from domain.log.port import EventLog

events = typer.Typer(
    name="events",
    help="Look into the event log: a stream's history, what happens now; exports and imports of the whole.",
    no_args_is_help=True,
)
events.command("export")(transfers.export)
events.command("import")(transfers.import_)

_NOW: Final = "now"
_START: Final = "start"

Stream = Annotated[
    str,
    typer.Argument(
        help="A stream (post-…, follow-…-…), a node id (u_…, p_…), the id of an account or a post, a handle or an e-mail address."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[EventLog, Namer]]:
    secrets = load_secrets(settings)
    log = await open_log(settings, secrets)
    try:
        yield log, Namer(secrets.server_key)
    finally:
        await log.close()


@events.command()
def show(
    stream: Stream,
    at: Annotated[
        str | None,
        typer.Option(
            help="The state then: a version (12), or an ISO 8601 time of recording (UTC where it has no offset)."
        ),
    ] = None,
    *,
    diff: Annotated[bool, typer.Option("--diff", help="Show what each event changed in the stream's state.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a stream's history: who did what, when and under which command, and the state that came of it.

    What people typed is shown where its key still exists, and <redacted> where it was destroyed; password and token hashes are never shown.
    """
    version, until = _at(at)
    found = run(_history(begin_on_log(), stream, version, until, diff=diff))
    if as_json:
        typer.echo(
            msgspec.json.encode({"stream": found.stream, "state": found.state, "events": found.moments}).decode()
        )
    else:
        render_history(console, found)


def _at(text: str | None) -> tuple[int | None, int | None]:
    """(version, until) of what ``--at`` says."""
    if text is None:
        return None, None
    if text.isdecimal():
        return int(text), None
    try:
        return None, time_of(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a version nor an ISO 8601 time such as 2026-01-31T12:00", param_hint="--at"
        ) from None


async def _history(settings: Settings, name: str, version: int | None, until: int | None, *, diff: bool) -> History:
    async with _opened(settings) as (log, namer):
        stream = await stream_named(log, namer, name)
        loaded = await log.load(stream, version=version, until=until)
        if not loaded:
            then = " at that time" if version is not None or until is not None else ""
            raise refuse(Code.NOT_FOUND, f"{stream} has no events{then}.")
        return history(stream, loaded, diff=diff)


@events.command("tail")
def tail_(
    type: Annotated[
        list[str] | None,
        typer.Option("--type", help="Only events of this type; wildcards as in post.*; may be repeated."),
    ] = None,
    account: Annotated[
        str | None,
        typer.Option(help="Only what this account did, or what concerns it: a handle, e-mail address or id."),
    ] = None,
    shard: Annotated[int | None, typer.Option(help="Only this shard.", min=0)] = None,
    start: Annotated[
        str, typer.Option("--from", help="Where to begin: now, start, or an ISO 8601 time of recording.")
    ] = _NOW,
    *,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Whether to wait for what comes, or end.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Print the log's events as they come, all shards together, until Ctrl-C. Each shard's events are in order."""
    since = _since(start)
    run(_tail(begin_on_log(), Wanted(tuple(type or ())), account, shard, start, since, follow=follow, as_json=as_json))


def _since(start: str) -> int:
    if start in (_NOW, _START):
        return 0
    try:
        return time_of(start)
    except ValueError:
        raise typer.BadParameter(f"{start!r} is neither now, start nor an ISO 8601 time", param_hint="--from") from None


async def _tail(
    settings: Settings,
    wanted: Wanted,
    account: str | None,
    shard: int | None,
    start: str,
    since: int,
    *,
    follow: bool,
    as_json: bool,
) -> None:
    async with _opened(settings) as (log, namer):
        if account is not None:
            stream = await stream_named(log, namer, account)
            wanted = Wanted(wanted.types, stream.partition("-")[2])
        starts = await _starts(log, shard, start, since)
        with stopping() as stop:
            found = tail(log, starts, wanted, follow=follow, since=since)
            await transfers.until(stop, _print_all(found, as_json=as_json))


async def _starts(log: EventLog, shard: int | None, start: str, since: int) -> Starts:
    shards = range(log.identity.shards)
    if shard is not None and shard not in shards:
        raise typer.BadParameter(f"there are shards 0 to {len(shards) - 1}", param_hint="--shard")
    chosen = list(shards) if shard is None else [shard]
    if start == _NOW:
        return await from_now(log, chosen)
    return await from_time(log, chosen, since) if since else dict.fromkeys(chosen, 0)


async def _print_all(found: AsyncIterator[Recorded], *, as_json: bool) -> None:
    # Whoever reads the pipe may go at any time: `tidings events tail | head` is no failure.
    with suppress(BrokenPipeError):
        async for recorded in found:
            shown = moment(recorded)
            if as_json:
                sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
                sys.stdout.flush()
            else:
                render_line(console, shown)

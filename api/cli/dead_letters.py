"""``tidings dead-letters``: events that a projection could not take in, and what an operator decides about them."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import typer
from rich.table import Table

from api.cli.running import begin_on_log, console, run
from api.health import NAMES
from api.services import Services, open_services
from api.settings import Settings
from domain.envelope import split_sequence
from domain.errors import Code, refuse
from projections.documents.port import Document, Documents
from projections.runtime.deadletters import Stage, dead_letter_at, dead_letters
from projections.runtime.skips import Skip, record_skip
from projections.runtime.versions import change, more_skips, read_versions

WAIT: Final = 10.0
"""Seconds in which running workers let a stream go."""

dead_letters_app = typer.Typer(
    name="dead-letters",
    help="List events that projections could not take in, look at one, or decide to pass it over.",
    no_args_is_help=True,
)

Projection = Annotated[str, typer.Argument(help="The family or reactor, as `list` names it.")]
Shard = Annotated[int, typer.Argument(min=0)]
Sequence_ = Annotated[int, typer.Argument(min=1, help="The event's sequence, as `list` gives it.")]


@dead_letters_app.command("list")
def list_(
    projection: Annotated[str | None, typer.Argument(help="A family or reactor; all where none is named.")] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many of each projection and shard.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one entry for each dead letter.")] = False,
) -> None:
    """List dead letters: the event that could not be taken in, and those of its stream that wait behind it. Exit code 1 if there are any."""
    names = NAMES if projection is None else (_known(projection),)
    letters = run(_list(begin_on_log(), names, limit))
    if as_json:
        typer.echo(msgspec.json.encode(letters).decode())
    elif letters:
        console.print(_table(letters))
    else:
        console.print("There are none.")
    if letters:
        raise typer.Exit(1)


@dead_letters_app.command()
def show(projection: Projection, shard: Shard, sequence: Sequence_) -> None:
    """Show one dead letter, and how many events wait behind it."""
    letter, waiting = run(_show(begin_on_log(), _known(projection), shard, sequence))
    for name, value in letter.items():
        console.print(f"{name:<10} {value}", markup=False)
    console.print(f"{waiting} later events of its stream wait.")
    console.print("`tidings events stream` shows what its stream holds.")


@dead_letters_app.command()
def skip(
    projection: Projection,
    shard: Shard,
    sequence: Sequence_,
    *,
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without it only what would be done is said.")] = False,
) -> None:
    """Decide that a projection passes an event over, with what waits behind it in its stream. Rebuilds and replays will pass it over too.

    An event that only a rebuild could not take in is passed over by the rebuild alone.
    """
    run(_skip(begin_on_log(), _known(projection), shard, sequence, reason, yes))


def _known(projection: str) -> str:
    if projection not in NAMES:
        raise typer.BadParameter(f"there is no projection {projection}; there are {', '.join(NAMES)}")
    return projection


async def _views(documents: Documents, projection: str) -> Sequence[Documents]:
    """The live version, and the one on its way."""
    build = (await read_versions(documents)).of(projection).build
    others = [documents.pinned({projection: build.version})] if build is not None else []
    return [documents, *others]


async def _list(settings: Settings, names: Sequence[str], limit: int) -> list[Document]:
    async with open_services(settings) as services:
        return [
            letter
            for name in names
            for view in await _views(services.documents, name)
            for shard in range(services.log.identity.shards)
            for letter in await dead_letters(view, name, shard, limit=limit)
        ]


def _table(letters: Sequence[Document]) -> Table:
    table = Table("projection", "shard", "sequence", "stream", "event", "stage", "error", box=None, header_style="bold")
    for letter in letters:
        names = ("source", "shard", "position", "stream", "type", "stage", "error")
        table.add_row(*(str(letter[name]) for name in names))
    return table


async def _find(services: Services, projection: str, shard: int, sequence: int) -> tuple[Documents, Document] | None:
    for view in await _views(services.documents, projection):
        letter = await dead_letter_at(view, projection, shard, sequence)
        if letter is not None:
            return view, letter
    return None


async def _show(settings: Settings, projection: str, shard: int, sequence: int) -> tuple[Document, int]:
    async with open_services(settings) as services:
        found = await _find(services, projection, shard, sequence)
        if found is None:
            raise refuse(Code.NOT_FOUND, f"{projection} has no dead letter {sequence} in shard {shard}")
        view, letter = found
        behind = await dead_letters(view, projection, shard, after=sequence, limit=10_000)
        return letter, sum(other["stream"] == letter["stream"] for other in behind)


async def _skip(settings: Settings, projection: str, shard: int, sequence: int, reason: str, yes: bool) -> None:
    async with open_services(settings) as services:
        found = await _find(services, projection, shard, sequence)
        if found is not None and found[1]["stage"] == Stage.PARKED.value:
            raise refuse(Code.INVALID, "this event only waits behind another one of its stream: pass that one over")
        stream = str(found[1]["stream"]) if found is not None else await _stream(services, shard, sequence)
        position = split_sequence(sequence)[1]
        console.print(f"{projection} passes over position {position} of shard {shard}, in {stream}", markup=False)
        if not yes:
            console.print("Nothing was done. With --yes it is recorded.")
            return
        # One that no version has parked stops a rebuild alone; the live documents have it.
        upto = sequence if found is None else None
        await record_skip(services.documents, Skip(projection, shard, stream, sequence, upto, reason, services.now()))
        await change(services.documents, projection, more_skips)
        if found is not None:
            await _let_go(found[0], projection, shard, sequence)


async def _stream(services: Services, shard: int, sequence: int) -> str:
    events = await services.log.read(shard, sequence - 1, 1)
    if not events or events[0].sequence != sequence:
        raise refuse(Code.NOT_FOUND, f"shard {shard} has no event {sequence}")
    return events[0].stream


async def _let_go(view: Documents, projection: str, shard: int, sequence: int) -> None:
    try:
        async with asyncio.timeout(WAIT):
            while await dead_letter_at(view, projection, shard, sequence) is not None:  # noqa: ASYNC110 (done elsewhere)
                await asyncio.sleep(0.1)
    except TimeoutError:
        console.print("It is recorded. No worker has taken it up yet: they do when they run.")
    else:
        console.print("The stream is folded again.")

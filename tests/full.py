"""The whole demo world, loaded beside a server that folds it, on both kinds of stores; then everything is held against the log, and loaded again.

    python -m tests.full --stores embedded --stores cluster

On each: seed, wait until folds and reactors have come to the head, `tidings log verify`, `tidings verify` (every document against a replay), seed again,
which must change nothing. Starts the real servers itself unless the environment names them. Exit code 0 if nothing differs.
"""

import asyncio
import os
import re
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table

from api.demo.world import GRAPH_ACCOUNTS, build_world
from api.health import NAMES
from api.services import Services, open_services
from domain.envelope import split_sequence
from projections.runtime.lag import ProjectionStatus, projection_status
from tests.servers import running_servers
from tests.stack import Stack, cluster_stack, embedded_stack

LOOK_SECONDS: Final = 1.0
SAID_SECONDS: Final = 15.0
"""Between two lines where there is no terminal."""
STILL_SECONDS: Final = 180.0
"""How long folds may stand still before they are given up."""


class Kind(StrEnum):
    EMBEDDED = "embedded"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Sizes:
    accounts: int = GRAPH_ACCOUNTS
    posts: int = 20_000
    likes: int = 60_000
    reposts: int = 10_000

    @property
    def arguments(self) -> list[str]:
        named = {"accounts": self.accounts, "posts": self.posts, "likes": self.likes, "reposts": self.reposts}
        return [word for name, count in named.items() for word in (f"--{name}", str(count))]

    @property
    def commands(self) -> int:
        return build_world(accounts=self.accounts, posts=self.posts, likes=self.likes, reposts=self.reposts).size


WHOLE: Final = Sizes()


@dataclass(frozen=True, slots=True)
class Step:
    """``count`` things of ``unit`` in ``seconds``; ``peak`` is what the step's own process took at most, ``server`` the server at its end (MiB)."""

    name: str
    seconds: float
    count: int
    unit: str
    peak: float
    server: float


@dataclass(slots=True)
class Outcome:
    """``wrong`` are sentences, none where all was well."""

    steps: list[Step] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


Say = Callable[[str], None]


def resident(pid: int, name: str = "VmRSS") -> float:
    """MiB of a process (VmHWM: at most so far); 0 where it is gone, or the system does not tell."""
    try:
        found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


class FullRun:
    """One run on ``stack``, on which ``server`` folds. ``say`` is told every second or so what is under way."""

    def __init__(self, stack: Stack, server: Process, services: Services, sizes: Sizes, say: Say) -> None:
        self._stack = stack
        self._server = server
        self._services = services
        self._sizes = sizes
        self._say = say
        self._peak = 0.0
        self.outcome = Outcome()

    async def run(self) -> Outcome:
        wanted = self._sizes.commands
        await self._step("seed", wanted, "commands", self._tidings("seed", *self._sizes.arguments))
        await self._settled("settle")
        if not self.outcome.wrong:
            await self._step("log verify", await self._events(), "events", self._log_verified())
            await self._step("verify", 0, "documents", self._documents_verified())
            before = await self._heads()
            await self._step("seed again", wanted, "commands", self._tidings("seed", *self._sizes.arguments))
            await self._settled("settle again")
            if before != await self._heads():
                self.outcome.wrong.append("loading the world again appended events")
        return self.outcome

    async def _step(self, name: str, count: int, unit: str, work: Awaitable[int | None]) -> None:
        """``work`` may answer with the count."""
        self._peak = 0.0
        began = time.monotonic()
        saying = asyncio.create_task(self._keep_saying(name, began))
        try:
            counted = await work
        finally:
            saying.cancel()
        server = resident(self._server.pid)
        seconds = time.monotonic() - began
        self.outcome.steps.append(Step(name, seconds, count if counted is None else counted, unit, self._peak, server))

    async def _keep_saying(self, name: str, began: float) -> None:
        while True:
            events, statuses = await self._events(), await self._statuses()
            behind = max(sum(one.lag_events for one in statuses if one.name == fold) for fold in NAMES)
            self._say(
                f"{name}: {time.monotonic() - began:,.0f} s, {events:,} events in the log, the slowest fold {behind:,} behind, "
                f"{resident(self._server.pid):,.0f} MiB of the server, {self._peak:,.0f} of the command"
            )
            await asyncio.sleep(LOOK_SECONDS)

    async def _tidings(self, *arguments: str) -> None:
        await self._output(*arguments)

    async def _output(self, *arguments: str) -> bytes:
        """What a command prints; it is wrong where it fails."""
        process = await self._stack.start(*arguments, stdout=PIPE)
        watching = asyncio.create_task(self._keep_watching(process))
        try:
            out, _ = await process.communicate()
        finally:
            watching.cancel()
        if process.returncode:
            self.outcome.wrong.append(
                f"tidings {' '.join(arguments)} ended with {process.returncode}: {out.decode()[:5_000]}"
            )
        return out

    async def _keep_watching(self, process: Process) -> None:
        while True:
            self._peak = max(self._peak, resident(process.pid, "VmHWM"))
            await asyncio.sleep(LOOK_SECONDS / 4)

    async def _log_verified(self) -> None:
        await self._output("log", "verify", "--json")

    async def _documents_verified(self) -> int:
        verdicts: Mapping[str, Any] = msgspec.json.decode(await self._output("verify", "--json") or b"{}")
        for family, verdict in verdicts.items():
            if verdict["unsettled"]:
                self.outcome.wrong.append(
                    f"{len(verdict['unsettled'])} documents of {family} moved and were not compared"
                )
        compared = sum(int(verdict["compared"]) for verdict in verdicts.values())
        if not compared:
            self.outcome.wrong.append("no document was compared")
        return compared

    async def _settled(self, name: str) -> None:
        began_at = sum(one.lag_events for one in await self._statuses())
        await self._step(name, began_at, "folds", self._caught_up())

    async def _caught_up(self) -> None:
        """Every fold and reactor at the head, with nothing parked: or it is wrong."""
        seen: dict[tuple[str, int], int] = {}
        moved_at = time.monotonic()
        while time.monotonic() - moved_at < STILL_SECONDS:
            statuses = await self._statuses()
            if not any(one.lag_events for one in statuses):
                self.outcome.wrong += [
                    f"{one.name} has {one.dead_letters} dead letters" for one in statuses if one.dead_letters
                ]
                return
            now = {(one.name, one.shard): one.checkpoint for one in statuses}
            if now != seen:
                seen, moved_at = now, time.monotonic()
            await asyncio.sleep(LOOK_SECONDS)
        still = sorted({f"{one.name} {one.state} {one.reason}" for one in await self._statuses() if one.lag_events})
        self.outcome.wrong.append(f"stood still for {STILL_SECONDS:.0f} s: {', '.join(still)}")

    async def _statuses(self) -> list[ProjectionStatus]:
        return list(await projection_status(self._services.log, self._services.documents, NAMES))

    async def _heads(self) -> list[int]:
        log = self._services.log
        return list(await asyncio.gather(*(log.head(shard) for shard in range(log.identity.shards))))

    async def _events(self) -> int:
        return sum(split_sequence(head)[1] for head in await self._heads())


async def run_full(stack: AbstractAsyncContextManager[Stack], sizes: Sizes, say: Say = lambda _: None) -> Outcome:
    """On an empty stack."""
    async with stack as own:
        server = await own.serve()
        async with open_services(own.settings) as services:
            outcome = await FullRun(own, server, services, sizes, say).run()
        if server.returncode is not None:
            outcome.wrong.append(f"the server ended with {server.returncode}")
        return outcome


@asynccontextmanager
async def _stack(kind: Kind) -> AsyncIterator[Stack]:
    if kind is Kind.EMBEDDED:
        with tempfile.TemporaryDirectory(prefix="tidings-full-") as folder:
            async with embedded_stack(Path(folder)) as stack:
                yield stack
        return
    with ExitStack() as servers:
        addresses = await asyncio.to_thread(servers.enter_context, running_servers())
        async with cluster_stack(addresses) as stack:
            yield stack


class _Teller:
    """One line that changes on a terminal; elsewhere a line now and then."""

    def __init__(self, console: Console, status: Status) -> None:
        self._console = console
        self._status = status
        self._said_at = float("-inf")

    def __call__(self, text: str) -> None:
        if self._console.is_terminal:
            self._status.update(text)
        elif time.monotonic() - self._said_at >= SAID_SECONDS:
            self._said_at = time.monotonic()
            self._console.print(text)


def _table(kind: Kind, outcome: Outcome) -> Table:
    table = Table("step", "seconds", "of", "a second", "MiB at most", "MiB of the server", title=kind.value)
    for step in outcome.steps:
        figures = (
            f"{step.seconds:,.0f}",
            f"{step.count:,} {step.unit}",
            f"{step.count / max(step.seconds, 0.001):,.0f}",
        )
        table.add_row(step.name, *figures, f"{step.peak:,.0f}", f"{step.server:,.0f}")
    return table


def main(
    stores: Annotated[list[Kind] | None, typer.Option(help="Only these stores; may be given twice.")] = None,
    accounts: Annotated[int, typer.Option(help="People, with the friendships among them.")] = WHOLE.accounts,
    posts: Annotated[int, typer.Option(help="Posts and replies.")] = WHOLE.posts,
    likes: Annotated[int, typer.Option(help="Likes.")] = WHOLE.likes,
    reposts: Annotated[int, typer.Option(help="Reposts.")] = WHOLE.reposts,
) -> None:
    """Load the whole demo world, verify all of it, and load it again."""
    console = Console(highlight=False, width=None if os.isatty(1) else 160)
    sizes = Sizes(accounts, posts, likes, reposts)
    wrong = False
    for kind in stores or list(Kind):
        console.print(f"{kind}: {sizes.commands:,} commands")
        with console.status("starting") as status:
            outcome = asyncio.run(run_full(_stack(kind), sizes, _Teller(console, status)))
        console.print(_table(kind, outcome))
        for sentence in outcome.wrong:
            console.print(sentence, style="red", markup=False)
        wrong |= bool(outcome.wrong)
    if wrong:
        raise typer.Exit(1)
    console.print("Nothing differs.")


if __name__ == "__main__":
    typer.run(main)

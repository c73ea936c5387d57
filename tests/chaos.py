"""Writers and nodes are paused and killed by a seeded schedule while the writers append; then the log is held against what they were told.

    python -m tests.chaos --seconds 600 --seed 7 --nodes 3

starts the nodes that it torments itself, and stops them at the end. Exit code 0 if nothing was lost, doubled or out of order.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from domain.ids import stream_shard
from domain.log.cassandra._together import together
from domain.log.findings import Report
from tests.contract.log_domain import Counted
from tests.log_cassandra_kit import Store, commands_of, keyspace, read_shard, until
from tests.log_cassandra_writer import shared_streams
from tests.servers import Server
from tests.servers.cassandra import prepare_cassandra
from tests.servers.ring import prepare_ring, start_ring, wait_joined

WRITERS = 3
SEGMENT_SIZE = 256
"""So that segments end all the time."""
SHARDS = 2
SETTLED_SECONDS = 90.0

ASLEEP = 0.5
WORDS = ("appended", "unavailable", "unknown")

Say = Callable[[str], None]
Deed = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Writer:
    """A process that appends, and what it was told: a word (appended, unavailable, unknown) and a command id each."""

    process: Process
    told: list[tuple[str, str]]
    complaints: deque[str]
    listening: "asyncio.Future[tuple[None, None]]"
    killed: bool = False

    def send(self, number: signal.Signals) -> None:
        if self.process.returncode is None:
            os.kill(self.process.pid, number)


@dataclass(slots=True)
class Outcome:
    """What came of a run. ``wrong`` are sentences, none where all was well."""

    deeds: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    events: int = 0
    wrong: list[str] = field(default_factory=list)

    def summary(self) -> str:
        deeds = ", ".join(f"{count} × {deed}" for deed, count in self.deeds.items())
        said = ", ".join(f"{count:,} {word}" for word, count in self.said.items())
        return f"{deeds}. Commands: {said}. {self.events:,} events in the log; {len(self.wrong)} things wrong."


async def start_writer(own: Store) -> Writer:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.log_cassandra_writer", ",".join(own.tables.hosts), str(own.port), own.keyspace,
        stdin=PIPE, stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    told: list[tuple[str, str]] = []
    complaints: deque[str] = deque(maxlen=5)
    listening = asyncio.gather(_listen(process.stdout, told), _keep_last(process.stderr, complaints))
    return Writer(process, told, complaints, listening)


async def _keep_last(stream: asyncio.StreamReader, lines: deque[str]) -> None:
    async for line in stream:
        lines.append(line.decode(errors="replace").strip())


async def _listen(stream: asyncio.StreamReader, told: list[tuple[str, str]]) -> None:
    async for line in stream:
        # A kill may leave half a line.
        if line.endswith(b"\n"):
            word, _, command = line.decode().strip().partition(" ")
            # Its log lines come the same way.
            if word in WORDS:
                told.append((word, command))


class Chaos:
    """One run on ``nodes``, which are running and run again at its end; at most one of them is away at a time."""

    def __init__(self, own: Store, nodes: Sequence[Server], seed: int, say: Say) -> None:
        self._own = own
        self._nodes = nodes
        # One each, for the two go their own ways.
        self._writers_source, self._nodes_source = random.Random(f"writers {seed}"), random.Random(f"nodes {seed}")
        self._victim: Server | None = None
        self._say = say
        self._writers: list[Writer] = []
        self._gone: list[Writer] = []
        self.outcome = Outcome()

    async def run(self, seconds: float) -> Outcome:
        self._writers = [await start_writer(self._own) for _ in range(WRITERS)]
        try:
            await self._appended(1)
            ends = time.monotonic() + seconds
            await together(
                [
                    self._keep(ends, [self._pause_writer, self._kill_writer], self._writers_source),
                    self._keep(ends, [self._pause_node, self._kill_node], self._nodes_source),
                ]
            )
            # The log gets on by itself.
            await self._appended(50)
        finally:
            await self._end()
        await self._check()
        return self.outcome

    async def _keep(self, ends: float, deeds: Sequence[Deed], source: random.Random) -> None:
        """Rounds of all deeds, each round in an order of chance, so that the shortest run has all of them too."""
        while time.monotonic() < ends:
            for deed in source.sample(deeds, len(deeds)):
                await asyncio.sleep(source.uniform(1, 3))
                await deed()

    async def _appended(self, more: int) -> None:
        goal = self._acknowledged() + more

        async def reached() -> bool:
            return self._acknowledged() >= goal

        await until(reached, SETTLED_SECONDS)

    def _acknowledged(self) -> int:
        return sum(word == "appended" for writer in (*self._gone, *self._writers) for word, _ in writer.told)

    def _done(self, deed: str) -> None:
        self.outcome.deeds[deed] += 1
        self._say(deed)

    async def _pause_writer(self) -> None:
        writer = self._writers_source.choice(self._writers)
        self._done("writer paused")
        writer.send(signal.SIGSTOP)
        await asyncio.sleep(self._writers_source.uniform(0.2, 6))
        writer.send(signal.SIGCONT)

    async def _kill_writer(self) -> None:
        source = self._writers_source
        writer = self._writers.pop(source.randrange(len(self._writers)))
        self._done("writer killed")
        # Some die in their sleep: what they had sent is then older than what others did meanwhile.
        if source.random() < ASLEEP:
            writer.send(signal.SIGSTOP)
            await asyncio.sleep(source.uniform(0.2, 2))
        writer.killed = True
        writer.send(signal.SIGKILL)
        await writer.listening
        await writer.process.wait()
        self._gone.append(writer)
        self._writers.append(await start_writer(self._own))

    async def _pause_node(self) -> None:
        node = self._nodes_source.choice(self._nodes)
        self._done("node paused")
        node.pause()
        await asyncio.sleep(self._nodes_source.uniform(0.5, 4))
        node.resume()

    async def _kill_node(self) -> None:
        node = self._nodes_source.choice([node for node in self._nodes if node is not self._victim] or self._nodes)
        self._victim = node
        self._done("node killed")
        await asyncio.to_thread(node.kill)
        if len(self._nodes) > 1:
            # The others carry on without it.
            await self._appended(50)
        await asyncio.to_thread(node.start)
        await asyncio.to_thread(wait_joined, self._nodes)
        await self._appended(50)
        self._done("node back")

    async def _end(self) -> None:
        for writer in self._writers:
            if writer.process.stdin is not None:
                writer.process.stdin.close()
        for writer in self._writers:
            try:
                async with asyncio.timeout(SETTLED_SECONDS):
                    await writer.process.wait()
            except TimeoutError:
                writer.send(signal.SIGKILL)
                self.outcome.wrong.append("a writer did not end")
            await writer.listening
        self._gone += self._writers

    # Afterwards

    async def _check(self) -> None:
        outcome = self.outcome
        told = [each for writer in self._gone for each in writer.told]
        outcome.said = Counter(word for word, _ in told)
        outcome.wrong += [
            f"a writer ended with {w.process.returncode}: {'; '.join(w.complaints)}"
            for w in self._gone
            if not _ended_well(w)
        ]
        log = await self._own.open()
        await self._indexed()
        events = [event for shard in range(SHARDS) for event in await read_shard(log, shard)]
        outcome.events = len(events)
        found = commands_of(event for event in events if isinstance(event.event, Counted))
        outcome.wrong += [f"command {command} is there {count} times" for command, count in found.items() if count > 1]
        for word, command in told:
            if word == "appended" and command not in found:
                outcome.wrong.append(f"command {command} was acknowledged and is lost")
            if word == "unavailable" and command in found:
                outcome.wrong.append(f"command {command} was refused and is there")
        # Each command counted on from all that were before it: an event decided on a stale state would show.
        for stream in shared_streams():
            assert stream_shard(stream, SHARDS) in range(SHARDS)
            numbers = [each.event.amount for each in await log.load(stream) if isinstance(each.event, Counted)]
            if numbers != list(range(1, len(numbers) + 1)):
                outcome.wrong.append(f"{stream} was decided on a state that was not the newest")
        await self._verify()

    async def _indexed(self) -> None:
        """Returns when the watermarks have come to the heads, so that all of the index is verified."""
        [log] = self._own.opened

        async def done() -> bool:
            heads = [await shard.table.head(shard.place, 0) for shard in log.shards]
            marks = [(await shard.progress.read(shard.place)).watermark for shard in log.shards]
            return heads == marks

        await until(done, SETTLED_SECONDS)

    async def _verify(self) -> None:
        async with self._own.verifier() as verifier:
            report = Report()
            await verifier.verify(report)
        self.outcome.wrong += [str(finding) for finding in report.findings]


def _ended_well(writer: Writer) -> bool:
    return writer.process.returncode == (-signal.SIGKILL if writer.killed else 0)


async def torment(nodes: Sequence[Server], *, seconds: float, seed: int, say: Say = lambda _: None) -> Outcome:
    """Runs on nodes that are started, and are there again afterwards."""
    first, *others = nodes
    copies = min(3, len(nodes))
    async with (
        keyspace(
            first.address,
            segment_size=SEGMENT_SIZE,
            shards=SHARDS,
            others=tuple(node.host for node in others),
            replication_factor=copies,
        ) as tables,
        tables.store() as own,
    ):
        return await Chaos(own, nodes, seed, say).run(seconds)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=1, help="1, or 3 for a ring")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    columns = (TextColumn("{task.description:<16}"), BarColumn(), TimeRemainingColumn())
    with ExitStack() as stack:
        nodes = prepare_ring(nodes=arguments.nodes) if arguments.nodes > 1 else [prepare_cassandra(synced=True)]
        for node in nodes:
            stack.callback(node.close)
        console.print(f"Starting {len(nodes)} node(s) ...")
        start_ring(nodes)
        bar = stack.enter_context(Progress(*columns, console=console, disable=not console.is_terminal))
        task = bar.add_task("writing", total=arguments.seconds)
        began = time.monotonic()

        def say(deed: str) -> None:
            bar.update(task, description=deed, completed=min(time.monotonic() - began, arguments.seconds))
            if not console.is_terminal:
                console.print(f"{time.monotonic() - began:6.1f} s  {deed}")

        outcome = asyncio.run(torment(nodes, seconds=arguments.seconds, seed=arguments.seed, say=say))
    console.print(f"Seed {arguments.seed}: {outcome.summary()}")
    for sentence in outcome.wrong[:50]:
        console.print(f"[red]wrong[/] {sentence}")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

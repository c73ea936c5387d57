"""queries.*: what pages cost MongoDB while posts become a thousand times as many: index keys and documents that it examines, by its own account."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pymongo import monitoring
from rich.console import Console
from rich.progress import track

from benchmarks._documents import BULK, database
from benchmarks._result import Result, percentile, result
from domain.envelope import Metadata, Recorded
from domain.events import AccountPrivate, AccountRegistered, Event, Followed, PostCreated, PostPrivate
from domain.ids import mint_id
from projections import accounts, hashtag_feed, home, posts, search, viewer_edges
from projections.documents.port import Documents
from projections.documents.rules import steps
from projections.feeds import AuthorFilter
from projections.homefeed import home_page
from projections.paging import Window
from projections.reading import author_page, hashtag_page, public_page, see_posts
from projections.runtime.backoff import persist
from projections.runtime.batches import fold_batch
from projections.searching import PostQuery, search_posts
from projections.threads import Shape, read_thread
from projections.timelines import build
from tests.servers import Addresses

AUTHORS: Final = 500
PROLIFIC: Final = 10
"""Of the authors, who write a third of all posts; so that a page of theirs is full in the smallest world."""
FOLLOWED: Final = 200
"""By each viewer."""
THREAD: Final = 60
TAGS: Final = 30
WORDS: Final = 300
"""That posts are made of, three each: the most frequent is in a sixth of them."""
PAGE: Final = 20
TIMES: Final = 40
"""Each page is read, each time by or of another."""
SIZES: Final = (1_000, 10_000)
LARGE: Final = (1_000, 100_000, 1_000_000)
START: Final = 1_700_000_000_000_000
SECOND: Final = 1_000_000
FAMILIES: Final = (accounts.FAMILY, posts.FAMILY, home.FAMILY, hashtag_feed.FAMILY, search.FAMILY, viewer_edges.FAMILY)
ASIDE: Final = ("lsid", "$db", "$clusterTime", "$readPreference", "txnNumber")
"""Fields of a command that are the driver's own."""


@dataclass(slots=True)
class Finds(monitoring.CommandListener):
    """What was asked of one database while it listens."""

    commands: list[dict[str, Any]] | None = None
    database: str = ""

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if self.commands is not None and event.database_name == self.database:
            self.commands.append({name: value for name, value in event.command.items() if name not in ASIDE})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Nothing to note."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """The page fails too."""

    @contextmanager
    def heard(self) -> Iterator[list[dict[str, Any]]]:
        commands: list[dict[str, Any]] = []
        self.commands = commands
        try:
            yield commands
        finally:
            self.commands = None


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one page: the most that any of those that were read took; ``seconds`` of each."""

    finds: int
    keys: int
    documents: int
    seconds: Sequence[float]


@dataclass(slots=True)
class World:
    """A growing one. ``viewers`` follow FOLLOWED of the authors each; those of the last growth have no timelines of a smaller world."""

    documents: Documents
    source: random.Random = field(default_factory=lambda: random.Random(7))
    position: int = 0
    size: int = 0
    authors: list[str] = field(default_factory=list)
    viewers: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    posts: list[str] = field(default_factory=list)

    @property
    def now(self) -> int:
        return START + self.position * SECOND

    def id(self) -> str:
        return mint_id(self.source.randrange(1024), self.source.randbytes)

    def recorded(self, event: Event) -> Recorded:
        self.position += 1
        return Recorded(
            event_id=f"event-{self.position}",
            stream="",
            version=1,
            event=event,
            metadata=Metadata(command_id=""),
            occurred_at=self.now,
            recorded_at=self.now,
            attempt_id="",
            generation=1,
            shard=0,
            position=self.position,
        )

    async def fold(self, events: Sequence[Event]) -> None:
        """As workers would, but for what is deferred."""
        some = [self.recorded(event) for event in events]
        writes: list[Callable[[], Awaitable[None]]] = []
        for family in FAMILIES:
            batch = fold_batch(family, some, parked=lambda _: False, operations=10**9)
            assert not batch.letters
            assert not batch.rows
            for into, docs in batch.docs.items():
                writes += [partial(self.documents.apply, into, step) for step in steps(docs)]
        await asyncio.gather(*(persist(write, "bench") for write in writes))

    async def people(self, count: int) -> list[str]:
        ids = [self.id() for _ in range(count)]
        made = (AccountPrivate(handle=f"bench_{id_[:12]}", email="", password_hash="") for id_ in ids)
        events = [
            AccountRegistered(account=id_, handle_claim="", email_claim="", email_claim_stream="", private=private)
            for id_, private in zip(ids, made, strict=True)
        ]
        await self.fold(events)
        return ids

    async def grow(self, size: int) -> None:
        """To so many posts, one thread among the newest; with new viewers."""
        self.authors = self.authors or await self.people(AUTHORS)
        for start in track(range(self.size, size - THREAD, BULK), f"{size:,} posts", console=Console(stderr=True)):
            await self.fold([self.post() for _ in range(min(BULK, size - THREAD - start))])
        root = self.post()
        replies = [self.post(root.post) for _ in range(THREAD - 1)]
        await self.fold([root, *replies])
        self.roots.append(root.post)
        self.size = size
        self.viewers, self.strangers = await self.people(TIMES), await self.people(TIMES)
        for viewer in (*self.viewers, *self.strangers):
            chosen = self.source.sample(self.authors, FOLLOWED)
            await self.fold([Followed(follower=viewer, followee=author) for author in chosen])
        for viewer in self.viewers:
            assert await build(self.documents, viewer, "bench", self.now)

    def post(self, root: str | None = None) -> PostCreated:
        writers = self.authors[:PROLIFIC] if self.source.random() < 1 / 3 else self.authors
        id_, author = self.id(), self.source.choice(writers)
        tag = f"tag{min(int(self.source.paretovariate(0.5)), TAGS)}"
        text = " ".join(f"word{min(int(self.source.paretovariate(0.5)), WORDS)}" for _ in range(3))
        self.posts.append(id_)
        return PostCreated(
            post=id_,
            author=author,
            root=root or id_,
            reply_to=root,
            reply_to_author=None if root is None else author,
            ancestors=() if root is None else (root,),
            tags=(tag,),
            private=PostPrivate(text=text),
        )


Read = Callable[[World, int], Awaitable[object]]
"""``read(world, n)``: the n-th page of a kind."""


def _home(world: World, owner: str) -> Awaitable[object]:
    return home_page(world.documents, owner, Window(PAGE), world.now)


def _author(world: World, n: int) -> Awaitable[object]:
    return author_page(world.documents, world.viewers[n], world.authors[n % PROLIFIC], Window(PAGE), AuthorFilter.POSTS)


def _searched(world: World, n: int, *words: int) -> Awaitable[object]:
    query = PostQuery(words=tuple(f"word{word}" for word in words))
    return search_posts(world.documents, world.viewers[n], query, Window(PAGE))


PAGES: Final[Mapping[str, Read]] = {
    "home": lambda world, n: _home(world, world.viewers[n]),
    "home_without_timeline": lambda world, n: _home(world, world.strangers[n]),
    "author": _author,
    "hashtag": lambda world, n: hashtag_page(
        world.documents, world.viewers[n], f"tag{n % TAGS + 1}", Window(PAGE), world.now
    ),
    "public": lambda world, n: public_page(world.documents, world.viewers[n], Window(PAGE), world.now),
    "thread_of_60": lambda world, n: read_thread(world.documents, world.viewers[n], world.roots[-1], Shape()),
    "search": lambda world, n: _searched(world, n, n + 1),
    "search_two_words": lambda world, n: _searched(world, n, 1, n + 2),
    "post": lambda world, n: see_posts(world.documents, world.viewers[n], [world.source.choice(world.posts)]),
}


async def run(addresses: Addresses, scale: bool) -> Mapping[str, Result]:
    """``scale``: a hundred and a thousand times as many posts. Each figure is the keys and documents of a page in the largest world, its floor those in
    the smallest; the times are the largest world's."""
    listener = Finds()
    monitoring.register(listener)
    costs: defaultdict[str, list[Cost]] = defaultdict(list)
    sizes = LARGE if scale else SIZES
    async with database(addresses) as (documents, raw, _):
        listener.database = raw.name
        world = World(documents)
        for size in sizes:
            await world.grow(size)
            for name, read in PAGES.items():
                costs[name].append(cost := await _cost(world, read, raw, listener))
                p50 = percentile(sorted(cost.seconds), 0.5) or 0.0
                print(
                    f"{size:>9,} posts  {name:<22} {cost.finds:>2} finds {cost.keys:>6} keys {cost.documents:>6} documents"
                    f" {p50:>7.1f} ms",
                    flush=True,
                )
    return {
        f"queries.{name}": result(last.keys + last.documents, first.keys + first.documents, "examined", last.seconds)
        for name, (first, *_, last) in costs.items()
    }


async def _cost(world: World, read: Read, raw: Any, listener: Finds) -> Cost:
    finds = keys = examined = 0
    for n in range(TIMES):
        with listener.heard() as commands:
            await read(world, n)
        told = [await _told(raw, command) for command in commands]
        finds = max(finds, len(told))
        keys = max(keys, sum(stats["totalKeysExamined"] for stats in told))
        examined = max(examined, sum(stats["totalDocsExamined"] for stats in told))
    seconds = []
    for n in range(TIMES):
        began = time.perf_counter()
        await read(world, n)
        seconds.append(time.perf_counter() - began)
    return Cost(finds, keys, examined, seconds)


async def _told(raw: Any, command: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the server says of a command when it runs it once more."""
    answer = await raw.command({"explain": dict(command), "verbosity": "executionStats"})
    # An aggregation's first stage holds the find that it begins with.
    told: Mapping[str, Any] = answer if "executionStats" in answer else answer["stages"][0]["$cursor"]
    stats: Mapping[str, Any] = told["executionStats"]
    return stats

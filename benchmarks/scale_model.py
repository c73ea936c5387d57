"""What a thousand, a million and a hundred million accounts come to: `python -m benchmarks.scale_model`.

Costs are this code's, measured on one machine or estimated (docs/scale.md says which and how); how people behave is assumed, and stands here to be changed. The spread of followers is simulated, for a mean says
nothing about it.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from rich.console import Console
from rich.table import Table

DAY: Final = 86_400
YEAR: Final = 365
GB: Final = 1e9
AUTHORS: Final = 200_000
SEED: Final = 7
ALONE: Final = 10_000
"""Accounts below which one node of Cassandra will do, and its outage is borne."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Of the accounts ``active`` come on a day; the rest is each one's on that day. ``timelines`` of all accounts were here within a week. ``peak`` is the busiest hour over the mean."""

    active: float = 0.1
    timelines: float = 0.3
    posts: float = 1.0
    reposts: float = 0.5
    likes: float = 10.0
    follows: float = 1.0
    pages: float = 25.0
    peak: float = 3.0

    @property
    def events(self) -> float:
        return self.posts + self.reposts + self.likes + self.follows


@dataclass(frozen=True, slots=True)
class Costs:
    """Core seconds of each process, and bytes with their indexes, of one node.

    ``fold`` and ``fold_mongo`` of an event in all families, ``row`` and ``row_mongo`` of a row of a timeline, ``page`` and ``page_mongo`` of a home page, ``mutation`` of a createPost without its folds;
    ``append_cassandra`` of an event, ``tail`` of one that a process follows which writes its shard. ``event_bytes`` in both tables of the log, ``kept_bytes`` of an event's documents that
    stay, ``passing_bytes`` of those that are swept, signals and receipts.
    """

    fold: float = 0.18e-3
    fold_mongo: float = 0.14e-3
    row: float = 19e-6
    row_mongo: float = 23e-6
    page: float = 6e-3
    page_mongo: float = 1.5e-3
    mutation: float = 5e-3
    append_cassandra: float = 0.28e-3
    tail: float = 50e-6
    event_bytes: float = 2 * 525
    kept_bytes: float = 2_300
    passing_bytes: float = 490
    passing_days: float = 1.5
    row_bytes: float = 260
    rows_kept: float = 400


@dataclass(frozen=True, slots=True)
class Limits:
    """What one of each is filled to, at the peak: of a core, of a node's cores, of a shard's events a second; bytes of data a node."""

    core: float = 0.6
    node_cores: int = 8
    shard_events: float = 500.0
    mongo_bytes: float = 2e12
    cassandra_bytes: float = 1.5e12
    replicas: int = 3
    push_threshold: int = 2_000


@dataclass(frozen=True, slots=True)
class Spread:
    """Of simulated authors: ``followers`` is the mean, ``pushed`` that of followers whose timelines a post is written to, ``merged`` the share of authors who are merged at read."""

    followers: float
    pushed: float
    merged: float
    largest: int


def spread(accounts: int, behaviour: Behaviour, threshold: int, seed: int = SEED) -> Spread:
    """Followers fall off as a power law (exponent 2.2, as follower graphs do), up to a tenth of all accounts; who has more posts as often."""
    source = random.Random(seed)
    most = max(accounts // 10, 10)
    counts = [min(int(10 * source.paretovariate(1.2)), most) for _ in range(AUTHORS)]
    pushed = [count * behaviour.timelines if count <= threshold else 0 for count in counts]
    return Spread(
        followers=sum(counts) / len(counts),
        pushed=sum(pushed) / len(pushed),
        merged=sum(count > threshold for count in counts) / len(counts),
        largest=max(counts),
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What carries so many accounts at the peak. ``tails``: events a second that all processes which write read from the log, without shard affinity. ``filled``: how full one of each would be."""

    accounts: int
    events: float
    rows: float
    pages: float
    shards: int
    api: int
    workers: int
    mongo_shards: int
    cassandra_nodes: int
    tails: float
    log_year: float
    documents_year: float
    timelines: float
    filled: Mapping[str, float]

    @property
    def fullest(self) -> str:
        fullest = sorted(self.filled.items(), key=lambda pair: -pair[1])
        return ", ".join(f"{name} {_round(value)}" for name, value in fullest[:3])


def plan(accounts: int, behaviour: Behaviour = Behaviour(), costs: Costs = Costs(), limits: Limits = Limits()) -> Plan:
    people = accounts * behaviour.active
    authors = spread(accounts, behaviour, limits.push_threshold)
    events = people * behaviour.events * behaviour.peak / DAY
    rows = people * (behaviour.posts + behaviour.reposts) * authors.pushed * behaviour.peak / DAY
    pages = people * behaviour.pages * behaviour.peak / DAY
    api = (pages * costs.page + events * costs.mutation) / limits.core
    workers = (events * costs.fold + rows * costs.row) / limits.core
    shards = events / limits.shard_events
    node = limits.node_cores * limits.core
    mongo_cores = events * costs.fold_mongo + rows * costs.row_mongo + pages * costs.page_mongo
    yearly = people * behaviour.events * YEAR
    timelines = accounts * behaviour.timelines * costs.rows_kept * costs.row_bytes
    documents = yearly * costs.kept_bytes
    passing = people * behaviour.events * costs.passing_bytes * costs.passing_days
    standing = documents + timelines + passing
    mongo = max(mongo_cores / node, standing / limits.mongo_bytes)
    log = yearly * costs.event_bytes
    cassandra = max(events * costs.append_cassandra / node, log / limits.cassandra_bytes)
    return Plan(
        accounts=accounts,
        events=events,
        rows=rows,
        pages=pages,
        shards=max(8, 2 ** (ceil(shards) - 1).bit_length()),
        api=ceil(api),
        workers=ceil(workers),
        mongo_shards=ceil(mongo),
        cassandra_nodes=1 if accounts < ALONE else ceil(max(cassandra, 1) * limits.replicas),
        tails=events * ceil(api),
        filled={
            "an API process": api,
            "a worker": workers,
            "a replica set of MongoDB": mongo,
            "three nodes of Cassandra": cassandra,
            "8 shards of the log": shards / 8,
        },
        log_year=log * limits.replicas,
        documents_year=standing * limits.replicas,
        timelines=timelines,
    )


SIZES: Final = (1_000, 1_000_000, 100_000_000)


def rows_of(plans: Sequence[Plan]) -> Mapping[str, Sequence[str]]:
    """The table, by what a line says."""
    return {
        "accounts": [f"{one.accounts:,}" for one in plans],
        "events a second, at the peak": [_round(one.events) for one in plans],
        "timeline rows a second, at the peak": [_round(one.rows) for one in plans],
        "pages a second, at the peak": [_round(one.pages) for one in plans],
        "shards of the log": [str(one.shards) for one in plans],
        "API processes (a core each)": [str(one.api) for one in plans],
        "workers (a core each)": [str(one.workers) for one in plans],
        "shards of MongoDB": [str(one.mongo_shards) for one in plans],
        "nodes of Cassandra": [str(one.cassandra_nodes) for one in plans],
        "log a year, all replicas": [_bytes(one.log_year) for one in plans],
        "documents after a year, all replicas": [_bytes(one.documents_year) for one in plans],
        "of these, timelines on one": [_bytes(one.timelines) for one in plans],
        "events a second read by tails without affinity": [_round(one.tails) for one in plans],
        "of one of each, fullest first": [one.fullest for one in plans],
    }


def markdown(plans: Sequence[Plan]) -> str:
    """The table as docs/scale.md has it."""
    lines = [f"| {name} | {' | '.join(cells)} |" for name, cells in rows_of(plans).items()]
    return "\n".join([lines[0], "|" + "---|" * (len(plans) + 1), *lines[1:]])


def _round(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _bytes(value: float) -> str:
    return f"{value / 1e12:,.1f} TB" if value >= 1e12 else f"{value / GB:,.1f} GB"


def main() -> None:
    table = Table(title="What carries so many accounts", show_header=False)
    for name, cells in rows_of([plan(size) for size in SIZES]).items():
        table.add_row(name, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()

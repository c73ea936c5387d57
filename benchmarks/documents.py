"""fanout.* and projection.*: what workers write into MongoDB, against unguarded bulk upserts of the same documents through motor."""

import asyncio
import os
import time
from collections.abc import Mapping

from benchmarks import projection
from benchmarks._documents import BULK, bulk_upserts, database
from benchmarks._result import Result, result
from domain.ids import mint_id
from projections.documents.port import Change, Doc, Value
from projections.feeds import EDGES, FeedEntry, follow_id
from projections.keys import sort_key
from projections.pushing import Item, push
from projections.timelines import DEFAULT_LIMITS, build
from tests.servers import Addresses

FOLLOWERS = 1_500
SLOTS = (1, 300, 600, 900)
"""Of the authors: as many shards push at once in a worker."""
POSTS = 12
"""Of each author."""
NOW = 1_700_000_000_000_000


async def run(addresses: Addresses, scale: bool) -> Mapping[str, Result]:
    """``scale`` makes ten times as many events."""
    return {"fanout.entries": await _fan_out(addresses), **await projection.run(addresses, scale)}


async def _fan_out(addresses: Addresses) -> Result:
    """Posts of some authors, one after the other in each shard, into the timelines of followers who were all here lately."""
    authors = [mint_id(slot, os.urandom) for slot in SLOTS]
    owners = [mint_id(number % 1024, os.urandom) for number in range(FOLLOWERS)]
    async with database(addresses) as (documents, raw, _):
        for author in authors:
            edges = [_edge(author, owner, position) for position, owner in enumerate(owners, 1)]
            for start in range(0, len(edges), BULK):
                await documents.apply(EDGES, edges[start : start + BULK])
        await asyncio.gather(*(build(documents, owner, "bench", NOW) for owner in owners))
        latencies: list[float] = []

        async def post(author: str, numbers: range) -> None:
            for number in numbers:
                at = time.perf_counter()
                await push(documents, [Item(_entry(author, number), 1, NOW)], DEFAULT_LIMITS)
                latencies.append(time.perf_counter() - at)

        await asyncio.gather(*(post(author, range(2)) for author in authors))
        latencies.clear()
        began = time.perf_counter()
        await asyncio.gather(*(post(author, range(2, 2 + POSTS)) for author in authors))
        value = FOLLOWERS * POSTS * len(authors) / (time.perf_counter() - began)
        rows = [{"owner": owner, "key": f"{n}", "post": authors[0]} for n in range(10) for owner in owners]
        floor = await bulk_upserts(raw, rows)
    return result(value, floor, "rows/s", latencies)


def _edge(author: str, owner: str, position: int) -> Doc:
    edge = follow_id(owner, author)
    fields: dict[str, Value] = {
        "follower": owner,
        "followee": author,
        "active": True,
        "key": sort_key(NOW, edge),
        "reposts": True,
    }
    return Doc(edge, 0, ((position, (Change(set=fields),)),))


def _entry(author: str, number: int) -> FeedEntry:
    post = mint_id(1, os.urandom)
    return FeedEntry(author=author, item=post, key=sort_key(NOW + number, post), post=post, post_author=author)

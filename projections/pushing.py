"""Pushing: what events bring into the timelines of those who follow, the events of a batch together.

Called when the batch's edges and author feeds are durable (projections.timelines: the orders that keep a timeline's promise).
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final
from zlib import crc32

import msgspec

from projections.documents.port import After, Document, Documents, Row
from projections.documents.rules import PREFIXES, steps
from projections.feeds import FeedEntry, first_followers, followers_of, merged_entries
from projections.latches import Edge, Latch, begin_pulls, get_latches, latch
from projections.timelines import (
    TIMELINE_ROWS,
    HomeLimits,
    Timeline,
    drop,
    get_timelines,
    put_entries,
    raise_floor,
    row_id,
    trim,
)

TOGETHER: Final = 16
"""Timelines that are tended at once."""
ROWS: Final = 4_000
"""Rows of one call: what the store writes side by side."""


class Item(msgspec.Struct, frozen=True):
    """An entry that came into its author's feed with the event ``sequence``, recorded at ``now`` (microseconds)."""

    entry: FeedEntry
    sequence: int
    now: int


Owed = Mapping[str, Sequence[Item]]
"""Items by the owner of the timeline that they are for."""


async def push(documents: Documents, items: Sequence[Item], limits: HomeLimits) -> None:
    """Into the timelines of the authors and of all their followers, in steps; only the author's own where the followers merge this author.

    An author who turns out to have more than ``push_threshold`` followers is latched there and then, and these items merged as well.
    """
    by_author: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_author[item.entry.author].append(item)
    latches = await get_latches(documents, by_author)
    merged = {author: own for author, own in by_author.items() if author in latches and latches[author].done}
    await _push_to(documents, merged, limits)
    pushed = [author for author in by_author if author not in merged]
    for authors in steps(pushed, PREFIXES):
        await _push_some(documents, authors, by_author, latches, limits)


async def _push_some(
    documents: Documents, authors: Sequence[str], items: Owed, latches: Mapping[str, Latch], limits: HomeLimits
) -> None:
    """The followers of many authors are mostly known from one find. Where it does not hold them all, it is tried with half of the authors."""
    if len(authors) == 1:
        counts = {authors[0]: await _push_in_pages(documents, authors[0], items[authors[0]], limits)}
    elif (followers := await first_followers(documents, authors, limits.step)) is not None:
        owed: defaultdict[str, list[Item]] = defaultdict(list)
        for author in authors:
            for owner in (author, *followers.get(author, ())):
                owed[owner] += items[author]
        await _push_to(documents, owed, limits)
        counts = {author: len(followers.get(author, ())) for author in authors}
    else:
        half = len(authors) // 2
        await _push_some(documents, authors[:half], items, latches, limits)
        await _push_some(documents, authors[half:], items, latches, limits)
        return
    for author, count in counts.items():
        if count > limits.push_threshold or author in latches:
            await latch(documents, author, items[author][-1].sequence, limits.step)


async def _push_in_pages(documents: Documents, author: str, items: Sequence[Item], limits: HomeLimits) -> int:
    """To the followers of one author until there are no more, or too many; says how many it reached."""
    count = 0
    after: After | None = None
    owners = [author]
    while count <= limits.push_threshold:
        edges = await followers_of(documents, author, after=after, limit=limits.step)
        owners += [edge.follower for edge in edges]
        await _push_to(documents, dict.fromkeys(owners, items), limits)
        count, owners = count + len(edges), []
        if len(edges) < limits.step:
            break
        after = edges[-1].cursor
    return count


async def _push_to(documents: Documents, owed: Owed, limits: HomeLimits) -> None:
    if not owed:
        return
    found = await get_timelines(documents, list(owed))
    timelines = [timeline for timeline in found.values() if timeline.live]
    for rows in steps(_rows(timelines, owed), ROWS):
        await documents.put(TIMELINE_ROWS, rows)
    await _tend(documents, timelines, owed, limits)


def _rows(timelines: Iterable[Timeline], owed: Owed) -> Iterator[Row]:
    fields: dict[str, Document] = {}
    for timeline in timelines:
        for item in owed[timeline.owner]:
            entry = item.entry
            if entry.key >= timeline.floor:
                # An entry is the same in all timelines but for the owner.
                if entry.key not in fields:
                    fields[entry.key] = msgspec.to_builtins(entry)
                yield Row(row_id(timeline, entry), timeline.epoch, {"owner": timeline.owner, **fields[entry.key]})


async def _tend(documents: Documents, timelines: Iterable[Timeline], owed: Owed, limits: HomeLimits) -> None:
    """After the rows are there: an owner may come back at this very moment. Whether somebody is away goes by the events' own time, so that a worker
    that is catching up drops nobody who was active then."""
    work: list[tuple[Callable[[Documents, Timeline, HomeLimits], Awaitable[None]], Timeline]] = []
    for timeline in timelines:
        items = owed[timeline.owner]
        if timeline.touched_at < max(item.now for item in items) - limits.active:
            work.append((drop, timeline))
        elif any(_due(timeline.owner, item.entry.key, limits) for item in items):
            work.append((trim, timeline))
    for some in steps(work, TOGETHER):
        await asyncio.gather(*(tend(documents, timeline, limits) for tend, timeline in some))


def _due(owner: str, key: str, limits: HomeLimits) -> bool:
    """Each push looks at some timelines only, by turns: counting costs more than a row."""
    return crc32(key.encode(), crc32(owner.encode())) % limits.trim_every == 0


async def copy(documents: Documents, follows: Sequence[Edge], limits: HomeLimits) -> None:
    """What new follows bring: the authors' items above the followers' floors; and the edges' pulls, where authors are latched."""
    await begin_pulls(documents, follows)
    timelines = await get_timelines(documents, list({follow.follower for follow in follows}))
    live = [(follow.followee, timelines.get(follow.follower)) for follow in follows]
    for some in steps(live, TOGETHER):
        await asyncio.gather(
            *(_copy(documents, timeline, author, limits) for author, timeline in some if timeline and timeline.live)
        )


async def _copy(documents: Documents, timeline: Timeline, author: str, limits: HomeLimits) -> None:
    found = await merged_entries(documents, [author], after=None, limit=limits.kept + 1)
    entries = [entry for entry in found if entry.key >= timeline.floor]
    if len(entries) > limits.kept:
        # A prolific author does not fit above this floor: it rises first, and the promise holds.
        entries = entries[: limits.kept]
        await raise_floor(documents, timeline, [entry.key for entry in entries], limits)
    await put_entries(documents, timeline, entries)
    await trim(documents, timeline, limits)

"""The home feed as its owner reads it: the pushed timeline, united with the authors that are merged at read; below the timeline's floor, or without
one, everything is merged. At most four waves and eight finds a page.
"""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from heapq import merge
from itertools import groupby

import msgspec

from projections.documents.port import After, Documents
from projections.feeds import FeedEntry, following_ids, merged_entries
from projections.keys import BOTTOM
from projections.latches import pulled_authors
from projections.paging import Item, Page, Window, bounded
from projections.posts import get_posts
from projections.repeats import Stretch
from projections.rules import Feed, FeedItem, OfItem, Verdict, rules, worth_reading
from projections.sight import Sight, Wanted, hydrate
from projections.timelines import (
    DEFAULT_LIMITS,
    HomeLimits,
    Timeline,
    build,
    get_timelines,
    timeline_entries,
    touch,
)


class FeedState(StrEnum):
    """``REBUILDING``: the page was merged while there is no timeline; it is no less complete for that."""

    READY = "READY"
    REBUILDING = "REBUILDING"


class HomePage(msgspec.Struct, frozen=True):
    """``tend``: the timeline wants building or touching; the edge then runs ``tend_home`` after it has answered."""

    page: Page[FeedItem]
    state: FeedState
    tend: bool


async def home_page(
    documents: Documents,
    viewer: str,
    window: Window,
    now: int,
    limits: HomeLimits = DEFAULT_LIMITS,
) -> HomePage:
    """The viewer's home, newest first, forward only. ``now`` in microseconds decides what is worth tending, and which mutes have expired."""
    timelines, pulled = await asyncio.gather(get_timelines(documents, [viewer]), pulled_authors(documents, viewer))
    timeline = timelines.get(viewer)
    if timeline is None or not timeline.ready:
        return HomePage(await _merged(documents, viewer, window, now, limits), FeedState.REBUILDING, tend=True)
    tend = timeline.touched_at < now - limits.touch
    # The newest ``kept`` rows are never trimmed, and a timeline that was touched this week is not dropped within the hour.
    settled = _read(window, limits) < limits.kept and timeline.touched_at > now - limits.active + limits.touch
    page: Page[FeedItem] | None = None
    if _reaches(timeline, window):
        page = await _pushed(documents, timeline, pulled, window, now, limits, settled=settled)
    if page is None:
        page = await _merged(documents, viewer, window, now, limits)
    return HomePage(page, FeedState.READY, tend)


def _reaches(timeline: Timeline, window: Window) -> bool:
    """Whether the timeline has something to say about the window, which may begin below its brink. One that was trimmed before there were brinks has none."""
    if timeline.brink == BOTTOM != timeline.floor:
        return False
    return timeline.ready and (window.after is None or str(window.after.sort) > _lowest(timeline))


def _lowest(timeline: Timeline) -> str:
    """The lowest key that a timeline's page may have."""
    return max(timeline.floor, timeline.brink)


async def tend_home(
    documents: Documents, viewer: str, builder: str, now: int, limits: HomeLimits = DEFAULT_LIMITS
) -> None:
    """Builds the viewer's timeline where there is none, else notes that its owner was here."""
    if not await build(documents, viewer, builder, now, limits):
        await touch(documents, viewer, now)


def _overread(first: int) -> int:
    """Candidates read for a page: ids are cheap, and replies to strangers are left out later."""
    return 2 * first + 10


def _read(window: Window, limits: HomeLimits) -> int:
    """Entries read for a page: the candidates, and what lies below the last of them."""
    return _overread(window.first) + max(1, limits.ahead)


async def _merged(documents: Documents, viewer: str, window: Window, now: int, limits: HomeLimits) -> Page[FeedItem]:
    """From the feeds of all authors: no timeline is needed."""
    authors = [viewer, *await following_ids(documents, viewer)]
    found = await merged_entries(documents, authors, after=window.after, limit=_read(window, limits))
    stretch = _stretch(found, _overread(window.first), limits)
    entries = stretch.candidates
    sight = await hydrate(documents, viewer, entries=[*entries, *stretch.doubtful()], now=now)
    reached = entries[-1].cursor if entries else window.after
    return _page(sight, stretch, reached, len(found) > len(entries), window)


def _stretch(entries: Sequence[FeedEntry], count: int, limits: HomeLimits) -> Stretch:
    return Stretch(entries, count, apart=limits.apart, ahead=limits.ahead)


async def entries_below(
    documents: Documents, viewer: str, after: After | None, now: int, limits: HomeLimits = DEFAULT_LIMITS
) -> Sequence[FeedEntry]:
    """Those below ``after``, None: the newest, that could make a repost above them a repeat, newest first; three waves, five finds."""
    authors = [viewer, *await following_ids(documents, viewer)]
    found = await merged_entries(documents, authors, after=after, limit=limits.ahead)
    sight = await hydrate(documents, viewer, entries=found, now=now)
    shown = [entry for entry in found if rules(sight, OfItem(entry, Feed.HOME)) is Verdict.SHOWN]
    return shown[: limits.apart]


async def _pushed(
    documents: Documents,
    timeline: Timeline,
    pulled: Sequence[str],
    window: Window,
    now: int,
    limits: HomeLimits,
    *,
    settled: bool,
) -> Page[FeedItem] | None:
    """Above the brink. None where the timeline went away under the reader, and the page must be merged after all.

    ``settled``: nothing above the candidates of a first page can be deleted meanwhile. All other pages read the timeline once more after the rows,
    for a trim raises the floor before it deletes: what it deleted lies below the floor that is seen then.
    """
    limit, after = _read(window, limits), window.after
    rows, others = await asyncio.gather(
        timeline_entries(documents, timeline.owner, after=after, limit=limit),
        merged_entries(documents, pulled, after=after, limit=limit),
    )
    united = [next(same) for _, same in groupby(merge(rows, others, key=_key, reverse=True), key=_key)][:limit]
    stretch, exhausted = _above(timeline, united, window, limits)
    once = after is None and settled and not exhausted
    wanted = Wanted(timeline.owner, now)
    doubtful = stretch.doubtful()
    for entry in (*stretch.candidates, *doubtful):
        wanted.entry(entry)
    # The eighth find goes to the timeline or to the posts of a second helping, never to both.
    for entry in (*(stretch.candidates[: window.first] if once else stretch.candidates), *doubtful):
        wanted.post(entry.post)
    if once:
        sight = await _helped(documents, await wanted.read(documents), stretch, window.first)
    else:
        sight, again = await asyncio.gather(wanted.read(documents), get_timelines(documents, [timeline.owner]))
        standing = again.get(timeline.owner)
        if standing is None or standing.epoch != timeline.epoch or not _reaches(standing, window):
            return None
        timeline = standing
        stretch, exhausted = _above(timeline, united, window, limits)
    if exhausted:
        lowest = _lowest(timeline)
        return _page(sight, stretch, After(lowest, ""), lowest != BOTTOM, window)
    return _page(sight, stretch, stretch.candidates[-1].cursor, True, window)


def _above(
    timeline: Timeline, entries: Sequence[FeedEntry], window: Window, limits: HomeLimits
) -> tuple[Stretch, bool]:
    """Of the entries what the timeline vouches for; and whether no candidates are left behind those of this page."""
    above = [entry for entry in entries if entry.key >= timeline.floor]
    candidates = sum(entry.key >= _lowest(timeline) for entry in above)
    count = _overread(window.first)
    return _stretch(above, min(candidates, count), limits), candidates <= count


async def _helped(documents: Documents, sight: Sight, stretch: Stretch, first: int) -> Sight:
    """Reads the posts of the remaining candidates too, where rules left the page short."""
    if all(stretch.item(sight, place) is not None for place in range(first)):
        return sight
    wanted = [entry.post for entry in stretch.candidates[first:] if worth_reading(sight, entry, Feed.HOME)]
    return sight.joined(Sight(viewer=sight.viewer, posts=await get_posts(documents, wanted)))


def _page(sight: Sight, stretch: Stretch, reached: After | None, more: bool, window: Window) -> Page[FeedItem]:
    """What is shown; ``reached`` is where the candidates end, with or without ``more`` behind them."""
    items: list[Item[FeedItem]] = []
    count = len(stretch.candidates)
    for place, entry in enumerate(stretch.candidates):
        item = stretch.item(sight, place)
        if item is not None:
            items.append(Item(entry.cursor, item))
        if len(items) == window.first:
            more = more or any(_may_follow(sight, stretch, other) for other in range(place + 1, count))
            return bounded(items, entry.cursor, more, window)
    return bounded(items, reached, more, window)


def _may_follow(sight: Sight, stretch: Stretch, place: int) -> bool:
    """Whether a candidate behind a full page could be on the next one; its post may not have been read."""
    entry = stretch.candidates[place]
    if entry.post in sight.posts:
        return stretch.item(sight, place) is not None
    return worth_reading(sight, entry, Feed.HOME)


def _key(entry: FeedEntry) -> str:
    return entry.key

"""The cached part of home: timelines of active people, with one row per item, and which edges are merged at read instead of pushed.

A live timeline's promise: every item with a key >= floor of a pushed author whom the owner follows has a row, or will when the checkpoint has
passed it. Rows beyond that are allowed, read rules decide. Three orders keep it, whoever comes second sees the other:

- a push follows the write of author_feed, and *then* reads edges and timelines;
- a build writes its floor, *then* reads edges, *then* author_feed;
- a follow's copy follows the write of its edge, and *then* reads the timeline, *then* author_feed.

``epoch`` grows with each build and is the position that rows are written at, so that a trim or a drop that wakes up late deletes nothing of a later
build. A floor only rises within an epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import msgspec

from projections.documents.port import After, Collection, Documents, Fidelity, Index, Row, Shape
from projections.feeds import (
    FOLLOWS_READ,
    FeedEntry,
    as_entry,
    author_entries,
    followers_of,
    following_ids,
    merged_entries,
)
from projections.keys import BOTTOM

TIMELINES = Collection("home", "timelines", Shape.STATE, Fidelity.CACHE)
TIMELINE_ROWS = Collection("home", "timeline_rows", Shape.ROWS, Fidelity.CACHE, (Index("by_owner", ("owner",), "key"),))
LATCHES = Collection("home", "latches", Shape.STATE, Fidelity.CACHE)
PULLS = Collection("home", "pulls", Shape.ROWS, Fidelity.CACHE, (Index("by_owner", ("owner",), "author"),))

SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class HomeLimits:
    """Times are in microseconds. ``kept`` rows a timeline (Mastodon's 800), trimmed when there are ``slack`` more; ``filled`` by a build."""

    kept: int = 800
    slack: int = 200
    filled: int = 400
    push_threshold: int = 2_000
    active: int = 7 * 86_400 * SECOND
    touch: int = 3_600 * SECOND
    takeover: int = 60 * SECOND
    step: int = 1_000
    trim_every: int = 64


DEFAULT_LIMITS = HomeLimits()


class Cause(msgspec.Struct, frozen=True):
    """Of the event behind a deferred operation: its sequence, and when it was recorded (microseconds)."""

    sequence: int
    now: int


class Timeline(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``ready`` once its builder has put what stood above ``floor``; not ``live``: dropped, only its epoch counts."""

    owner: str
    epoch: int
    floor: str = BOTTOM
    live: bool = True
    ready: bool = False
    builder: str = ""
    claimed_at: int = 0
    touched_at: int = 0


class _Latch(msgspec.Struct, frozen=True):
    """``done``: every edge of the author that stood at the sweep has its row in ``pulls``."""

    author: str
    done: bool


def _row(timeline: Timeline, entry: FeedEntry) -> Row:
    fields = {"owner": timeline.owner, **msgspec.to_builtins(entry)}
    return Row(f"{timeline.owner}-{entry.key}", timeline.epoch, fields)


async def get_timelines(documents: Documents, owners: Sequence[str]) -> Mapping[str, Timeline]:
    """Timelines by owner, dropped ones too; one find."""
    found = await documents.get(TIMELINES, owners)
    return {owner: msgspec.convert(document, Timeline) for owner, document in found.items()}


async def _swap(documents: Documents, old: Timeline | None, new: Timeline) -> bool:
    expected = None if old is None else msgspec.to_builtins(old)
    return await documents.put_if(TIMELINES, new.owner, expected, msgspec.to_builtins(new))


async def _update(documents: Documents, timeline: Timeline, **changes: str | int | bool) -> bool:
    """Changes a live timeline of the same epoch; a floor only upwards. False where it is gone or another's."""
    current: Timeline | None = timeline
    while current is not None and current.live and current.epoch == timeline.epoch:
        wanted = dict(changes)
        if "floor" in wanted:
            wanted["floor"] = max(str(wanted["floor"]), current.floor)
        new = msgspec.structs.replace(current, **wanted)
        if new == current or await _swap(documents, current, new):
            return True
        current = (await get_timelines(documents, [timeline.owner])).get(timeline.owner)
    return False


async def push(documents: Documents, entry: FeedEntry, cause: Cause, limits: HomeLimits) -> None:
    """Into the timelines of the author and of all followers, in pages; only the author's own where the followers merge this author.

    An author who turns out to have more than ``push_threshold`` followers is latched there and then, and this item merged as well.
    """
    latch = await _get_latch(documents, entry.author)
    if latch is not None and latch.done:
        await _push_to(documents, [entry.author], entry, cause.now, limits)
        return
    owners, pushed, after = [entry.author], 0, None
    while True:
        edges = await followers_of(documents, entry.author, after=after, limit=limits.step)
        owners += [edge.follower for edge in edges]
        await _push_to(documents, owners, entry, cause.now, limits)
        pushed += len(edges)
        if pushed > limits.push_threshold or len(edges) < limits.step:
            break
        owners, after = [], edges[-1].cursor
    if pushed > limits.push_threshold or latch is not None:
        await _latch(documents, entry.author, cause.sequence, limits)


async def _push_to(documents: Documents, owners: Sequence[str], entry: FeedEntry, now: int, limits: HomeLimits) -> None:
    timelines = [timeline for timeline in (await get_timelines(documents, owners)).values() if timeline.live]
    reached = [timeline for timeline in timelines if entry.key >= timeline.floor]
    if reached:
        await documents.put(TIMELINE_ROWS, [_row(timeline, entry) for timeline in reached])
    for timeline in timelines:
        # After the row is there: the owner may come back at this very moment. ``now`` is the event's own time, so that a worker that is catching up
        # drops nobody who was active then.
        if timeline.touched_at < now - limits.active:
            await drop(documents, timeline, limits)
    for timeline in reached:
        # Each push looks at some timelines only, by turns: counting costs more than a row.
        if crc32(f"{timeline.owner}{entry.key}".encode()) % limits.trim_every == 0:
            await trim(documents, timeline, limits)


async def trim(documents: Documents, timeline: Timeline, limits: HomeLimits) -> None:
    """Keeps the newest rows of a timeline that has grown too long: the floor first, then what is below it."""
    cap = limits.kept + limits.slack
    if await documents.count(TIMELINE_ROWS, "by_owner", [timeline.owner], cap + 1) <= cap:
        return
    rows = await documents.page(TIMELINE_ROWS, "by_owner", [timeline.owner], limit=limits.kept, reverse=True)
    if len(rows) < limits.kept:
        # It was dropped meanwhile.
        return
    floor = str(rows[-1].sort)
    if await _update(documents, timeline, floor=floor):
        await _remove_rows(documents, timeline, floor, limits)


async def drop(documents: Documents, timeline: Timeline, limits: HomeLimits) -> None:
    """Gives a timeline up: the document first, then its rows. Does nothing where its owner or anything else has touched it since it was read."""
    if await _swap(documents, timeline, msgspec.structs.replace(timeline, live=False, ready=False)):
        # A row's key is digits and an id: all of them are below "~".
        await _remove_rows(documents, timeline, "~", limits)


async def _remove_rows(documents: Documents, timeline: Timeline, below: str, limits: HomeLimits) -> None:
    removed = limits.step
    while removed == limits.step:
        removed = await documents.remove(
            TIMELINE_ROWS, "by_owner", [timeline.owner], below=below, position=timeline.epoch, limit=limits.step
        )


async def copy(documents: Documents, follower: str, followee: str, cause: Cause, limits: HomeLimits) -> None:
    """What a new follow brings: the author's items above the follower's floor; and the edge's pull, where the author is latched."""
    if await _get_latch(documents, followee) is not None:
        await _put_pulls(documents, followee, [follower], cause.sequence)
    timeline = (await get_timelines(documents, [follower])).get(follower)
    if timeline is None or not timeline.live:
        return
    found = await author_entries(documents, followee, replies=True, after=None, limit=limits.kept + 1)
    entries = [entry for entry in found if entry.key >= timeline.floor]
    if len(entries) > limits.kept:
        # A prolific author does not fit above this floor: it rises first, and the promise holds.
        entries = entries[: limits.kept]
        await _update(documents, timeline, floor=entries[-1].key)
    await _put_entries(documents, timeline, entries)
    await trim(documents, timeline, limits)


async def _put_entries(documents: Documents, timeline: Timeline, entries: Sequence[FeedEntry]) -> None:
    if entries:
        await documents.put(TIMELINE_ROWS, [_row(timeline, entry) for entry in entries])


async def touch(documents: Documents, owner: str, now: int) -> None:
    """The owner was here: keeps the timeline from being dropped. The api calls it when a page says so, at most hourly."""
    timeline = (await get_timelines(documents, [owner])).get(owner)
    if timeline is not None and timeline.live and timeline.touched_at < now:
        await _update(documents, timeline, touched_at=now)


async def build(documents: Documents, owner: str, builder: str, now: int, limits: HomeLimits = DEFAULT_LIMITS) -> bool:
    """Builds the owner's timeline where there is none; False where there is one, or another builder was first.

    ``builder`` names the process. A build that was begun more than ``takeover`` ago and is not ready may be taken over.
    """
    current = (await get_timelines(documents, [owner])).get(owner)
    if current is not None and current.live and (current.ready or current.claimed_at > now - limits.takeover):
        return False
    newest = await _newest(documents, owner, limits.filled + 1)
    claim = Timeline(
        owner=owner,
        epoch=1 if current is None else current.epoch + 1,
        floor=newest[-2].key if len(newest) > limits.filled else BOTTOM,
        builder=builder,
        claimed_at=now,
        touched_at=now,
    )
    if not await _swap(documents, current, claim):
        return False
    found = await _newest(documents, owner, limits.kept + 1)
    entries = [entry for entry in found if entry.key >= claim.floor]
    if len(entries) > limits.kept:
        entries = entries[: limits.kept]
        await _update(documents, claim, floor=entries[-1].key)
    await _put_entries(documents, claim, entries)
    return await _update(documents, claim, ready=True)


async def _newest(documents: Documents, owner: str, limit: int) -> Sequence[FeedEntry]:
    authors = [owner, *await following_ids(documents, owner)]
    return await merged_entries(documents, authors, after=None, limit=limit)


async def timeline_entries(documents: Documents, owner: str, *, after: After | None, limit: int) -> Sequence[FeedEntry]:
    """Rows of a timeline, newest first, those below its floor too; one find."""
    # Keys are unique in a timeline: whatever the id, the row of the key itself is excluded.
    at = After(after.sort, "") if after is not None else None
    found = await documents.page(TIMELINE_ROWS, "by_owner", [owner], after=at, limit=limit, reverse=True)
    return [as_entry(row.fields) for row in found]


async def _get_latch(documents: Documents, author: str) -> _Latch | None:
    document = (await documents.get(LATCHES, [author])).get(author)
    return msgspec.convert(document, _Latch) if document is not None else None


async def _latch(documents: Documents, author: str, sequence: int, limits: HomeLimits) -> None:
    """Turns an author from push to merge for good. The latch is written before the sweep reads edges, and a follow writes its edge before it
    reads the latch: no edge is missed. Only when all have their pull does pushing end."""
    begun = msgspec.to_builtins(_Latch(author=author, done=False))
    await documents.put_if(LATCHES, author, None, begun)
    after = None
    while True:
        edges = await followers_of(documents, author, after=after, limit=limits.step)
        await _put_pulls(documents, author, [edge.follower for edge in edges], sequence)
        if len(edges) < limits.step:
            break
        after = edges[-1].cursor
    await documents.put_if(LATCHES, author, begun, msgspec.to_builtins(_Latch(author=author, done=True)))


async def _put_pulls(documents: Documents, author: str, owners: Sequence[str], sequence: int) -> None:
    # An author's posts and follows share a shard: the later event decides.
    if owners:
        await documents.put(
            PULLS, [Row(_pull_id(owner, author), sequence, {"owner": owner, "author": author}) for owner in owners]
        )


async def end_pull(documents: Documents, follower: str, followee: str, cause: Cause) -> None:
    """After an unfollow: a row without its owner is in no index, and no earlier event brings it back."""
    if await _get_latch(documents, followee) is not None:
        await documents.put(PULLS, [Row(_pull_id(follower, followee), cause.sequence, {"author": followee})])


def _pull_id(owner: str, author: str) -> str:
    return f"{owner}-{author}"


async def pulled_authors(documents: Documents, owner: str) -> Sequence[str]:
    """Those whose items are merged into the owner's home at read; one find."""
    found = await documents.page(PULLS, "by_owner", [owner], limit=FOLLOWS_READ)
    return [str(row.sort) for row in found]

"""The cached part of home: timelines of active people, with one row per item.

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

import msgspec

from projections.documents.port import After, Collection, Documents, Fidelity, Index, Row, Shape, Spread
from projections.feeds import (
    FeedEntry,
    as_entry,
    following_ids,
    merged_entries,
)
from projections.keys import BOTTOM

TIMELINES = Collection("home", "timelines", Shape.STATE, Fidelity.CACHE)
TIMELINE_ROWS = Collection(
    "home", "timeline_rows", Shape.ROWS, Fidelity.CACHE, (Index("by_owner", ("owner",), "key"),), Spread.RANGES
)

SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class HomeLimits:
    """Times are in microseconds. ``kept`` rows a timeline (Mastodon's 800), trimmed when there are ``slack`` more; ``filled`` by a build.

    ``apart`` and ``ahead`` keep a post from standing in a home twice in a row (projections.repeats); ``apart`` 0: it may. ``ahead`` < ``filled``.
    """

    kept: int = 800
    slack: int = 200
    filled: int = 400
    push_threshold: int = 2_000
    active: int = 7 * 86_400 * SECOND
    touch: int = 3_600 * SECOND
    takeover: int = 60 * SECOND
    step: int = 2_000
    trim_every: int = 128
    apart: int = 40
    ahead: int = 90

    def __post_init__(self) -> None:
        if not 0 <= self.apart <= self.ahead < self.filled <= self.kept:
            raise ValueError("A home needs apart <= ahead < filled <= kept.")

    def brink(self, keys: Sequence[str]) -> str:
        """That of a timeline which ends with ``keys``, newest first and more than ``ahead``; the last one is its floor."""
        return keys[-1 - self.ahead]


DEFAULT_LIMITS = HomeLimits()


class Timeline(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``ready`` once its builder has put what stood above ``floor``; not ``live``: dropped, only its epoch counts.

    ``brink``: from there up each row has ``HomeLimits.ahead`` others between itself and the floor, so that what lies below it can be looked at.
    """

    owner: str
    epoch: int
    floor: str = BOTTOM
    brink: str = BOTTOM
    live: bool = True
    ready: bool = False
    builder: str = ""
    claimed_at: int = 0
    touched_at: int = 0


def row_id(timeline: Timeline, entry: FeedEntry) -> str:
    return f"{timeline.owner}-{entry.key}"


async def get_timelines(documents: Documents, owners: Sequence[str]) -> Mapping[str, Timeline]:
    """Timelines by owner, dropped ones too; one find."""
    found = await documents.get(TIMELINES, owners)
    return {owner: msgspec.convert(document, Timeline) for owner, document in found.items()}


async def _swap(documents: Documents, old: Timeline | None, new: Timeline) -> bool:
    expected = None if old is None else msgspec.to_builtins(old)
    if expected is not None and old is not None and old.brink == BOTTOM:
        # Timelines of before there were brinks lack it. It rises with the floor alone, which is compared.
        del expected["brink"]
    return await documents.put_if(TIMELINES, new.owner, expected, msgspec.to_builtins(new))


async def _update(documents: Documents, timeline: Timeline, **changes: str | int | bool) -> bool:
    """Changes a live timeline of the same epoch; a floor only upwards. False where it is gone or another's."""
    current: Timeline | None = timeline
    while current is not None and current.live and current.epoch == timeline.epoch:
        wanted = dict(changes)
        for name, standing in (("floor", current.floor), ("brink", current.brink)):
            if name in wanted:
                wanted[name] = max(str(wanted[name]), standing)
        new = msgspec.structs.replace(current, **wanted)
        if new == current or await _swap(documents, current, new):
            return True
        current = (await get_timelines(documents, [timeline.owner])).get(timeline.owner)
    return False


async def raise_floor(documents: Documents, timeline: Timeline, keys: Sequence[str], limits: HomeLimits) -> bool:
    """To the last of ``keys``, with which the timeline then ends (HomeLimits.brink). False where it is gone or another's."""
    return await _update(documents, timeline, floor=keys[-1], brink=limits.brink(keys))


async def trim(documents: Documents, timeline: Timeline, limits: HomeLimits) -> None:
    """Keeps the newest rows of a timeline that has grown too long: the floor first, then what is below it."""
    cap = limits.kept + limits.slack
    if await documents.count(TIMELINE_ROWS, "by_owner", [timeline.owner], cap + 1) <= cap:
        return
    rows = await documents.page(TIMELINE_ROWS, "by_owner", [timeline.owner], limit=limits.kept, reverse=True)
    if len(rows) < limits.kept:
        # It was dropped meanwhile.
        return
    keys = [str(row.sort) for row in rows]
    if await raise_floor(documents, timeline, keys, limits):
        await _remove_rows(documents, timeline, keys[-1], limits)


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


async def put_entries(documents: Documents, timeline: Timeline, entries: Sequence[FeedEntry]) -> None:
    owner = {"owner": timeline.owner}
    rows = [Row(row_id(timeline, entry), timeline.epoch, owner | msgspec.to_builtins(entry)) for entry in entries]
    if rows:
        await documents.put(TIMELINE_ROWS, rows)


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
    newest = [entry.key for entry in await _newest(documents, owner, limits.filled + 1)]
    more = len(newest) > limits.filled
    claim = Timeline(
        owner=owner,
        epoch=1 if current is None else current.epoch + 1,
        floor=newest[-2] if more else BOTTOM,
        brink=limits.brink(newest[:-1]) if more else BOTTOM,
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
        await raise_floor(documents, claim, [entry.key for entry in entries], limits)
    await put_entries(documents, claim, entries)
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

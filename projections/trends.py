"""Trends: which account used which subject in which hour, and which subjects were used on a day: exact. A hashtag is used by posting with it, a post by
liking or reposting it. Snapshots: the ranking at a whole minute, a cache named by kind, window and minute, built by whoever asks for it first.

Times are those of recording. Of hashtags only public posts count; which posts may be shown as trends is decided at read.
"""

import asyncio
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum
from hashlib import blake2b
from typing import Final

import msgspec

from domain.envelope import Recorded
from domain.events import PostCreated, PostEdited, PostLiked, PostReposted
from projections.documents.port import (
    After,
    Change,
    Collection,
    Documents,
    Fidelity,
    Index,
    Row,
    Shape,
    Value,
)
from projections.folding import Alter, Family, Operation, Put, on
from projections.hashtag_feed import PUBLIC
from projections.paging import Item, Page, Window, bounded
from projections.trend_scores import (
    DAY,
    HISTORY_DAYS,
    HOUR,
    LOOKBACK,
    POST_FORMULA,
    TAG_FORMULA,
    Day,
    Use,
    history,
    ranked,
)

USES = Collection(
    "trends",
    "uses",
    Shape.ROWS,
    Fidelity.HORIZON,
    (Index("by_subject", ("kind", "subject"), "at"), Index("by_time", ("kind",), "at")),
)
SUBJECTS = Collection(
    "trends",
    "subjects",
    Shape.STATE,
    Fidelity.HORIZON,
    (Index("by_day", ("kind", "day"), "uses"), Index("by_time", ("kind",), "at")),
)
REACHED = Collection("trends", "reached", Shape.ROWS, Fidelity.HORIZON, (Index("by_kind", ("kind",), "shard"),))
"""When the newest use of each shard was recorded. Written after the uses themselves, and never falling, as recordedAt does not in a shard."""
SNAPSHOTS = Collection(
    "trends", "snapshots", Shape.ROWS, Fidelity.CACHE, (Index("by_window", ("kind", "window"), "at"),)
)

MINUTE: Final = 60_000_000
_NEVER: Final = 1 << 62
"""Microseconds that are never reached."""
SETTLE: Final = 5_000_000
"""The newest snapshot is of a minute that ended so long ago: mostly its last uses have been folded by then, and it need not be built again."""
KEPT: Final = HISTORY_DAYS * DAY
"""How long snapshots are kept, and how far back each of them looks."""
USES_KEPT: Final = 2 * KEPT + DAY
"""The oldest snapshot can still be built."""
MAX_SHARDS: Final = 1_024
SHORT: Final = 4
"""Characters that stand for a subject where it needs not be named."""
RANKED: Final = 100
CANDIDATES: Final = 1_000
"""Subjects of a day that are looked at, the most used first."""
STEP: Final = 1_000
MERGED: Final = 200
"""Subjects of one find."""


class TrendKind(StrEnum):
    TAG = "TAG"
    POST = "POST"


_FORMULAS: Final = {TrendKind.TAG: TAG_FORMULA, TrendKind.POST: POST_FORMULA}


class TrendWindow(StrEnum):
    H1 = "H1"
    H24 = "H24"


_WIDTH: Final = {TrendWindow.H1: HOUR, TrendWindow.H24: DAY}


class Trend(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A ranked subject. ``previous_rank`` is that of the snapshot a minute earlier, None where it had none; ``uses`` and ``authors`` are those
    within the window; ``history`` has the newest day first."""

    subject: str
    rank: int
    previous_rank: int | None
    score: float
    started_at: int
    uses: int
    authors: int
    history: tuple[Day, ...]

    @property
    def standing(self) -> tuple[int, int | None, int, int, int]:
        """What of it changes by what people do; score and history change with time alone."""
        return self.rank, self.previous_rank, self.uses, self.authors, self.started_at


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """``at``: a whole minute, in microseconds. ``reached`` is what REACHED said, by shard, before the uses were read."""

    kind: TrendKind
    window: TrendWindow
    at: int
    trends: tuple[Trend, ...]
    reached: Mapping[str, int] = {}

    @property
    def name(self) -> str:
        return _name(self.kind, self.window, self.at)

    @property
    def fingerprint(self) -> str:
        """Of what is ranked where: the snapshot of a minute may be built again, of more uses."""
        told = msgspec.msgpack.encode([(trend.subject, trend.standing) for trend in self.trends])
        return blake2b(told, digest_size=8).hexdigest()

    @property
    def roll(self) -> str:
        """Of what is ranked, wherever: SHORT characters a subject."""
        return "".join(_short(trend.subject) for trend in self.trends)

    def on_roll(self, roll: str) -> AbstractSet[str]:
        """The subjects that are ranked here and on the roll of a snapshot."""
        names = {roll[start : start + SHORT] for start in range(0, len(roll), SHORT)}
        return {trend.subject for trend in self.trends if _short(trend.subject) in names}

    def holds(self, reached: Mapping[str, int]) -> bool:
        """Whether no use up to ``at`` can have come since: each shard had passed it, or has had no use since then."""
        return all(
            before >= self.at or before == at
            for before, at in ((self.reached.get(shard, 0), at) for shard, at in reached.items())
        )


def _short(subject: str) -> str:
    return b64encode(blake2b(subject.encode(), digest_size=3).digest()).decode()


class _Subject(msgspec.Struct, frozen=True):
    subject: str
    uses: int


class _Use(msgspec.Struct, frozen=True):
    subject: str
    account: str
    at: int


def _used(recorded: Recorded, kind: TrendKind, account: str, subjects: Sequence[str]) -> Iterable[Operation]:
    at = recorded.recorded_at
    hour, day = at // HOUR, at // DAY
    for subject in subjects:
        use: dict[str, Value] = {"kind": kind.value, "subject": subject, "hour": hour, "account": account, "at": at}
        # The first stands, from whichever shard it came: times order them, not positions.
        yield Put(USES, f"{kind}:{hour}:{account}:{subject}", use, position=_NEVER - at)
        # Every shard sets these fields to the same values, so their order does not matter.
        fields: dict[str, Value] = {"kind": kind.value, "subject": subject, "day": day, "at": day * DAY}
        yield Alter(SUBJECTS, f"{kind}:{day}:{subject}", Change(set=fields, inc={"uses": 1}))
    if subjects:
        yield Put(REACHED, f"{kind}:{recorded.shard}", {"kind": kind.value, "shard": recorded.shard, "at": at})


def _created(recorded: Recorded, event: PostCreated) -> Iterable[Operation]:
    if event.visibility == PUBLIC:
        yield from _used(recorded, TrendKind.TAG, event.author, event.tags)


def _edited(recorded: Recorded, event: PostEdited) -> Iterable[Operation]:
    if event.visibility == PUBLIC:
        yield from _used(recorded, TrendKind.TAG, event.author, event.tags)


def _shared(recorded: Recorded, event: PostLiked | PostReposted) -> Iterable[Operation]:
    if event.actor != event.author:
        yield from _used(recorded, TrendKind.POST, event.actor, [event.post])


FAMILY = Family(
    "trends",
    (USES, SUBJECTS, REACHED, SNAPSHOTS),
    dict(
        (
            on(PostCreated, _created),
            on(PostEdited, _edited),
            on(PostLiked, _shared),
            on(PostReposted, _shared),
        )
    ),
    kept=USES_KEPT,
)


async def snapshot_of(
    documents: Documents, kind: TrendKind, window: TrendWindow, page: Window, now: int, at: int | None = None
) -> Snapshot:
    """The ranking at ``at``, or the newest, to be paged. A cursor names its snapshot, so that a client pages inside one ranking while others come."""
    minute = _minute_of(page.after) or newest_minute(now if at is None else min(at, now))
    return await get_snapshot(documents, kind, window, minute)


def trends_page(snapshot: Snapshot, page: Window) -> Page[Trend]:
    trends: Sequence[Trend] = snapshot.trends
    if page.after is not None:
        rank = int(page.after.sort)
        trends = [trend for trend in trends if (trend.rank < rank if page.backward else trend.rank > rank)]
    if page.backward:
        trends = trends[::-1]
    items = [Item(After(trend.rank, str(snapshot.at)), trend) for trend in trends[: page.first]]
    return bounded(items, items[-1].cursor if items else page.after, len(trends) > page.first, page)


def newest_minute(now: int) -> int:
    """The minute of the newest snapshot at ``now`` (microseconds)."""
    return (now - SETTLE) // MINUTE * MINUTE


async def get_snapshot(documents: Documents, kind: TrendKind, window: TrendWindow, minute: int) -> Snapshot:
    """The snapshot of a minute, built and kept if nobody has asked for it yet. The worker asks for the newest of every window each minute."""
    name = _name(kind, window, minute)
    found, reached = await asyncio.gather(documents.get(SNAPSHOTS, [name]), _reached(documents, kind))
    if name in found:
        kept = msgspec.convert(found[name], Snapshot)
        if kept.holds(reached):
            return kept
    snapshot = await build_snapshot(documents, kind, window, minute)
    # Through JSON, which has no tuples: documents hold none.
    fields = msgspec.json.decode(msgspec.json.encode(snapshot))
    # Of two that are built at once the one that has seen more stands.
    await documents.put(SNAPSHOTS, [Row(name, sum(snapshot.reached.values()), fields)])
    return snapshot


async def _reached(documents: Documents, kind: TrendKind) -> Mapping[str, int]:
    found = await documents.page(REACHED, "by_kind", [kind.value], limit=MAX_SHARDS)
    return {str(row.sort): msgspec.convert(row.fields["at"], int) for row in found}


async def build_snapshot(documents: Documents, kind: TrendKind, window: TrendWindow, minute: int) -> Snapshot:
    """The ranking at ``minute``, from the uses alone. Bounded by CANDIDATES subjects a day."""
    width, formula = _WIDTH[window], _FORMULAS[kind]
    reached = await _reached(documents, kind)
    uses = await _uses(documents, kind, await _candidates(documents, kind, width, minute), minute)
    scores = ranked(uses, minute, width, formula, RANKED)
    before = {subject: rank for rank, subject in enumerate(ranked(uses, minute - MINUTE, width, formula, RANKED), 1)}
    trends = []
    for rank, (subject, own) in enumerate(scores.items(), 1):
        inside = [use for use in uses[subject] if use.at > minute - width]
        trends.append(
            Trend(
                subject=subject,
                rank=rank,
                previous_rank=before.get(subject),
                score=own.value,
                started_at=own.started_at,
                uses=len(inside),
                authors=len({use.account for use in inside}),
                history=history(uses[subject], minute),
            )
        )
    return Snapshot(kind=kind, window=window, at=minute, trends=tuple(trends), reached=reached)


async def sweep_snapshots(documents: Documents, kind: TrendKind, window: TrendWindow, now: int) -> int:
    """Deletes snapshots older than KEPT; says how many: STEP means that there may be more."""
    prefix: list[Value] = [kind.value, window.value]
    return await documents.remove(SNAPSHOTS, "by_window", prefix, below=now - KEPT, position=None, limit=STEP)


async def sweep_uses(documents: Documents, kind: TrendKind, now: int) -> int:
    """Deletes uses that no snapshot looks back on, and the days of subjects; says how many of either: STEP means that there may be more."""
    horizon = now - USES_KEPT
    uses = await documents.remove(USES, "by_time", [kind.value], below=horizon, position=None, limit=STEP)
    days = await documents.remove(SUBJECTS, "by_time", [kind.value], below=horizon, position=None, limit=STEP)
    return max(uses, days)


def _name(kind: TrendKind, window: TrendWindow, minute: int) -> str:
    return f"{kind}:{window}:{minute}"


def _minute_of(cursor: After | None) -> int | None:
    return int(cursor.id) if cursor is not None else None


async def _candidates(documents: Documents, kind: TrendKind, width: int, at: int) -> Sequence[str]:
    """Subjects that may have reached the floor within a window of the hours that count."""
    # A window touches two days at most, so half of the floor's uses fall on one of them.
    least = -(-_FORMULAS[kind].floor // 2) if width <= DAY else 1
    subjects: dict[str, None] = {}
    for day in range((at - LOOKBACK - width) // DAY, at // DAY + 1):
        found = await documents.page(SUBJECTS, "by_day", [kind.value, day], limit=CANDIDATES, reverse=True)
        own = (msgspec.convert(row.fields, _Subject) for row in found)
        subjects |= {subject.subject: None for subject in own if subject.uses >= least}
    return list(subjects)


async def _uses(documents: Documents, kind: TrendKind, subjects: Sequence[str], at: int) -> Mapping[str, Sequence[Use]]:
    """Uses up to and including ``at`` as far back as KEPT, ascending by time."""
    uses: dict[str, list[Use]] = {subject: [] for subject in subjects}
    for start in range(0, len(subjects), MERGED):
        prefixes = [[kind.value, subject] for subject in subjects[start : start + MERGED]]
        # Exclusive of the next microsecond, whatever the id.
        after: After | None = After(at + 1, "")
        while after is not None:
            found = await documents.page_many(USES, "by_subject", prefixes, after=after, limit=STEP, reverse=True)
            own = [msgspec.convert(row.fields, _Use) for row in found]
            for use in own:
                uses[use.subject].append(Use(use.at, use.account))
            ended = len(found) < STEP or own[-1].at <= at - KEPT
            after = None if ended else After(own[-1].at, found[-1].id)
    return {subject: own[::-1] for subject, own in uses.items()}

"""Live trends: what comes into, moves in and goes from a ranking, from one snapshot to the next."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial

from api.auth.access import Viewer
from api.live import cursors
from api.live.rankings import Ranking
from api.live.stream import Lagged, Shown, in_session, require_session
from api.services import Services
from domain.errors import UnavailableError
from projections.hashtag_feed import PUBLIC
from projections.reading import open_posts
from projections.rules import PostView
from projections.sight import Sight, Wanted
from projections.trends import KEPT, SHORT, Snapshot, Trend, TrendKind, TrendWindow


@dataclass(frozen=True, slots=True)
class Added:
    cursor: str
    trend: Trend
    post: PostView | None


@dataclass(frozen=True, slots=True)
class Updated:
    cursor: str
    trend: Trend
    post: PostView | None


@dataclass(frozen=True, slots=True)
class Removed:
    cursor: str
    subject: str


TrendEvent = Added | Updated | Removed


def sign_trends(services: Services, viewer: str | None, snapshot: Snapshot) -> str:
    """A cursor behind this snapshot. It says what was ranked: the snapshot of a minute may be built again."""
    mark = f"{snapshot.fingerprint}.{snapshot.roll}"
    return services.signer.sign_cursor(_bound_to(snapshot, viewer), snapshot.at, mark)


def _bound_to(ranking: Ranking | Snapshot, viewer: str | None) -> str:
    return cursors.subject(cursors.trends(ranking.kind, ranking.window), viewer)


async def trends_stream(
    services: Services, viewer: Viewer | None, kind: TrendKind, window: TrendWindow, after: str | None
) -> AsyncGenerator[TrendEvent | Lagged, None]:
    """As open_stream. What came and went between two snapshots is passed over."""
    async with services.rankings.following(kind, window) as ranking:
        stream = _Stream(services, viewer, ranking)
        reached = await stream.begin(after)
        while (snapshot := await in_session(services, viewer, partial(ranking.newer, reached))) is not None:
            try:
                changes = await stream.changes(snapshot)
            except UnavailableError:
                break
            for change in changes:
                require_session(services, viewer)
                yield change
            reached = snapshot.at
        yield Lagged(stream.cursor, 0)


class _Stream:
    """``_told``: by subject, the trends that the client has, or may have; None where it may have another state of one."""

    def __init__(self, services: Services, viewer: Viewer | None, ranking: Ranking) -> None:
        self.cursor = ""
        self._services = services
        self._viewer = viewer.account if viewer is not None else None
        self._ranking = ranking
        self._told: Mapping[str, Trend | None] = {}

    async def begin(self, after: str | None) -> int:
        """The minute behind which it goes on. Refusal CURSOR_INVALID or CURSOR_TOO_OLD."""
        if after is None:
            base, known = self._ranking.newest, True
            there: AbstractSet[str] = _shown(await self._sight(base), base).keys()
        else:
            minute, fingerprint, roll = self._read(after)
            base = await self._ranking.at(minute)
            known = base.fingerprint == fingerprint
            had = base.on_roll(roll)
            if SHORT * len(had) < len(roll):
                # What fell out when the minute was ranked anew cannot be named any more.
                raise cursors.too_old()
            # What is hidden from the viewer by now may have been shown to them then.
            there = had & _open_to_somebody(await self._sight(base), base)
        self._told = {trend.subject: trend if known else None for trend in base.trends if trend.subject in there}
        self.cursor = after or sign_trends(self._services, self._viewer, base)
        return base.at if known else 0

    def _read(self, cursor: str) -> tuple[int, str, str]:
        minute, mark = self._services.signer.read_cursor(_bound_to(self._ranking, self._viewer), cursor)
        if int(minute) < self._services.now() - KEPT:
            raise cursors.too_old()
        fingerprint, _, roll = mark.partition(".")
        return int(minute), fingerprint, roll

    async def changes(self, snapshot: Snapshot) -> Sequence[TrendEvent]:
        """From what the client has to what it is to have: what goes first, then by rank."""
        shown = _shown(await self._sight(snapshot), snapshot)
        trends = {trend.subject: trend for trend in snapshot.trends if trend.subject in shown}
        changes: list[Shown[TrendEvent]] = [partial(Removed, subject=gone) for gone in self._told if gone not in trends]
        for subject, trend in trends.items():
            told = self._told.get(subject)
            if subject not in self._told:
                changes.append(partial(Added, trend=trend, post=shown[subject]))
            elif told is None or told.standing != trend.standing:
                changes.append(partial(Updated, trend=trend, post=shown[subject]))
        before, self.cursor = self.cursor, sign_trends(self._services, self._viewer, snapshot)
        self._told = trends
        # Only behind the last of them has all of it been delivered.
        return [change(before) for change in changes[:-1]] + [change(self.cursor) for change in changes[-1:]]

    async def _sight(self, snapshot: Snapshot) -> Sight:
        """Two waves: posts, and then their authors. Nothing of hashtags, which everybody may see."""
        wanted, authors = Wanted(self._viewer, self._services.now()), Wanted(self._viewer)
        if snapshot.kind is not TrendKind.POST:
            return Sight(viewer=self._viewer)
        looks = self._services.live.looks
        for trend in snapshot.trends:
            wanted.post(trend.subject)
        sight = await looks.read(wanted)
        for found in sight.posts.values():
            authors.author_of(found)
        return sight.joined(await looks.read(authors))


def _shown(sight: Sight, snapshot: Snapshot) -> Mapping[str, PostView | None]:
    """What of a snapshot the viewer may see, with the post that each of POST is about."""
    subjects = [trend.subject for trend in snapshot.trends]
    if snapshot.kind is not TrendKind.POST:
        return dict.fromkeys(subjects)
    return {view.id: view for view in open_posts(sight, subjects)}


def _open_to_somebody(sight: Sight, snapshot: Snapshot) -> AbstractSet[str]:
    """What of a snapshot is in anybody's ranking, or was while it stood: of posts for some alone not even the end is told."""
    subjects = [trend.subject for trend in snapshot.trends]
    if snapshot.kind is not TrendKind.POST:
        return set(subjects)
    posts = (sight.posts[subject] for subject in subjects if subject in sight.posts)
    return {post.id for post in posts if post.visibility == PUBLIC and post.reply_to is None}

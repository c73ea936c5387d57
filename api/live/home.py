"""The live home: what comes into, changes in and goes from the feed of somebody who is signed in, as they follow and unfollow."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from api.auth.access import Viewer
from api.live.cursors import HOME, subject
from api.live.items import Added, ItemEvent, Items
from api.live.replay import Topics
from api.live.stream import Lagged, Shown, open_stream
from api.services import Services
from projections import home
from projections.documents.port import After
from projections.feeds import FeedEntry, following_ids
from projections.homefeed import entries_below
from projections.keys import sort_key
from projections.rules import Feed, OfItem, Verdict, rules, show_item
from projections.sight import Sight
from projections.signals import Signal, SignalKind, author_topic, following_topic
from projections.timelines import DEFAULT_LIMITS

P = TypeVar("P")


def home_stream(
    services: Services, viewer: Viewer, after: str | None, present: Callable[[ItemEvent | Lagged], P]
) -> AsyncGenerator[P, None]:
    """As open_stream."""
    return open_stream(services, viewer, _Home(services, viewer.account), after, present)


class _Home(Items):
    """``_lately`` holds, by item, the newest that may stand in the home, the latest to come last: what it showed itself, and below the first repost what
    the page has. So a repost is judged as the page judges it (projections.repeats), though home may be folded later than the signals."""

    def __init__(self, services: Services, viewer: str) -> None:
        super().__init__(services, viewer, subject(HOME, viewer), Feed.HOME, ())
        # Of what is live, not of the subscription's beginning: they are read hours later too.
        self._documents = services.live.looks.documents
        self._own = viewer
        self._lately: dict[str, FeedEntry] = {}
        self._looked = False

    async def topics(self, after: Mapping[int, int]) -> Topics:  # noqa: ARG002 (whom somebody follows is known as of now)
        # What is known of follows must be older than the edges that are read next: what happened in between is then seen twice, not never.
        known = await self._documents.load_checkpoints(home.FAMILY.name)
        authors = await following_ids(self._documents, self._own)
        return Topics([following_topic(self._own), author_topic(self._own), *map(author_topic, authors)], known)

    async def show(self, signals: Sequence[Signal]) -> Sequence[Sequence[Shown[ItemEvent]]]:
        first = next((signal for signal in signals if _of_repost(signal)), None)
        if first is not None and not self._looked:
            after = first.entry.cursor if first.entry is not None else _cursor_of_end(first)
            below = await entries_below(self._documents, self._own, after, self._services.now())
            self._lately = {entry.item: entry for entry in reversed(below)} | self._lately
            self._looked = True
        return await super().show(signals)

    def _besides(self, signals: Sequence[Signal]) -> Iterable[FeedEntry]:
        reposted = {signal.post for signal in signals if _of_repost(signal)}
        return [entry for entry in self._lately.values() if entry.post in reposted]

    def _shown(self, sight: Sight, signal: Signal) -> Sequence[Shown[ItemEvent]]:
        shown, entry = super()._shown(sight, signal), signal.entry
        if signal.kind is SignalKind.ITEM_ADDED and entry is not None and shown:
            self._note(entry)
            return () if entry.repost and self._repeats(sight, entry) else shown
        if signal.kind is SignalKind.ITEM_REMOVED and signal.item is not None:
            self._lately.pop(signal.item, None)
            return (*shown, *self._next(sight, signal.post)) if _of_repost(signal) else shown
        return shown

    def _note(self, entry: FeedEntry) -> None:
        self._lately.pop(entry.item, None)
        self._lately[entry.item] = entry
        while len(self._lately) > 2 * DEFAULT_LIMITS.apart:
            del self._lately[next(iter(self._lately))]

    def _repeats(self, sight: Sight, entry: FeedEntry) -> bool:
        """Whether the page would leave a repost out."""
        below = sorted((other for other in self._lately.values() if other.key < entry.key), key=_key, reverse=True)
        return any(other.post == entry.post and _stands(sight, other) for other in below[: DEFAULT_LIMITS.apart])

    def _next(self, sight: Sight, post: str | None) -> Sequence[Shown[ItemEvent]]:
        """A repost that had been left out shows by itself where the one below it was undone. It may come a second time."""
        others = sorted((other for other in self._lately.values() if other.post == post), key=_key)
        oldest = next((other for other in others if _stands(sight, other)), None)
        item = show_item(sight, oldest, Feed.HOME) if oldest is not None and oldest.repost else None
        return () if item is None else (partial(Added, item=item),)


def _of_repost(signal: Signal) -> bool:
    """Whether a repost was made or undone."""
    if signal.kind is SignalKind.ITEM_ADDED:
        return signal.entry is not None and signal.entry.repost
    return signal.kind is SignalKind.ITEM_REMOVED and signal.item != signal.post


def _cursor_of_end(signal: Signal) -> After:
    """Where a repost would stand had it been made when it was undone."""
    item = signal.item or ""
    return After(sort_key(signal.at, item), item)


def _stands(sight: Sight, entry: FeedEntry) -> bool:
    return rules(sight, OfItem(entry, Feed.HOME)) is Verdict.SHOWN


def _key(entry: FeedEntry) -> str:
    return entry.key

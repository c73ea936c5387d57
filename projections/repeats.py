"""Repeats: a repost brings nothing into a home where its post stands a little further down anyhow.

What lies *below* a repost decides, and nothing else: so whatever comes in above, and however a list is cut into pages, changes nothing of what a reader who
goes down has yet to see; and when what stood there goes, the next repost above it shows by itself. Posts themselves are never left out.
"""

from collections.abc import Sequence

from projections.feeds import FeedEntry
from projections.rules import Feed, FeedItem, OfItem, Verdict, rules, show_item
from projections.sight import Sight


class Stretch:
    """``entries`` of a home, newest first. What becomes of the first ``count`` can be told; the others are what lies below those.

    A repost is left out where its post stands among the next ``apart`` items that rules show, and no further down than ``ahead`` entries: past so many
    that are not shown nobody looks.
    """

    def __init__(self, entries: Sequence[FeedEntry], count: int, *, apart: int, ahead: int) -> None:
        self.entries = entries
        self.candidates = entries[:count]
        self._apart = apart
        standing: dict[str, list[int]] = {entry.post: [] for entry in self.candidates if apart and entry.repost}
        for place, entry in enumerate(entries):
            if entry.post in standing:
                standing[entry.post].append(place)
        # Where the post of a repost stands among the ``ahead`` entries below it, by the repost's own place.
        self._below: dict[int, Sequence[int]] = {}
        for place, entry in enumerate(self.candidates):
            below = [other for other in standing.get(entry.post, ()) if place < other <= place + ahead]
            if entry.repost and below:
                self._below[place] = below

    def doubtful(self) -> Sequence[FeedEntry]:
        """Entries that must be known, with their posts, so that it can be told of the candidates whether they are repeats."""
        places: set[int] = set()
        for place, below in self._below.items():
            # What lies so near is near enough, whatever of the entries between is shown.
            far = below[-1] - place > self._apart
            places.update(range(place + 1, below[-1] + 1) if far else below)
        return [self.entries[place] for place in sorted(places)]

    def item(self, sight: Sight, place: int) -> FeedItem | None:
        """The candidate at ``place``, None where rules leave it out or it is a repeat."""
        item = show_item(sight, self.entries[place], Feed.HOME)
        return None if item is None or self._repeats(sight, place) else item

    def _repeats(self, sight: Sight, place: int) -> bool:
        nearest = next((other for other in self._below.get(place, ()) if self._stands(sight, other)), None)
        if nearest is None:
            return False
        if nearest - place <= self._apart:
            return True
        return sum(self._stands(sight, between) for between in range(place + 1, nearest)) < self._apart

    def _stands(self, sight: Sight, place: int) -> bool:
        return rules(sight, OfItem(self.entries[place], Feed.HOME)) is Verdict.SHOWN

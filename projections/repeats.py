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
        # Where the post of a repost stands last among the ``ahead`` entries below it, by the repost's own place.
        self._last: dict[int, int] = {}
        standing: dict[str, list[int]] = {entry.post: [] for entry in self.candidates if apart and entry.repost}
        for place, entry in enumerate(entries):
            if entry.post in standing:
                standing[entry.post].append(place)
        for place, entry in enumerate(self.candidates):
            below = [other for other in standing.get(entry.post, ()) if place < other <= place + ahead]
            if entry.repost and below:
                self._last[place] = below[-1]

    def doubtful(self) -> Sequence[FeedEntry]:
        """Entries that must be known, with their posts, so that it can be told of the candidates whether they are repeats."""
        places = {other for place, last in self._last.items() for other in range(place + 1, last + 1)}
        return [self.entries[place] for place in sorted(places)]

    def item(self, sight: Sight, place: int) -> FeedItem | None:
        """The candidate at ``place``, None where rules leave it out or it is a repeat."""
        item = show_item(sight, self.entries[place], Feed.HOME)
        return None if item is None or self._repeats(sight, place) else item

    def _repeats(self, sight: Sight, place: int) -> bool:
        post, between = self.entries[place].post, 0
        for entry in self.entries[place + 1 : self._last.get(place, place) + 1]:
            if between == self._apart:
                break
            if rules(sight, OfItem(entry, Feed.HOME)) is Verdict.SHOWN:
                if entry.post == post:
                    return True
                between += 1
        return False

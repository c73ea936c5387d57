"""All families: what the workers run, and what ``migrate`` prepares."""

from typing import Final

from projections import accounts, hashtag_feed, home, posts, receipts, signals, trends, viewer_edges
from projections.folding import Family

ALL: Final[tuple[Family, ...]] = (
    accounts.FAMILY,
    posts.FAMILY,
    viewer_edges.FAMILY,
    home.FAMILY,
    hashtag_feed.FAMILY,
    trends.FAMILY,
    signals.FAMILY,
    receipts.FAMILY,
)

"""All families: what the workers run, and what ``migrate`` prepares."""

from typing import Final

from projections import (
    accounts,
    claims,
    footprints,
    hashtag_feed,
    home,
    notifications,
    posts,
    receipts,
    search,
    sessions,
    signals,
    trends,
    viewer_edges,
)
from projections.folding import Family

ALL: Final[tuple[Family, ...]] = (
    accounts.FAMILY,
    posts.FAMILY,
    viewer_edges.FAMILY,
    claims.FAMILY,
    sessions.FAMILY,
    footprints.FAMILY,
    home.FAMILY,
    hashtag_feed.FAMILY,
    trends.FAMILY,
    search.FAMILY,
    notifications.FAMILY,
    signals.FAMILY,
    receipts.FAMILY,
)

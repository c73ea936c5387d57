"""The live home: what comes into, changes in and goes from the feed of somebody who is signed in, as they follow and unfollow."""

from collections.abc import AsyncGenerator, Mapping

from api.auth.access import Viewer
from api.live.cursors import HOME, subject
from api.live.items import ItemEvent, Items
from api.live.replay import Topics
from api.live.stream import Lagged, open_stream
from api.services import Services
from projections import home
from projections.documents.port import Documents
from projections.feeds import following_ids
from projections.rules import Feed
from projections.signals import author_topic, following_topic


def home_stream(services: Services, viewer: Viewer, after: str | None) -> AsyncGenerator[ItemEvent | Lagged, None]:
    """As open_stream."""
    return open_stream(services, viewer, _Home(services, viewer.account), after)


class _Home(Items):
    def __init__(self, services: Services, viewer: str) -> None:
        super().__init__(services, viewer, subject(HOME, viewer), Feed.HOME, ())
        self._documents: Documents = services.documents
        self._own = viewer

    async def topics(self, after: Mapping[int, int]) -> Topics:  # noqa: ARG002 (whom somebody follows is known as of now)
        # What is known of follows must be older than the edges that are read next: what happened in between is then seen twice, not never.
        known = await self._documents.load_checkpoints(home.FAMILY.name)
        authors = await following_ids(self._documents, self._own)
        return Topics([following_topic(self._own), author_topic(self._own), *map(author_topic, authors)], known)

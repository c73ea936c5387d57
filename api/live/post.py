"""A live post: how it and its counts change, and what answers it, by the same rules as reading it."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from api.auth.access import Viewer
from api.live import cursors
from api.live.replay import Topics
from api.live.stream import Lagged, Shown, open_stream
from api.services import Services
from projections.rules import PostView, Tombstone, show_post
from projections.sight import Sight, Wanted
from projections.signals import Signal, SignalKind, post_topic

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Updated:
    cursor: str
    post: PostView | Tombstone


@dataclass(frozen=True, slots=True)
class Answered:
    cursor: str
    reply: PostView


PostEvent = Updated | Answered


def post_stream(
    services: Services, viewer: Viewer | None, post: str, after: str | None, present: Callable[[PostEvent | Lagged], P]
) -> AsyncGenerator[P, None]:
    """As open_stream."""
    account = viewer.account if viewer is not None else None
    return open_stream(services, viewer, _Post(services, account, post), after, present)


class _Post:
    def __init__(self, services: Services, viewer: str | None, post: str) -> None:
        self.bound_to = cursors.subject(cursors.post(post), viewer)
        self._services = services
        self._viewer = viewer
        self._post = post

    async def topics(self, after: Mapping[int, int]) -> Topics:
        return Topics([post_topic(self._post)], after)

    async def show(self, signals: Sequence[Signal]) -> Sequence[Sequence[Shown[PostEvent]]]:
        sight = await self._sight([signal.reply for signal in signals if signal.reply is not None])
        view = show_post(sight, self._post)
        if isinstance(view, Tombstone) and not (view.deleted or view.blocked):
            # Nothing that this viewer could be told of.
            return [() for _ in signals]
        return [self._shown(sight, signal, view) for signal in signals]

    async def _sight(self, replies: Sequence[str]) -> Sight:
        """Two waves: posts, and then their authors."""
        looks = self._services.live.looks
        wanted, authors = Wanted(self._viewer, self._services.now()), Wanted(self._viewer)
        for post in (self._post, *replies):
            wanted.post(post)
        sight = await looks.read(wanted)
        for found in sight.posts.values():
            authors.author_of(found)
        return sight.joined(await looks.read(authors))

    def _shown(self, sight: Sight, signal: Signal, view: PostView | Tombstone) -> Sequence[Shown[PostEvent]]:
        # An answer counts too, whoever may see it.
        updated: Shown[PostEvent] = partial(Updated, post=view)
        if signal.kind is not SignalKind.REPLY_ADDED or signal.reply is None or isinstance(view, Tombstone):
            return (updated,)
        reply = show_post(sight, signal.reply)
        return (updated, partial(Answered, reply=reply)) if isinstance(reply, PostView) else (updated,)

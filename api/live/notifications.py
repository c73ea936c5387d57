"""Live notifications: what the viewer is told, and what of it is taken back, by the same rules as the page."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from api.auth.access import Viewer
from api.live.cursors import NOTIFICATIONS, subject
from api.live.replay import Topics
from api.live.stream import Lagged, Shown, open_stream
from api.services import Services
from projections.notes import BUCKET, GROUPED, Note, get_groups
from projections.notified import SAMPLE, NotificationView, reader, see_groups
from projections.signals import KEPT, Signal, SignalKind, notify_topic

P = TypeVar("P")

PAST: Final = KEPT // BUCKET
"""A note that was taken back stood in one of so many groups before the present one, or in an older one, of which nothing is told."""


@dataclass(frozen=True, slots=True)
class Added:
    cursor: str
    view: NotificationView


@dataclass(frozen=True, slots=True)
class Updated:
    cursor: str
    view: NotificationView


@dataclass(frozen=True, slots=True)
class Removed:
    cursor: str
    group: str


NoteEvent = Added | Updated | Removed


def notifications_stream(
    services: Services, viewer: Viewer, after: str | None, present: Callable[[NoteEvent | Lagged], P]
) -> AsyncGenerator[P, None]:
    """As open_stream."""
    return open_stream(services, viewer, _Notifications(services, viewer.account), after, present)


class _Notifications:
    def __init__(self, services: Services, viewer: str) -> None:
        self.bound_to = subject(NOTIFICATIONS, viewer)
        self._services = services
        self._viewer = viewer

    async def topics(self, after: Mapping[int, int]) -> Topics:
        return Topics([notify_topic(self._viewer)], after)

    async def show(self, signals: Sequence[Signal]) -> Sequence[Sequence[Shown[NoteEvent]]]:
        """Five finds, however many signals."""
        concerned = [_groups(signal, self._viewer) for signal in signals]
        ids = list(dict.fromkeys(group for groups in concerned for group in groups))
        documents = self._services.live.looks.documents
        found, who = await asyncio.gather(
            get_groups(documents, ids), reader(documents, self._viewer, self._services.now())
        )
        own = [found[id_] for id_ in ids if id_ in found]
        views = dict(zip((group.group for group in own), await see_groups(documents, who, own), strict=True))
        return [
            [event for group in groups if group in views for event in _shown(signal, group, views[group])]
            for signal, groups in zip(signals, concerned, strict=True)
        ]


def _groups(signal: Signal, viewer: str) -> Sequence[str]:
    """The groups that the signal's note stands in, or may have stood in."""
    if signal.note is None or signal.account is None:
        return ()
    past = PAST if signal.kind is SignalKind.NOTE_TAKEN_BACK and signal.note in GROUPED else 0
    return [
        Note(
            type=signal.note,
            recipient=viewer,
            actor=signal.account,
            at=signal.at - ago * BUCKET,
            subject=signal.post or "",
            part=signal.part or "",
        ).group
        for ago in range(past + 1)
    ]


def _shown(signal: Signal, group: str, view: NotificationView | None) -> Sequence[Shown[NoteEvent]]:
    if signal.kind is SignalKind.NOTIFIED:
        if view is None or not _is_of(view, signal.account):
            return ()
        return (partial(Added if view.count == 1 else Updated, view=view),)
    # Which of the groups it stood in is not known any more: as they are now is right for each.
    return (partial(Removed, group=group) if view is None else partial(Updated, view=view),)


def _is_of(view: NotificationView, account: str | None) -> bool:
    """Whether a person is one of a notification's: who is hidden changes nothing in what is shown. Of many people not all are named."""
    return view.count > SAMPLE or any(person.id == account for person in view.people)

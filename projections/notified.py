"""Notifications as their recipient sees them: groups → notes → rules. Whoever is blocked, muted or gone has no part in any, and one without people is none."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from projections.documents.port import After, Documents
from projections.keys import BOTTOM, sort_key
from projections.notes import (
    Group,
    Note,
    NotificationType,
    count_notes,
    group_notes,
    groups_page,
    notes_of,
    notes_page,
)
from projections.notifications import get_marker
from projections.paging import Page, Window, fill
from projections.rules import PersonView, PostView, show_person, show_post
from projections.sight import Sight, hydrate

SAMPLE: Final = 8
"""People of a group that are named (Mastodon, models/concerns/notification/groups.rb)."""
READ: Final = 500
"""Notes that are read at once for a page of groups: mostly all that there are."""
COUNTED: Final = 1_000
"""Notes of a group are counted so far."""
UNREAD: Final = 100
"""Unread notifications are counted so far."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Notes of the newest first that were read of a group; ``count`` is how many there are, COUNTED at most."""

    group: Group
    notes: Sequence[Note]
    count: int


class NotificationView(msgspec.Struct, frozen=True, kw_only=True):
    """``people``: some of those who did it, the latest first; ``count`` how many did, as far as they are shown. ``only``: the note, where it stands for itself
    and not for its group. Times are in microseconds."""

    id: str
    type: NotificationType
    count: int
    people: Sequence[PersonView]
    post: PostView | None
    at: int
    unread: bool
    only: Note | None = None


class Reader(msgspec.Struct, frozen=True):
    """``now`` in microseconds is when mutes are judged; ``marker`` up to when the viewer has read."""

    viewer: str
    now: int
    marker: int


async def reader(documents: Documents, viewer: str, now: int) -> Reader:
    return Reader(viewer, now, await get_marker(documents, viewer))


async def notifications_page(
    documents: Documents, reader: Reader, window: Window, types: Sequence[NotificationType], *, grouped: bool
) -> Page[NotificationView]:
    """What the viewer was told, newest first; of all types where none is named. Five waves a round at most, but for groups that are larger than READ."""
    fetch_groups = partial(groups_page, documents, reader.viewer, types, reverse=not window.backward)
    fetch_notes = partial(notes_page, documents, reader.viewer, types, reverse=not window.backward)

    async def see_notes(found: Sequence[Note]) -> Sequence[NotificationView | None]:
        return await _see(documents, reader, [_alone(note) for note in found])

    if grouped:
        return await fill(fetch_groups, partial(see_groups, documents, reader), window)
    return await fill(fetch_notes, see_notes, window)


def _alone(note: Note) -> Told:
    group = Group(
        group=note.id,
        recipient=note.recipient,
        type=note.type,
        subject=note.subject,
        key=note.key,
        at=note.at,
    )
    return Told(group=group, notes=[note], count=1)


async def actors_page(
    documents: Documents, viewer: str, view: NotificationView, window: Window, now: int
) -> Page[PersonView]:
    """All who did what a notification tells of, the latest first. Two waves and three finds a round."""

    async def fetch(after: After | None, limit: int) -> Sequence[Note]:
        if view.only is not None:
            return (view.only,) if after is None else ()
        return await group_notes(documents, view.id, after=after, limit=limit, reverse=not window.backward)

    async def resolve(found: Sequence[Note]) -> Sequence[PersonView | None]:
        sight = await hydrate(documents, viewer, people=[note.actor for note in found], now=now)
        return [_person(sight, note.actor) for note in found]

    return await fill(fetch, resolve, window)


async def unread_count(documents: Documents, reader: Reader) -> int:
    """Groups with something newer than the marker, UNREAD at most."""
    after = After(sort_key(reader.marker + 1, BOTTOM), BOTTOM)
    found = await groups_page(documents, reader.viewer, (), after=after, limit=UNREAD, reverse=False)
    return sum(view is not None for view in await see_groups(documents, reader, found))


async def see_groups(
    documents: Documents, reader: Reader, groups: Sequence[Group]
) -> Sequence[NotificationView | None]:
    """Groups in their order, None for what rules leave out."""
    return await _see(documents, reader, await _told(documents, groups))


async def _told(documents: Documents, groups: Sequence[Group]) -> Sequence[Told]:
    if not groups:
        return ()
    found = await notes_of(documents, [group.group for group in groups], READ)
    notes: defaultdict[str, list[Note]] = defaultdict(list)
    for note in found:
        notes[note.group].append(note)
    if len(found) < READ:
        return [Told(group=group, notes=notes[group.group], count=len(notes[group.group])) for group in groups]
    return await asyncio.gather(*(_tell(documents, group) for group in groups))


async def _tell(documents: Documents, group: Group) -> Told:
    notes, count = await asyncio.gather(
        notes_of(documents, [group.group], 2 * SAMPLE), count_notes(documents, group.group, COUNTED)
    )
    return Told(group=group, notes=notes, count=count)


async def _see(documents: Documents, reader: Reader, told: Sequence[Told]) -> Sequence[NotificationView | None]:
    posts = [one.group.subject for one in told if one.group.subject]
    people = [note.actor for one in told for note in one.notes[: 2 * SAMPLE]]
    sight = await hydrate(
        documents, reader.viewer, posts=list(dict.fromkeys(posts)), people=dict.fromkeys(people), now=reader.now
    )
    return [_view(sight, reader, one) for one in told]


def _view(sight: Sight, reader: Reader, told: Told) -> NotificationView | None:
    group = told.group
    post = show_post(sight, group.subject) if group.subject else None
    if post is not None and not isinstance(post, PostView):
        return None
    looked = told.notes[: 2 * SAMPLE]
    people = [_person(sight, note.actor) for note in looked]
    shown = [person for person in people if person is not None]
    if not shown:
        return None
    return NotificationView(
        id=group.group,
        type=group.type,
        count=told.count - (len(people) - len(shown)),
        people=shown[:SAMPLE],
        post=post,
        at=group.at,
        unread=group.at > reader.marker,
        only=told.notes[0] if told.notes[0].id == group.group else None,
    )


def _person(sight: Sight, account: str) -> PersonView | None:
    """Nothing comes from those whom the viewer mutes, or with whom there is a block."""
    return None if sight.mutes(account) else show_person(sight, account, listed=True)

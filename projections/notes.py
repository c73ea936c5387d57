"""What people are told: one row a note, and one row a group of notes about the same thing within twelve hours. Documents of the family notifications.

A group's row is the newest of its notes; how many there are and whose they are is read from the notes. A note that was taken back lacks its key.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from projections.documents.port import After, Collection, Document, Documents, Fidelity, Index, Row, Shape
from projections.folding import Put
from projections.keys import sort_key

NOTES: Final = Collection(
    "notifications",
    "notes",
    Shape.ROWS,
    Fidelity.EXACT,
    (
        Index("by_recipient", ("recipient",), "key"),
        Index("by_type", ("recipient", "type"), "key"),
        Index("by_group", ("group",), "key"),
    ),
)
GROUPS: Final = Collection(
    "notifications",
    "groups",
    Shape.ROWS,
    Fidelity.EXACT,
    (Index("by_recipient", ("recipient",), "key"), Index("by_type", ("recipient", "type"), "key")),
)

BUCKET: Final = 12 * 3_600_000_000
"""Microseconds within which notes of a kind about the same thing stand together (Mastodon, models/concerns/notification/groups.rb)."""


class NotificationType(StrEnum):
    MENTION = "MENTION"
    REPLY = "REPLY"
    QUOTE = "QUOTE"
    REPOST = "REPOST"
    LIKE = "LIKE"
    FOLLOW = "FOLLOW"
    FOLLOW_REQUEST = "FOLLOW_REQUEST"
    FOLLOW_ACCEPTED = "FOLLOW_ACCEPTED"
    POST = "POST"
    POST_EDITED = "POST_EDITED"


GROUPED: Final = frozenset({NotificationType.REPOST, NotificationType.LIKE, NotificationType.FOLLOW})
"""What comes from many people about the same thing."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """``actor`` did something that ``recipient`` is told of, ``at`` microseconds. ``subject`` is the post that it is about, empty where it is about the
    recipient; an edit of it is told apart by ``part``."""

    type: NotificationType
    recipient: str
    actor: str
    at: int
    subject: str = ""
    part: str = ""

    @property
    def id(self) -> str:
        # Of a post by its one author there is one note, whoever else comes.
        actor = self.actor if self.type in GROUPED or not self.subject else ""
        return f"{self.recipient}:{self.type.value}:{self.subject}:{actor}:{self.part}"

    @property
    def group(self) -> str:
        if self.type not in GROUPED:
            return self.id
        return f"{self.recipient}:{self.type.value}:{self.subject}:{self.at // BUCKET}"

    @property
    def key(self) -> str:
        return sort_key(self.at, self.id)

    @property
    def cursor(self) -> After:
        return After(self.key, self.id)

    def fields(self) -> Document:
        return {
            "recipient": self.recipient,
            "type": self.type.value,
            "group": self.group,
            "actor": self.actor,
            "subject": self.subject,
            "part": self.part,
            "key": self.key,
            "at": self.at,
        }

    def group_row(self) -> Row:
        """The group as of this note. The newest note's stands, from whichever shard it came: times order them, not positions."""
        fields: Document = {
            "recipient": self.recipient,
            "type": self.type.value,
            "subject": self.subject,
            "group": self.group,
            "key": sort_key(self.at, self.group),
            "at": self.at,
        }
        return Row(self.group, self.at, fields)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Notes of a kind about the same thing; ``at`` is the newest one's time."""

    group: str
    recipient: str
    type: NotificationType
    key: str
    at: int
    subject: str = ""

    @property
    def cursor(self) -> After:
        return After(self.key, self.group)


def told(note: Note) -> Iterable[Put]:
    """The rows of a note; none where somebody would be told of what they did themselves."""
    if note.actor != note.recipient:
        group = note.group_row()
        yield Put(NOTES, note.id, note.fields())
        yield Put(GROUPS, group.id, group.fields, position=group.position)


def taken_back(note: Note) -> Iterable[Put]:
    """``note.at`` is when. Its group stays as it is, and is nothing without notes."""
    if note.actor != note.recipient:
        yield Put(NOTES, note.id, {"gone": True, "at": note.at})


async def notes_page(
    documents: Documents,
    recipient: str,
    types: Sequence[NotificationType],
    *,
    after: After | None,
    limit: int,
    reverse: bool = True,
) -> Sequence[Note]:
    """Single notes, newest first; of all types where none is named; one find."""
    found = await _page(documents, NOTES, recipient, types, after=after, limit=limit, reverse=reverse)
    return [msgspec.convert(fields, Note) for fields in found]


async def groups_page(
    documents: Documents,
    recipient: str,
    types: Sequence[NotificationType],
    *,
    after: After | None,
    limit: int,
    reverse: bool = True,
) -> Sequence[Group]:
    """Groups, the one with the newest note first; one find."""
    found = await _page(documents, GROUPS, recipient, types, after=after, limit=limit, reverse=reverse)
    return [msgspec.convert(fields, Group) for fields in found]


async def _page(
    documents: Documents,
    collection: Collection,
    recipient: str,
    types: Sequence[NotificationType],
    *,
    after: After | None,
    limit: int,
    reverse: bool,
) -> Sequence[Document]:
    if not types:
        found = await documents.page(collection, "by_recipient", [recipient], after=after, limit=limit, reverse=reverse)
    else:
        prefixes = [[recipient, kind.value] for kind in dict.fromkeys(types)]
        found = await documents.page_many(collection, "by_type", prefixes, after=after, limit=limit, reverse=reverse)
    return [row.fields for row in found]


async def get_groups(documents: Documents, ids: Sequence[str]) -> Mapping[str, Group]:
    """Groups by id, one find, none for none."""
    found = await documents.get(GROUPS, ids) if ids else {}
    return {id_: msgspec.convert(fields, Group) for id_, fields in found.items()}


async def notes_of(documents: Documents, groups: Sequence[str], limit: int) -> Sequence[Note]:
    """The newest notes of several groups in one order; one find up to 200 groups."""
    found = await documents.page_many(NOTES, "by_group", [[group] for group in groups], limit=limit, reverse=True)
    return [msgspec.convert(row.fields, Note) for row in found]


async def group_notes(
    documents: Documents, group: str, *, after: After | None, limit: int, reverse: bool = True
) -> Sequence[Note]:
    """The notes of a group, newest first; one find."""
    found = await documents.page(NOTES, "by_group", [group], after=after, limit=limit, reverse=reverse)
    return [msgspec.convert(row.fields, Note) for row in found]


async def count_notes(documents: Documents, group: str, cap: int) -> int:
    return await documents.count(NOTES, "by_group", [group], cap)

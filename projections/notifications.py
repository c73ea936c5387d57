"""Notifications: what others did that concerns somebody, folded from events, and read back in groups with as many of their people as are shown.

Two kinds are told to many: a post to those who asked to be told of its author's, and an edit to those who answered, quoted or reposted the post. The second
joins two shards: an edit writes itself down, then reads who took part; who takes part writes that down, then reads the edits. Whoever is second sees the
other, and both make the same note: of an edit after the earliest part that somebody took.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from domain.envelope import Recorded
from domain.events import (
    Followed,
    FollowRequestAccepted,
    FollowRequested,
    FollowRequestRejected,
    FollowRequestWithdrawn,
    NotificationsRead,
    PostCreated,
    PostEdited,
    PostLiked,
    PostReposted,
    PostUnliked,
    RepostUndone,
    Unfollowed,
)
from projections.documents.port import (
    After,
    Change,
    Collection,
    Document,
    Documents,
    Fidelity,
    Index,
    Row,
    Shape,
    Value,
)
from projections.documents.rules import PREFIXES, steps
from projections.feeds import follow_id
from projections.folding import Alter, Deferred, Family, Operation, on
from projections.home import DIRECT
from projections.notes import GROUPS, NOTES, Note, NotificationType, taken_back, told

MARKERS: Final = Collection("notifications", "markers", Shape.STATE, Fidelity.EXACT)
SUBSCRIBERS: Final = Collection(
    "notifications", "subscribers", Shape.STATE, Fidelity.EXACT, (Index("by_followee", ("followee",), "follower"),)
)
PARTS: Final = Collection(
    "notifications", "parts", Shape.STATE, Fidelity.EXACT, (Index("by_post", ("post",), "person"),)
)
EDITS: Final = Collection("notifications", "edits", Shape.STATE, Fidelity.EXACT, (Index("by_post", ("post",), "at"),))
ANNOUNCED: Final = Collection(
    "notifications", "announced", Shape.ROWS, Fidelity.CACHE, (Index("by_shard", ("shard",), "position"),)
)
"""Who was told of what is told to many, by the event at which it was; for those who listen. Kept as long as signals are."""

STEP: Final = 1_000
"""People or edits of one find, and rows of one write."""
ROWS_TOLD: Final = 25
"""Announcements of one find: each names up to STEP people."""
MOST_TOLD: Final = 25_000
"""People from whose number on no further event is begun by one read; the one that goes past it is read whole."""

T = NotificationType

RequestEnded = FollowRequestAccepted | FollowRequestRejected | FollowRequestWithdrawn


class _Edit(msgspec.Struct, frozen=True):
    post: str
    author: str
    revision: int
    at: int
    position: int

    def note(self, recipient: str) -> Note:
        return Note(
            type=T.POST_EDITED,
            recipient=recipient,
            actor=self.author,
            at=self.at,
            subject=self.post,
            part=str(self.revision),
        )


class Announcement(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``at`` is when what is told was done, or when the recipient's part was recorded, if that was folded later."""

    shard: int
    position: int
    at: int
    type: NotificationType
    actor: str
    subject: str
    part: str
    recipients: list[str]


class _Told(NamedTuple):
    """``position`` is that of what is told, ``event`` what was being folded when it was."""

    position: int
    event: Recorded
    note: Note


def notes_of_post(recorded: Recorded, event: PostCreated) -> Iterable[Note]:
    """One note a person: an answer is one and not also a mention."""
    at, done = recorded.recorded_at, set[str]()
    concerned = (
        (T.REPLY, event.reply_to_author),
        (T.QUOTE, event.quote_author),
        *((T.MENTION, one) for one in event.mentions),
    )
    for kind, person in concerned:
        if person is not None and person not in done:
            done.add(person)
            yield Note(type=kind, recipient=person, actor=event.author, at=at, subject=event.post)


def _created(recorded: Recorded, event: PostCreated) -> Iterable[Operation]:
    for note in notes_of_post(recorded, event):
        yield from told(note)
    for post in _parts(event):
        yield _took_part(post, event.author, recorded.recorded_at)
    yield Deferred(_settle, exact=True)


def _parts(event: PostCreated | PostReposted) -> Iterable[str]:
    """The posts that somebody takes part in by this."""
    if isinstance(event, PostReposted):
        return (event.post,)
    return tuple(post for post in (event.reply_to, event.quote) if post is not None)


def _took_part(post: str, person: str, at: int) -> Alter:
    # Several shards may write it, all the same but for the time, of which the earliest stands.
    return Alter(PARTS, f"{post}:{person}", Change(set={"post": post, "person": person}, min={"since": at}))


def notes_of_edit(recorded: Recorded, event: PostEdited) -> Iterable[Note]:
    """Those of whom it newly speaks."""
    for person in event.mentions_added:
        yield Note(type=T.MENTION, recipient=person, actor=event.author, at=recorded.recorded_at, subject=event.post)


def _edited(recorded: Recorded, event: PostEdited) -> Iterable[Operation]:
    for note in notes_of_edit(recorded, event):
        yield from told(note)
    edit = _Edit(event.post, event.author, event.revision, recorded.recorded_at, recorded.sequence)
    yield Alter(EDITS, f"{event.post}:{event.revision}", Change(set=msgspec.to_builtins(edit)))
    yield Deferred(_settle, exact=True)


def note_of_like(recorded: Recorded, event: PostLiked | PostUnliked) -> Note:
    return Note(type=T.LIKE, recipient=event.author, actor=event.actor, at=recorded.recorded_at, subject=event.post)


def _liked(recorded: Recorded, event: PostLiked) -> Iterable[Operation]:
    return told(note_of_like(recorded, event))


def _unliked(recorded: Recorded, event: PostUnliked) -> Iterable[Operation]:
    return taken_back(note_of_like(recorded, event))


def note_of_repost(recorded: Recorded, event: PostReposted | RepostUndone) -> Note:
    return Note(type=T.REPOST, recipient=event.author, actor=event.actor, at=recorded.recorded_at, subject=event.post)


def _reposted(recorded: Recorded, event: PostReposted) -> Iterable[Operation]:
    yield from told(note_of_repost(recorded, event))
    yield _took_part(event.post, event.actor, recorded.recorded_at)
    yield Deferred(_settle, exact=True)


def _repost_undone(recorded: Recorded, event: RepostUndone) -> Iterable[Operation]:
    return taken_back(note_of_repost(recorded, event))


def note_of_follow(recorded: Recorded, follower: str, followee: str, kind: NotificationType = T.FOLLOW) -> Note:
    return Note(type=kind, recipient=followee, actor=follower, at=recorded.recorded_at)


def _followed(recorded: Recorded, event: Followed) -> Iterable[Operation]:
    if not event.renewed:
        yield from told(note_of_follow(recorded, event.follower, event.followee))
    # A follow that begins without the wish begins after the end of another, if at all.
    if event.notify or event.renewed:
        yield _subscribed(recorded, event.follower, event.followee, wanted=event.notify)


def _subscribed(recorded: Recorded, follower: str, followee: str, *, wanted: bool) -> Alter:
    """Kept with the position from which it holds: a post is told by what stood at its own, however far the fold has come since. Who never asked is in no
    index."""
    fields: dict[str, Value] = {f"wanted.s{recorded.sequence}": wanted}
    if wanted:
        fields |= {"followee": followee, "follower": follower}
    return Alter(SUBSCRIBERS, follow_id(follower, followee), Change(set=fields))


class _Subscriber(msgspec.Struct, frozen=True):
    """``wanted``: by positions, whether posts from there on are."""

    followee: str
    follower: str
    wanted: Mapping[str, bool]

    def wants(self, sequence: int) -> bool:
        changes = [(int(at[1:]), wanted) for at, wanted in self.wanted.items() if int(at[1:]) < sequence]
        return max(changes)[1] if changes else False


def _unfollowed(recorded: Recorded, event: Unfollowed) -> Iterable[Operation]:
    yield from taken_back(note_of_follow(recorded, event.follower, event.followee))
    yield _subscribed(recorded, event.follower, event.followee, wanted=False)


def note_of_request(recorded: Recorded, event: FollowRequested | RequestEnded) -> Note:
    return note_of_follow(recorded, event.follower, event.followee, T.FOLLOW_REQUEST)


def notes_of_request(recorded: Recorded, event: FollowRequested) -> Iterable[Note]:
    return () if event.renewed else (note_of_request(recorded, event),)


def notes_of_acceptance(recorded: Recorded, event: RequestEnded) -> Iterable[Note]:
    if isinstance(event, FollowRequestAccepted):
        yield note_of_follow(recorded, event.followee, event.follower, T.FOLLOW_ACCEPTED)


def _requested(recorded: Recorded, event: FollowRequested) -> Iterable[Operation]:
    for note in notes_of_request(recorded, event):
        yield from told(note)


def _request_ended(recorded: Recorded, event: RequestEnded) -> Iterable[Operation]:
    yield from taken_back(note_of_request(recorded, event))
    for note in notes_of_acceptance(recorded, event):
        yield from told(note)


def _read(_: Recorded, event: NotificationsRead) -> Iterable[Operation]:
    yield Alter(MARKERS, event.account, Change(set={"upTo": event.up_to}))


async def _settle(documents: Documents, events: Sequence[Recorded]) -> None:
    """What is told to many, and what joins two shards."""
    posts: list[tuple[Recorded, PostCreated]] = []
    edits: list[tuple[Recorded, _Edit]] = []
    parts: list[tuple[Recorded, str, str]] = []
    for recorded in events:
        match recorded.event:
            case PostCreated() as event:
                parts += [(recorded, post, event.author) for post in _parts(event)]
                if event.visibility != DIRECT and event.reply_to_author in (None, event.author):
                    posts.append((recorded, event))
            case PostReposted() as event:
                parts += [(recorded, post, event.actor) for post in _parts(event)]
            case PostEdited() as event:
                edit = _Edit(event.post, event.author, event.revision, recorded.recorded_at, recorded.sequence)
                edits.append((recorded, edit))
    await _tell_subscribers(documents, posts)
    await _tell_of_edits(documents, edits)
    await _tell_latecomers(documents, parts)


async def _tell_subscribers(documents: Documents, posts: Sequence[tuple[Recorded, PostCreated]]) -> None:
    """Those who asked to be told of an author's posts. Who is one is the business of the author's own shard."""
    by_author: defaultdict[str, list[tuple[Recorded, PostCreated]]] = defaultdict(list)
    for recorded, event in posts:
        by_author[event.author].append((recorded, event))
    for authors in steps(list(by_author), PREFIXES):
        found = await documents.page_many(SUBSCRIBERS, "by_followee", [[author] for author in authors], limit=STEP)
        if len(found) < STEP:
            await _put(documents, _of_posts(by_author, [row.fields for row in found]))
            continue
        for author in authors:
            await _tell_all(documents, author, by_author)


async def _tell_all(
    documents: Documents, author: str, by_author: Mapping[str, Sequence[tuple[Recorded, PostCreated]]]
) -> None:
    after: After | None = None
    while True:
        found = await documents.page(SUBSCRIBERS, "by_followee", [author], after=after, limit=STEP)
        await _put(documents, _of_posts(by_author, [row.fields for row in found]))
        if len(found) < STEP:
            return
        after = After(str(found[-1].sort), found[-1].id)


def _of_posts(
    by_author: Mapping[str, Sequence[tuple[Recorded, PostCreated]]], subscribers: Sequence[Document]
) -> Iterable[_Told]:
    for subscriber in (msgspec.convert(fields, _Subscriber) for fields in subscribers):
        for recorded, event in by_author[subscriber.followee]:
            recipient = subscriber.follower
            # Who is mentioned is told so already.
            if subscriber.wants(recorded.sequence) and recipient not in (*event.mentions, event.quote_author):
                note = Note(
                    type=T.POST,
                    recipient=recipient,
                    actor=event.author,
                    at=recorded.recorded_at,
                    subject=event.post,
                )
                yield _Told(recorded.sequence, recorded, note)


async def _tell_of_edits(documents: Documents, edits: Sequence[tuple[Recorded, _Edit]]) -> None:
    for recorded, edit in edits:
        after: After | None = None
        while True:
            found = await documents.page(PARTS, "by_post", [edit.post], after=after, limit=STEP)
            people = ((recorded, str(row.fields["person"]), row.fields["since"]) for row in found)
            await _put(documents, _of_edit(edit, people))
            if len(found) < STEP:
                break
            after = After(str(found[-1].sort), found[-1].id)


def _of_edit(edit: _Edit, people: Iterable[tuple[Recorded, str, object]]) -> Iterable[_Told]:
    for event, person, since in people:
        if isinstance(since, int) and since < edit.at and person != edit.author:
            yield _Told(edit.position, event, edit.note(person))


async def _tell_latecomers(documents: Documents, parts: Sequence[tuple[Recorded, str, str]]) -> None:
    """Those whose part was folded later than an edit that came after it."""
    people: defaultdict[str, list[tuple[Recorded, str, int]]] = defaultdict(list)
    for event, post, person in parts:
        people[post].append((event, person, event.recorded_at))
    for posts in steps(list(people), PREFIXES):
        for edit in await _edits_of(documents, posts):
            await _put(documents, _of_edit(edit, people[edit.post]))


async def _edits_of(documents: Documents, posts: Sequence[str]) -> Sequence[_Edit]:
    """All edits of these posts, each of which has no more than a find holds."""
    found = await documents.page_many(EDITS, "by_post", [[post] for post in posts], limit=STEP)
    if len(found) < STEP or len(posts) == 1:
        return [msgspec.convert(row.fields, _Edit) for row in found]
    half = len(posts) // 2
    return [*await _edits_of(documents, posts[:half]), *await _edits_of(documents, posts[half:])]


async def _put(documents: Documents, told: Iterable[_Told]) -> None:
    for some in steps(list(told), STEP):
        await documents.put(NOTES, [Row(one.note.id, one.position, one.note.fields()) for one in some])
        await documents.put(GROUPS, list({one.note.group: one.note.group_row() for one in some}.values()))
        await documents.put(ANNOUNCED, [_announcement(alike) for alike in _alike(some)])


def _alike(told: Iterable[_Told]) -> Iterable[Sequence[_Told]]:
    """What is told of the same at the same event."""
    groups: defaultdict[tuple[int, NotificationType, str, str], list[_Told]] = defaultdict(list)
    for one in told:
        groups[one.event.sequence, one.note.type, one.note.subject, one.note.part].append(one)
    return groups.values()


def _announcement(told: Sequence[_Told]) -> Row:
    (_, event, note), *_ = told
    fields = Announcement(
        shard=event.shard,
        position=event.sequence,
        at=event.recorded_at,
        type=note.type,
        actor=note.actor,
        subject=note.subject,
        part=note.part,
        recipients=[one.note.recipient for one in told],
    )
    # Named by its first recipient too: where it is told again after a crash, more may have come, and none may be left out.
    id_ = f"{event.shard}-{event.sequence}-{note.id}"
    return Row(id_, event.sequence, msgspec.to_builtins(fields))


async def announced(
    documents: Documents, shard: int, after: int, upto: int, most: int = MOST_TOLD
) -> tuple[Sequence[Announcement], int]:
    """What was announced in one shard at positions in (after, upto], in order, and up to where that is all there is: no event is begun once ``most`` people
    are named. One find mostly."""
    found: list[Announcement] = []
    people, place = 0, After(after, "~")
    while True:
        rows = await documents.page(ANNOUNCED, "by_shard", [shard], after=place, limit=ROWS_TOLD)
        for row in rows:
            one = msgspec.convert(row.fields, Announcement)
            if one.position > upto:
                return found, upto
            if people >= most and one.position > found[-1].position:
                return found, found[-1].position
            found.append(one)
            people += len(one.recipients)
        if len(rows) < ROWS_TOLD:
            return found, upto
        place = After(found[-1].position, rows[-1].id)


FAMILY: Final = Family(
    "notifications",
    (NOTES, GROUPS, MARKERS, SUBSCRIBERS, PARTS, EDITS, ANNOUNCED),
    dict(
        (
            on(PostCreated, _created),
            on(PostEdited, _edited),
            on(PostLiked, _liked),
            on(PostUnliked, _unliked),
            on(PostReposted, _reposted),
            on(RepostUndone, _repost_undone),
            on(Followed, _followed),
            on(Unfollowed, _unfollowed),
            on(FollowRequested, _requested),
            on(FollowRequestAccepted, _request_ended),
            on(FollowRequestRejected, _request_ended),
            on(FollowRequestWithdrawn, _request_ended),
            on(NotificationsRead, _read),
        )
    ),
)


async def get_marker(documents: Documents, account: str) -> int:
    """Up to when somebody has read what they were told, in microseconds; 0 where they have not. One find."""
    found = (await documents.get(MARKERS, [account])).get(account, {})
    return msgspec.convert(found.get("upTo", 0), int)

"""Signals: what live subscriptions follow. A signal says that something changed and where, never what it looks like: rules and content are read at delivery.

Topics: ``sessions:{account}`` (their sessions), ``author:{account}`` (their feed), ``tag:{tag}``, ``following:{follower}`` (whom they follow), ``post:{post}`` (a post with its counts), ``public`` (public
posts that answer nothing), ``notify:{account}`` (what they are told). What is told to many has no signals of its own: it is read from what the notifications
announced beside it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum
from functools import partial
from typing import NamedTuple

import msgspec

from domain.envelope import Recorded
from domain.events import (
    AccountDeleted,
    AccountSessionsEnded,
    Followed,
    FollowRequestAccepted,
    FollowRequested,
    FollowRequestRejected,
    FollowRequestWithdrawn,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostReposted,
    PostRestored,
    PostUnliked,
    RepostUndone,
    SessionRevoked,
    Unfollowed,
)
from projections.documents.port import After, Collection, Documents, Fidelity, Index, Shape
from projections.feeds import FeedEntry, repost_item
from projections.folding import Family, Operation, Put, on
from projections.hashtag_feed import PUBLIC
from projections.home import DIRECT, post_entry, repost_entry
from projections.notes import Note, NotificationType
from projections.notifications import (
    ANNOUNCED,
    Announcement,
    RequestEnded,
    announced,
    note_of_follow,
    note_of_like,
    note_of_repost,
    note_of_request,
    notes_of_acceptance,
    notes_of_edit,
    notes_of_post,
    notes_of_request,
)

SIGNALS = Collection("signals", "signals", Shape.ROWS, Fidelity.HORIZON, (Index("by_shard", ("shard",), "position"),))
FLOORS = Collection("signals", "floors", Shape.STATE, Fidelity.CACHE)

KEPT = 36 * 3_600_000_000
"""Microseconds: how long a subscription can be away and still resume."""
SWEEP_STEP = 1_000
MAX_SIGNALS = 8
"""Signals of one event at most; a page of read_signals has more, so that no event fills one."""

PUBLIC_TOPIC = "public"
_NOTIFY = "notify:"


class SignalKind(StrEnum):
    ITEM_ADDED = "item_added"
    ITEM_UPDATED = "item_updated"
    ITEM_REMOVED = "item_removed"
    ITEM_LEFT = "item_left"
    FOLLOW_ADDED = "follow_added"
    FOLLOW_REMOVED = "follow_removed"
    POST_CHANGED = "post_changed"
    COUNTS_CHANGED = "counts_changed"
    REPLY_ADDED = "reply_added"
    SESSIONS_ENDED = "sessions_ended"
    NOTIFIED = "notified"
    NOTE_TAKEN_BACK = "note_taken_back"


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """``entry``: of ITEM_ADDED. ``item``: of the other item kinds; one that has LEFT a list is there still. ``account``: the followee of a follow.
    ``reply``: of REPLY_ADDED, to ``post``. ``note``: of the last two, the type of what ``account`` did, about ``post`` or about the recipient; ``part``: of what
    ``note`` is one of several.
    ``at`` is when the event was recorded, in microseconds."""

    shard: int = 0
    position: int = 0
    n: int = 0
    at: int = 0
    kind: SignalKind
    topics: tuple[str, ...]
    item: str | None = None
    post: str | None = None
    account: str | None = None
    reply: str | None = None
    entry: FeedEntry | None = None
    note: NotificationType | None = None
    part: str | None = None


def author_topic(account: str) -> str:
    return f"author:{account}"


def sessions_topic(account: str) -> str:
    return f"sessions:{account}"


def tag_topic(tag: str) -> str:
    return f"tag:{tag}"


def following_topic(follower: str) -> str:
    return f"following:{follower}"


def post_topic(post: str) -> str:
    return f"post:{post}"


def notify_topic(account: str) -> str:
    return f"{_NOTIFY}{account}"


def is_told(topics: Iterable[str]) -> bool:
    """Whether somebody who listens to these is to hear what is told to many."""
    return any(topic.startswith(_NOTIFY) for topic in topics)


def _put(recorded: Recorded, *signals: Signal) -> Iterable[Operation]:
    for n, signal in enumerate(signals):
        placed = msgspec.structs.replace(
            signal, shard=recorded.shard, position=recorded.sequence, n=n, at=recorded.recorded_at
        )
        fields = {name: value for name, value in msgspec.to_builtins(placed).items() if value is not None}
        fields["topics"] = list(signal.topics)
        yield Put(SIGNALS, f"{recorded.shard}-{recorded.sequence}-{n}", fields)


def _author_topics(visibility: str, author: str) -> tuple[str, ...]:
    """A direct post stands in no home, and what becomes of it is told to nobody who follows its author."""
    return (author_topic(author),) if visibility != DIRECT else ()


def _tag_topics(visibility: str, tags: Iterable[str]) -> tuple[str, ...]:
    return tuple(tag_topic(tag) for tag in tags) if visibility == PUBLIC else ()


def _public_topics(visibility: str, reply_to: str | None) -> tuple[str, ...]:
    return (PUBLIC_TOPIC,) if visibility == PUBLIC and reply_to is None else ()


def _notes(told: Iterable[Note], taken_back: Iterable[Note] = ()) -> Iterable[Signal]:
    """One signal a type, for all who are told so by the event."""
    for kind, notes in ((SignalKind.NOTIFIED, told), (SignalKind.NOTE_TAKEN_BACK, taken_back)):
        by_type: defaultdict[NotificationType, list[Note]] = defaultdict(list)
        for note in notes:
            if note.actor != note.recipient:
                by_type[note.type].append(note)
        for type_, alike in by_type.items():
            topics = tuple(notify_topic(note.recipient) for note in alike)
            yield Signal(kind=kind, topics=topics, note=type_, post=alike[0].subject or None, account=alike[0].actor)


def _counts(post: str) -> Signal:
    return Signal(kind=SignalKind.COUNTS_CHANGED, topics=(post_topic(post),), post=post)


def _came(recorded: Recorded, event: PostCreated | PostRestored) -> Iterable[Signal]:
    if event.visibility != DIRECT:
        topics = (
            author_topic(event.author),
            *_tag_topics(event.visibility, event.tags),
            *_public_topics(event.visibility, event.reply_to),
        )
        entry = post_entry(recorded, event)
        yield Signal(kind=SignalKind.ITEM_ADDED, topics=topics, item=entry.item, post=event.post, entry=entry)
    if event.reply_to is not None:
        topics = (post_topic(event.reply_to),)
        yield Signal(kind=SignalKind.REPLY_ADDED, topics=topics, post=event.reply_to, reply=event.post)
    if event.quote is not None:
        yield _counts(event.quote)


def _created(recorded: Recorded, event: PostCreated) -> Iterable[Operation]:
    return _put(recorded, *_came(recorded, event), *_notes(notes_of_post(recorded, event)))


def _restored(recorded: Recorded, event: PostRestored) -> Iterable[Operation]:
    changed = Signal(kind=SignalKind.POST_CHANGED, topics=(post_topic(event.post),), post=event.post)
    return _put(recorded, changed, *_came(recorded, event))


def _edited(recorded: Recorded, event: PostEdited) -> Iterable[Operation]:
    topics = (
        *_author_topics(event.visibility, event.author),
        *_tag_topics(event.visibility, event.tags),
        *((PUBLIC_TOPIC,) if event.visibility == PUBLIC else ()),
    )
    left = _tag_topics(event.visibility, event.tags_removed)
    signals = [
        Signal(kind=SignalKind.ITEM_UPDATED, topics=topics, item=event.post, post=event.post),
        Signal(kind=SignalKind.POST_CHANGED, topics=(post_topic(event.post),), post=event.post),
    ]
    if left:
        signals.append(Signal(kind=SignalKind.ITEM_LEFT, topics=left, item=event.post, post=event.post))
    return _put(recorded, *signals, *_notes(notes_of_edit(recorded, event)))


def _deleted(recorded: Recorded, event: PostDeleted) -> Iterable[Operation]:
    topics = (
        *_author_topics(event.visibility, event.author),
        *_tag_topics(event.visibility, event.tags),
        *_public_topics(event.visibility, event.reply_to),
    )
    signals = [
        Signal(kind=SignalKind.ITEM_REMOVED, topics=topics, item=event.post, post=event.post),
        Signal(kind=SignalKind.POST_CHANGED, topics=(post_topic(event.post),), post=event.post),
    ]
    if event.reply_to is not None:
        signals.append(_counts(event.reply_to))
    if event.quote is not None:
        signals.append(_counts(event.quote))
    return _put(recorded, *signals)


def _reposted(recorded: Recorded, event: PostReposted) -> Iterable[Operation]:
    entry = repost_entry(recorded, event)
    added = Signal(
        kind=SignalKind.ITEM_ADDED,
        topics=(author_topic(event.actor),),
        item=entry.item,
        post=event.post,
        entry=entry,
    )
    return _put(recorded, added, _counts(event.post), *_notes([note_of_repost(recorded, event)]))


def _repost_undone(recorded: Recorded, event: RepostUndone) -> Iterable[Operation]:
    removed = Signal(
        kind=SignalKind.ITEM_REMOVED,
        topics=(author_topic(event.actor),),
        item=repost_item(event.actor, event.post),
        post=event.post,
    )
    return _put(recorded, removed, _counts(event.post), *_notes((), [note_of_repost(recorded, event)]))


def _liked(recorded: Recorded, event: PostLiked) -> Iterable[Operation]:
    return _put(recorded, _counts(event.post), *_notes([note_of_like(recorded, event)]))


def _unliked(recorded: Recorded, event: PostUnliked) -> Iterable[Operation]:
    return _put(recorded, _counts(event.post), *_notes((), [note_of_like(recorded, event)]))


def _followed(recorded: Recorded, event: Followed) -> Iterable[Operation]:
    # A renewed follow too: whether reposts are wanted may have changed.
    topics = (following_topic(event.follower),)
    told = [] if event.renewed else [note_of_follow(recorded, event.follower, event.followee)]
    return _put(recorded, Signal(kind=SignalKind.FOLLOW_ADDED, topics=topics, account=event.followee), *_notes(told))


def _unfollowed(recorded: Recorded, event: Unfollowed) -> Iterable[Operation]:
    topics = (following_topic(event.follower),)
    removed = Signal(kind=SignalKind.FOLLOW_REMOVED, topics=topics, account=event.followee)
    return _put(recorded, removed, *_notes((), [note_of_follow(recorded, event.follower, event.followee)]))


def _requested(recorded: Recorded, event: FollowRequested) -> Iterable[Operation]:
    return _put(recorded, *_notes(notes_of_request(recorded, event)))


def _request_ended(recorded: Recorded, event: RequestEnded) -> Iterable[Operation]:
    return _put(recorded, *_notes(notes_of_acceptance(recorded, event), [note_of_request(recorded, event)]))


def _sessions_ended(
    recorded: Recorded, event: SessionRevoked | AccountSessionsEnded | AccountDeleted
) -> Iterable[Operation]:
    return _put(recorded, Signal(kind=SignalKind.SESSIONS_ENDED, topics=(sessions_topic(event.account),)))


async def _settle(_: Documents | None, filled: Documents, cut: AbstractSet[int]) -> None:
    """Says of a version from which old signals were left out where it begins."""
    reached = await filled.load_checkpoints("signals")
    for shard in cut:
        first = await filled.page(SIGNALS, "by_shard", [shard], limit=1)
        floor = msgspec.convert(first[0].fields, Signal).position - 1 if first else reached.get(shard, 0)
        await _raise_floor(filled, shard, floor)


FAMILY = Family(
    "signals",
    (SIGNALS, FLOORS),
    dict(
        (
            on(SessionRevoked, _sessions_ended),
            on(AccountSessionsEnded, _sessions_ended),
            on(AccountDeleted, _sessions_ended),
            on(PostCreated, _created),
            on(PostEdited, _edited),
            on(PostDeleted, _deleted),
            on(PostRestored, _restored),
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
        )
    ),
    follows=("accounts", "posts", "viewer_edges", "sessions", "notifications"),
    kept=KEPT,
    settle=_settle,
)


class SignalPage(NamedTuple):
    """``reached``: up to where these are all that there are; None where they are all."""

    signals: Sequence[Signal]
    reached: int | None


async def read_signals(documents: Documents, shard: int, after: int, limit: int, *, told: bool = True) -> SignalPage:
    """Signals of one shard with positions above ``after``, in order; two finds mostly, one without what is ``told`` to many. ``limit`` > MAX_SIGNALS.

    An event's signals come together or not at all, so the last position is a place to go on from.
    """
    # Ids of one position all sort below "~".
    found = await documents.page(SIGNALS, "by_shard", [shard], after=After(after, "~"), limit=limit)
    signals = [msgspec.convert(row.fields, Signal) for row in found]
    reached = None
    if len(signals) == limit:
        signals = [signal for signal in signals if signal.position < signals[-1].position]
        reached = signals[-1].position
    if not signals or not told:
        return SignalPage(signals, reached)
    # Whatever is announced has signals of its own too, so that nothing is announced beyond them.
    to_many, upto = await announced(documents, shard, after, signals[-1].position)
    if upto < signals[-1].position:
        signals, reached = [signal for signal in signals if signal.position <= upto], upto
    signals += [_announced(one) for one in to_many]
    return SignalPage(sorted(signals, key=lambda signal: signal.position), reached)


def _announced(told: Announcement) -> Signal:
    return Signal(
        shard=told.shard,
        position=told.position,
        n=MAX_SIGNALS,
        at=told.at,
        kind=SignalKind.NOTIFIED,
        topics=tuple(notify_topic(recipient) for recipient in told.recipients),
        post=told.subject,
        account=told.actor,
        note=told.type,
        part=told.part,
    )


async def signal_floors(documents: Documents, shards: Sequence[int]) -> Mapping[int, int]:
    """{shard: position}: signals above it are all there; a cursor below it is too old. 0 where nothing was swept yet."""
    found = await documents.get(FLOORS, [str(shard) for shard in shards])
    return {shard: msgspec.convert(found.get(str(shard), {}).get("position", 0), int) for shard in shards}


async def sweep_signals(documents: Documents, shard: int, now: int, kept: int = KEPT) -> int:
    """Deletes one step of what is older than ``kept`` microseconds; says how many: SWEEP_STEP means that there may be more.

    The floor is written before anything is deleted, and only rises.
    """
    found = await documents.page(SIGNALS, "by_shard", [shard], limit=SWEEP_STEP)
    old = [msgspec.convert(row.fields, Signal) for row in found]
    expired = [signal.position for signal in old if signal.at < now - kept]
    if not expired:
        return 0
    floor = await _raise_floor(documents, shard, expired[-1])
    swept = partial(
        documents.remove, index="by_shard", prefix=[shard], below=floor + 1, position=floor, limit=SWEEP_STEP
    )
    return max(await swept(ANNOUNCED), await swept(SIGNALS))


async def _raise_floor(documents: Documents, shard: int, floor: int) -> int:
    while True:
        current = (await documents.get(FLOORS, [str(shard)])).get(str(shard))
        standing = 0 if current is None else msgspec.convert(current["position"], int)
        if standing >= floor:
            return standing
        if await documents.put_if(FLOORS, str(shard), current, {"position": floor}):
            return floor

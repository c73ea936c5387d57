"""Every event that the log can hold: past tense, immutable, named and versioned for good.

``name`` and ``schema_version`` are what is stored; class names may change, these never. A field ``private`` holds what a person typed: the log
seals it under the key of ``subject`` and gives ``None`` (redacted) once that key is destroyed; everything else is stored in the open. Events carry
what their folds need, for a fold reads nothing but the event. Times are integer microseconds since the epoch, UTC.
"""

from typing import Annotated, Any, ClassVar, Final, TypeVar

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all events. ``name`` and ``schema_version`` are set by :func:`event`."""

    name: ClassVar[str]
    schema_version: ClassVar[int]


E = TypeVar("E", bound=type[Event])

REGISTRY: Final[dict[tuple[str, int], type[Event]]] = {}
"""(name, schema version) → today's class. Older versions are brought up by domain.upcasters."""


def event(name: str, schema_version: int = 1) -> Any:
    """Class decorator: registers an event class under its stored name and version."""

    def register(cls: E) -> E:
        key = (name, schema_version)
        if key in REGISTRY:
            raise ValueError(f"event {name} v{schema_version} is declared twice")
        cls.name = name
        cls.schema_version = schema_version
        REGISTRY[key] = cls
        return cls

    return register


class AccountPrivate(msgspec.Struct, frozen=True, kw_only=True):
    handle: str
    email: str
    password_hash: str
    display_name: str = ""
    bio: str = ""


@event("account.registered")
class AccountRegistered(Event, frozen=True, kw_only=True):
    """Names the two claims that make its handle and e-mail unique. Seeded accounts have an empty password hash: no password fits it."""

    account: str
    handle_claim: str
    email_claim: str
    email_claim_stream: str
    private: AccountPrivate | None = None


@event("account.claim_voided")
class ClaimVoided(Event, frozen=True, kw_only=True):
    """The fence of a takeover: the account can never name this claim any more."""

    account: str
    claim_id: str


@event("account.locked")
class AccountLocked(Event, frozen=True, kw_only=True):
    """From here on, who wants to follow asks first."""

    account: str


@event("account.unlocked")
class AccountUnlocked(Event, frozen=True, kw_only=True):
    """Who has asked by now is accepted, by a reactor."""

    account: str


@event("account.began_blocking")
class AccountBeganBlocking(Event, frozen=True, kw_only=True):
    """In the batch of the account's first block: from here on, blocks of it are looked for."""

    account: str


class NamePrivate(msgspec.Struct, frozen=True, kw_only=True):
    handle: str


@event("account.handle_changed")
class AccountHandleChanged(Event, frozen=True, kw_only=True):
    """Names the claim of the new handle (``claim_id``, held in the claim ``claim_stream``) and gives up that of the old one. Both are the same
    where the two handles look alike: then nothing was held anew, and nothing is to be released."""

    account: str
    claim_id: str
    claim_stream: str
    former_claim: str
    former_claim_stream: str
    private: NamePrivate | None = None


class PasswordPrivate(msgspec.Struct, frozen=True, kw_only=True):
    password_hash: str


@event("account.password_changed")
class AccountPasswordChanged(Event, frozen=True, kw_only=True):
    """What becomes of the sessions says AccountSessionsEnded, in the same batch."""

    account: str
    private: PasswordPrivate | None = None


@event("account.sessions_ended")
class AccountSessionsEnded(Event, frozen=True, kw_only=True):
    """Every session that was opened before this event has ended, but ``kept``. ``reason``: password_changed or revoked."""

    account: str
    kept: str | None = None
    reason: str


class ProfileField(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a profile's table, as ``name`` and ``value``."""

    name: str
    value: str


class ProfilePrivate(msgspec.Struct, frozen=True, kw_only=True):
    """``avatar`` and ``banner`` are https addresses, empty where there is none."""

    display_name: str = ""
    bio: str = ""
    fields: tuple[ProfileField, ...] = ()
    avatar: str = ""
    banner: str = ""


@event("account.profile_changed")
class AccountProfileChanged(Event, frozen=True, kw_only=True):
    """Carries the whole new profile. ``bio_facets`` are of the bio."""

    account: str
    bio_facets: tuple["Facet", ...] = ()
    private: ProfilePrivate | None = None


@event("account.deactivated")
class AccountDeactivated(Event, frozen=True, kw_only=True):
    """Hidden from everyone else until it is reactivated; nothing of it is lost."""

    account: str


@event("account.reactivated")
class AccountReactivated(Event, frozen=True, kw_only=True):
    account: str


@event("account.deleted")
class AccountDeleted(Event, frozen=True, kw_only=True):
    """The end, at once and for good. Names the claims that are to be released, for what tells them is sealed; the rest of what the account has
    done is taken back after this event."""

    account: str
    handle_claim: str
    handle_claim_stream: str
    email_claim: str
    email_claim_stream: str


@event("account.forgotten")
class SubjectForgotten(Event, frozen=True, kw_only=True):
    """All that a deleted account did has been taken back. Its key is destroyed after this event, and with it whatever it typed."""

    account: str


@event("claim.held")
class ClaimHeld(Event, frozen=True, kw_only=True):
    """``claim_id`` names this holding, not the name: a later holding of the same name has another. ``request`` is the idempotency key's id, where one was given.
    ``confirmed``: the account event that names it stands in the same batch."""

    kind: str
    owner: str
    claim_id: str
    request: str | None = None
    confirmed: bool = False


@event("claim.confirmed")
class ClaimConfirmed(Event, frozen=True, kw_only=True):
    """The owner's stream names this claim: it can no longer be taken over."""

    owner: str
    claim_id: str


@event("claim.released")
class ClaimReleased(Event, frozen=True, kw_only=True):
    """``rests_until``: nobody but ``owner`` can hold the name before then, 0: anyone can at once."""

    owner: str
    claim_id: str
    rests_until: int = 0


class SessionPrivate(msgspec.Struct, frozen=True, kw_only=True):
    """``user_agent``: what the client called itself."""

    user_agent: str = ""


@event("session.opened")
class SessionOpened(Event, frozen=True, kw_only=True):
    """``token_hash`` is the SHA-256 of the refresh token's secret, in hex."""

    session: str
    account: str
    token_hash: str
    expires_at: int
    private: SessionPrivate | None = None


@event("session.refreshed")
class SessionRefreshed(Event, frozen=True, kw_only=True):
    session: str
    account: str
    token_hash: str
    expires_at: int


@event("session.revoked")
class SessionRevoked(Event, frozen=True, kw_only=True):
    """``reason``: signed_out, reuse (a rotated token came back), revoked, password_changed or deleted (the account)."""

    session: str
    account: str
    reason: str


class Facet(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A range of the text with a meaning. ``kind`` is mention, tag or link; ``target`` the account id or the folded tag, empty for a link, whose
    address stands in the text alone. Ranges are half open; bytes are of the text in UTF-8, graphemes are extended clusters (UAX #29)."""

    kind: str
    byte_start: int
    byte_end: int
    grapheme_start: int
    grapheme_end: int
    target: str = ""


class Media(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A picture, film or sound that a post shows, by its address; ``alt`` says it in words. ``width`` and ``height`` are pixels, ``duration`` is
    milliseconds; 0: not told. ``blurhash`` is what stands in its place until it is there."""

    url: str
    mime_type: str
    alt: str = ""
    width: int = 0
    height: int = 0
    duration: int = 0
    blurhash: str = ""


class PostContent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    text: str
    content_warning: str = ""
    media: tuple[Media, ...] = ()


Revision = Annotated[int, msgspec.Meta(ge=1)]
"""Of a post's content: 1 is what it was created with."""


class PostPrivate(PostContent, frozen=True, kw_only=True, omit_defaults=True):
    """``before``: of an edit, what it replaced."""

    before: PostContent | None = None


@event("post.created")
class PostCreated(Event, frozen=True, kw_only=True):
    """``root`` is the first post of the thread (the post itself where it starts one), ``ancestors`` those that it hangs on, the nearest last and at most
    domain.limits.Limits.ancestors; tags are folded and unique, in order of appearance; ``media`` is how many things it shows."""

    post: str
    author: str
    visibility: str = "PUBLIC"
    language: str | None = None
    reply_to: str | None = None
    reply_to_author: str | None = None
    root: str
    ancestors: tuple[str, ...] = ()
    quote: str | None = None
    quote_author: str | None = None
    facets: tuple[Facet, ...] = ()
    mentions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    media: int = 0
    private: PostPrivate | None = None


@event("post.edited")
class PostEdited(Event, frozen=True, kw_only=True):
    """Carries the whole new content, and what it replaces: ``private.before`` with ``before_facets``, written at ``before_at``. ``sort_at`` is the post's
    own; ``tags_added`` are those it had not before, ``tags_removed`` those it no longer has, ``mentions_added`` those it had not before."""

    post: str
    author: str
    visibility: str
    sort_at: int
    revision: Revision
    language: str | None = None
    facets: tuple[Facet, ...] = ()
    mentions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    tags_added: tuple[str, ...] = ()
    tags_removed: tuple[str, ...] = ()
    mentions_added: tuple[str, ...] = ()
    media: int = 0
    before_at: int = 0
    before_facets: tuple[Facet, ...] = ()
    private: PostPrivate | None = None


@event("post.deleted")
class PostDeleted(Event, frozen=True, kw_only=True):
    """``words`` is the most that any of its texts could be found by (domain.words)."""

    post: str
    author: str
    visibility: str = "PUBLIC"
    reply_to: str | None = None
    quote: str | None = None
    tags: tuple[str, ...] = ()
    words: int = 0


@event("post.restored")
class PostRestored(Event, frozen=True, kw_only=True):
    """Undoes a deletion: the whole content as it was, at the place that it had (``sort_at``)."""

    post: str
    author: str
    visibility: str
    sort_at: int
    revision: Revision
    language: str | None = None
    reply_to: str | None = None
    reply_to_author: str | None = None
    root: str
    ancestors: tuple[str, ...] = ()
    quote: str | None = None
    quote_author: str | None = None
    facets: tuple[Facet, ...] = ()
    mentions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    media: int = 0
    private: PostPrivate | None = None


@event("pins.pinned")
class PostPinned(Event, frozen=True, kw_only=True):
    post: str
    author: str


@event("pins.unpinned")
class PostUnpinned(Event, frozen=True, kw_only=True):
    post: str
    author: str


@event("bookmark.added")
class PostBookmarked(Event, frozen=True, kw_only=True):
    actor: str
    post: str
    author: str


@event("bookmark.removed")
class BookmarkRemoved(Event, frozen=True, kw_only=True):
    actor: str
    post: str
    author: str


@event("reaction.liked")
class PostLiked(Event, frozen=True, kw_only=True):
    post: str
    author: str
    actor: str


@event("reaction.unliked")
class PostUnliked(Event, frozen=True, kw_only=True):
    post: str
    author: str
    actor: str


@event("repost.created")
class PostReposted(Event, frozen=True, kw_only=True):
    """``quote``: what the post quotes, to be read along with it."""

    actor: str
    post: str
    author: str
    quote: str | None = None
    quote_author: str | None = None


@event("repost.undone")
class RepostUndone(Event, frozen=True, kw_only=True):
    actor: str
    post: str
    author: str


@event("follow.followed")
class Followed(Event, frozen=True, kw_only=True):
    """``renewed``: the follow stood already and only its options changed, so that folds count it once."""

    follower: str
    followee: str
    reposts: bool = True
    notify: bool = False
    renewed: bool = False


@event("follow.unfollowed")
class Unfollowed(Event, frozen=True, kw_only=True):
    follower: str
    followee: str


@event("follow.requested")
class FollowRequested(Event, frozen=True, kw_only=True):
    """A locked account is asked. ``renewed``: the request stood already and only its options changed."""

    follower: str
    followee: str
    reposts: bool = True
    notify: bool = False
    renewed: bool = False


@event("follow.request_accepted")
class FollowRequestAccepted(Event, frozen=True, kw_only=True):
    """The request ends; the follow itself is the ``Followed`` of the same batch."""

    follower: str
    followee: str


@event("follow.request_rejected")
class FollowRequestRejected(Event, frozen=True, kw_only=True):
    """By the followee, a block included."""

    follower: str
    followee: str


@event("follow.request_withdrawn")
class FollowRequestWithdrawn(Event, frozen=True, kw_only=True):
    """By the follower, a block included."""

    follower: str
    followee: str


@event("block.blocked")
class AccountBlocked(Event, frozen=True, kw_only=True):
    """``actor`` wants nothing of ``target``, and nothing of theirs to reach them. The target's follow ends in the same batch, the actor's by a reactor."""

    actor: str
    target: str


@event("block.unblocked")
class AccountUnblocked(Event, frozen=True, kw_only=True):
    actor: str
    target: str


@event("mute.muted")
class AccountMuted(Event, frozen=True, kw_only=True):
    """``until`` None: for good. A mute that stands may be muted anew with another end."""

    actor: str
    target: str
    until: int | None = None


@event("mute.unmuted")
class AccountUnmuted(Event, frozen=True, kw_only=True):
    actor: str
    target: str


@event("marker.notifications_read")
class NotificationsRead(Event, frozen=True, kw_only=True):
    """All notifications up to ``up_to`` (microseconds) have been seen."""

    account: str
    up_to: int


@event("log.segment_padded")
class SegmentPadded(Event, frozen=True, kw_only=True):
    """Fills a segment up where the next command does not fit; stream ``shard-{n}``; ignored by every fold."""


@event("log.generation_closed")
class GenerationClosed(Event, frozen=True, kw_only=True):
    """The last event of a shard's generation; who has folded it appends no more."""

    generation: int

"""Every event that the log can hold: past tense, immutable, named and versioned for good.

``name`` and ``schema_version`` are what is stored; class names may change, these never. A field ``private`` holds what a person typed: the log
seals it under the key of ``subject`` and gives ``None`` (redacted) once that key is destroyed; everything else is stored in the open. Events carry
what their folds need, for a fold reads nothing but the event. Times are integer microseconds since the epoch, UTC.
"""

from typing import Any, ClassVar, Final, TypeVar

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


@event("claim.held")
class ClaimHeld(Event, frozen=True, kw_only=True):
    """``claim_id`` names this holding, not the name: a later holding of the same name has another. ``request`` is the idempotency key's id, where one was given."""

    kind: str
    owner: str
    claim_id: str
    request: str | None = None


@event("claim.confirmed")
class ClaimConfirmed(Event, frozen=True, kw_only=True):
    """The owner's stream names this claim: it can no longer be taken over."""

    owner: str
    claim_id: str


@event("claim.released")
class ClaimReleased(Event, frozen=True, kw_only=True):
    owner: str
    claim_id: str


@event("session.opened")
class SessionOpened(Event, frozen=True, kw_only=True):
    """``token_hash`` is the SHA-256 of the refresh token's secret, in hex."""

    session: str
    account: str
    token_hash: str
    expires_at: int


@event("session.refreshed")
class SessionRefreshed(Event, frozen=True, kw_only=True):
    session: str
    account: str
    token_hash: str
    expires_at: int


@event("session.revoked")
class SessionRevoked(Event, frozen=True, kw_only=True):
    """``reason``: signed_out, reuse (a rotated token came back) or revoked."""

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


class PostPrivate(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    content_warning: str = ""


@event("post.created")
class PostCreated(Event, frozen=True, kw_only=True):
    """``root`` is the first post of the thread (the post itself where it starts one); tags are folded and unique, in order of appearance."""

    post: str
    author: str
    visibility: str = "PUBLIC"
    language: str | None = None
    reply_to: str | None = None
    reply_to_author: str | None = None
    root: str
    facets: tuple[Facet, ...] = ()
    mentions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    private: PostPrivate | None = None


@event("post.edited")
class PostEdited(Event, frozen=True, kw_only=True):
    """Carries the whole new content. ``sort_at`` is the post's own; ``tags_removed`` are those it no longer has."""

    post: str
    author: str
    visibility: str
    sort_at: int
    revision: int
    language: str | None = None
    facets: tuple[Facet, ...] = ()
    mentions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    tags_removed: tuple[str, ...] = ()
    private: PostPrivate | None = None


@event("post.deleted")
class PostDeleted(Event, frozen=True, kw_only=True):
    post: str
    author: str
    reply_to: str | None = None
    tags: tuple[str, ...] = ()


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
    actor: str
    post: str
    author: str


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


@event("log.segment_padded")
class SegmentPadded(Event, frozen=True, kw_only=True):
    """Fills a segment up where the next command does not fit; stream ``shard-{n}``; ignored by every fold."""


@event("log.generation_closed")
class GenerationClosed(Event, frozen=True, kw_only=True):
    """The last event of a shard's generation; who has folded it appends no more."""

    generation: int

"""Viewer edges: what one person is to another, or has done with a post; one document per (viewer, target), so that a page needs one find.

Each field has one writer: ``following``, ``followedAt``, ``reposts``, ``notify`` and ``requested`` the followee's shard; ``blocking``, ``muting`` and
``mutedUntil`` the viewer's own shard; ``liked`` and ``likedAt`` the shard of the post's author; ``reposted``, ``repostedAt`` and ``bookmarked`` the
viewer's own shard.
"""

from collections.abc import Iterable, Mapping

import msgspec

from domain.envelope import Recorded
from domain.events import (
    AccountBlocked,
    AccountMuted,
    AccountUnblocked,
    AccountUnmuted,
    BookmarkRemoved,
    Followed,
    FollowRequestAccepted,
    FollowRequested,
    FollowRequestRejected,
    FollowRequestWithdrawn,
    PostBookmarked,
    PostLiked,
    PostReposted,
    PostUnliked,
    RepostUndone,
    Unfollowed,
)
from projections.documents.port import Change, Collection, Documents, Fidelity, Shape, Spread, Value
from projections.folding import Alter, Family, Operation, on
from projections.relations import RELATIONS, RelationKind, begun, ended

VIEWER_EDGES = Collection("viewer_edges", "viewer_edges", Shape.STATE, Fidelity.EXACT, spread=Spread.RANGES)


class ViewerEdge(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``reposts``: whether the followee's reposts are wanted. Times are in microseconds, None where the edge is off, and ``muted_until`` where a mute
    has no end; ``muting`` says nothing of whether that has come (see ``mutes``)."""

    following: bool = False
    followed_at: int | None = None
    reposts: bool = True
    notify: bool = False
    requested: bool = False
    blocking: bool = False
    muting: bool = False
    muted_until: int | None = None
    liked: bool = False
    liked_at: int | None = None
    reposted: bool = False
    reposted_at: int | None = None
    bookmarked: bool = False

    def mutes(self, now: int) -> bool:
        """Whether a mute stands at ``now`` (microseconds)."""
        return self.muting and (self.muted_until is None or self.muted_until > now)


NO_EDGE = ViewerEdge()


def edge_id(viewer: str, target: str) -> str:
    return f"{viewer}-{target}"


def _alter(viewer: str, target: str, **fields: Value) -> Alter:
    # None stands for a field that is no more.
    given = {name: value for name, value in fields.items() if value is not None}
    gone = tuple(name for name, value in fields.items() if value is None)
    return Alter(VIEWER_EDGES, edge_id(viewer, target), Change(set=given, unset=gone))


def _followed(recorded: Recorded, event: Followed) -> Iterable[Operation]:
    since: dict[str, Value] = {} if event.renewed else {"followedAt": recorded.sort_at}
    yield _alter(event.follower, event.followee, following=True, reposts=event.reposts, notify=event.notify, **since)


def _unfollowed(_: Recorded, event: Unfollowed) -> Iterable[Operation]:
    yield _alter(event.follower, event.followee, following=False, followedAt=None, reposts=None, notify=None)


def _requested(recorded: Recorded, event: FollowRequested) -> Iterable[Operation]:
    yield _alter(event.follower, event.followee, requested=True)
    if not event.renewed:
        yield begun(RelationKind.REQUEST, event.followee, event.follower, recorded.sort_at)


def _request_ended(
    _: Recorded, event: FollowRequestAccepted | FollowRequestRejected | FollowRequestWithdrawn
) -> Iterable[Operation]:
    yield _alter(event.follower, event.followee, requested=False)
    yield ended(RelationKind.REQUEST, event.followee, event.follower)


def _blocked(recorded: Recorded, event: AccountBlocked) -> Iterable[Operation]:
    yield _alter(event.actor, event.target, blocking=True)
    yield begun(RelationKind.BLOCK, event.actor, event.target, recorded.sort_at)


def _unblocked(_: Recorded, event: AccountUnblocked) -> Iterable[Operation]:
    yield _alter(event.actor, event.target, blocking=False)
    yield ended(RelationKind.BLOCK, event.actor, event.target)


def _muted(recorded: Recorded, event: AccountMuted) -> Iterable[Operation]:
    yield _alter(event.actor, event.target, muting=True, mutedUntil=event.until)
    yield begun(RelationKind.MUTE, event.actor, event.target, recorded.sort_at)


def _unmuted(_: Recorded, event: AccountUnmuted) -> Iterable[Operation]:
    yield _alter(event.actor, event.target, muting=False, mutedUntil=None)
    yield ended(RelationKind.MUTE, event.actor, event.target)


def _liked(recorded: Recorded, event: PostLiked) -> Iterable[Operation]:
    yield _alter(event.actor, event.post, liked=True, likedAt=recorded.sort_at)
    yield begun(RelationKind.LIKE, event.actor, event.post, recorded.sort_at)


def _unliked(_: Recorded, event: PostUnliked) -> Iterable[Operation]:
    yield _alter(event.actor, event.post, liked=False, likedAt=None)
    yield ended(RelationKind.LIKE, event.actor, event.post)


def _reposted(recorded: Recorded, event: PostReposted) -> Iterable[Operation]:
    yield _alter(event.actor, event.post, reposted=True, repostedAt=recorded.sort_at)


def _repost_undone(_: Recorded, event: RepostUndone) -> Iterable[Operation]:
    yield _alter(event.actor, event.post, reposted=False, repostedAt=None)


def _bookmarked(recorded: Recorded, event: PostBookmarked) -> Iterable[Operation]:
    yield _alter(event.actor, event.post, bookmarked=True)
    yield begun(RelationKind.BOOKMARK, event.actor, event.post, recorded.sort_at)


def _bookmark_removed(_: Recorded, event: BookmarkRemoved) -> Iterable[Operation]:
    yield _alter(event.actor, event.post, bookmarked=False)
    yield ended(RelationKind.BOOKMARK, event.actor, event.post)


FAMILY = Family(
    "viewer_edges",
    (VIEWER_EDGES, RELATIONS),
    dict(
        (
            on(Followed, _followed),
            on(Unfollowed, _unfollowed),
            on(FollowRequested, _requested),
            on(FollowRequestAccepted, _request_ended),
            on(FollowRequestRejected, _request_ended),
            on(FollowRequestWithdrawn, _request_ended),
            on(AccountBlocked, _blocked),
            on(AccountUnblocked, _unblocked),
            on(AccountMuted, _muted),
            on(AccountUnmuted, _unmuted),
            on(PostLiked, _liked),
            on(PostUnliked, _unliked),
            on(PostReposted, _reposted),
            on(RepostUndone, _repost_undone),
            on(PostBookmarked, _bookmarked),
            on(BookmarkRemoved, _bookmark_removed),
        )
    ),
)


async def get_edges(documents: Documents, pairs: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], ViewerEdge]:
    """Edges by (viewer, target), one find, none for none; where there is none the pair is absent (``NO_EDGE``)."""
    ids = {edge_id(*pair): pair for pair in pairs}
    if not ids:
        return {}
    found = await documents.get(VIEWER_EDGES, list(ids))
    return {ids[id_]: msgspec.convert(document, ViewerEdge) for id_, document in found.items()}

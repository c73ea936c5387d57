"""Footprints: in which streams somebody has done what stands, so that reactors find it when an account ends, or its sessions do.

One document for each (account, stream); a follow has one for either side. What stands no more keeps its guard and leaves the index.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Final

from domain.envelope import Recorded
from domain.events import (
    AccountBlocked,
    AccountMuted,
    AccountUnblocked,
    AccountUnmuted,
    BookmarkRemoved,
    Event,
    Followed,
    FollowRequested,
    FollowRequestRejected,
    FollowRequestWithdrawn,
    PostBookmarked,
    PostCreated,
    PostDeleted,
    PostLiked,
    PostReposted,
    PostRestored,
    PostUnliked,
    RepostUndone,
    SessionOpened,
    SessionRevoked,
    Unfollowed,
)
from projections.documents.port import After, Change, Collection, Documents, Fidelity, Index, Shape
from projections.folding import Alter, Family, Fold, Operation

FOOTPRINTS = Collection(
    "footprints", "footprints", Shape.STATE, Fidelity.EXACT, (Index("by_account", ("account",), "stream"),)
)

PAGE: Final = 200
"""Streams of one find."""

_BEGIN: Final[Mapping[type[Event], tuple[str, ...]]] = {
    Followed: ("follower", "followee"),
    FollowRequested: ("follower", "followee"),
    PostCreated: ("author",),
    PostRestored: ("author",),
    PostLiked: ("actor",),
    PostReposted: ("actor",),
    PostBookmarked: ("actor",),
    AccountBlocked: ("actor",),
    AccountMuted: ("actor",),
    SessionOpened: ("account",),
}
"""By event: the fields that name those whose footprint it leaves."""
_END: Final[Mapping[type[Event], tuple[str, ...]]] = {
    Unfollowed: ("follower", "followee"),
    FollowRequestRejected: ("follower", "followee"),
    FollowRequestWithdrawn: ("follower", "followee"),
    PostDeleted: ("author",),
    PostUnliked: ("actor",),
    RepostUndone: ("actor",),
    BookmarkRemoved: ("actor",),
    AccountUnblocked: ("actor",),
    AccountUnmuted: ("actor",),
    SessionRevoked: ("account",),
}


def _begun(fields: tuple[str, ...]) -> Fold:
    def fold(recorded: Recorded) -> Iterable[Operation]:
        for field in fields:
            account = getattr(recorded.event, field)
            left = Change(set={"account": account, "stream": recorded.stream}, unset=("gone",))
            yield Alter(FOOTPRINTS, f"{account}/{recorded.stream}", left)

    return fold


def _ended(fields: tuple[str, ...]) -> Fold:
    def fold(recorded: Recorded) -> Iterable[Operation]:
        for field in fields:
            id_ = f"{getattr(recorded.event, field)}/{recorded.stream}"
            yield Alter(FOOTPRINTS, id_, Change(set={"gone": True}, unset=("stream",)))

    return fold


FAMILY = Family(
    "footprints",
    (FOOTPRINTS,),
    {kind: _begun(fields) for kind, fields in _BEGIN.items()} | {kind: _ended(fields) for kind, fields in _END.items()},
)


async def streams_of(documents: Documents, account: str, category: str = "") -> AsyncGenerator[Sequence[str], None]:
    """The streams, of one category or of all, in which the account's doings stand, page by page in the order of their names."""
    begin = f"{category}-" if category else ""
    after: After | None = After(begin, "") if begin else None
    while True:
        found = await documents.page(FOOTPRINTS, "by_account", [account], after=after, limit=PAGE)
        streams = [stream for stream in (str(row.sort) for row in found) if stream.startswith(begin)]
        if streams:
            yield streams
        if len(streams) < PAGE:
            return
        after = After(streams[-1], found[-1].id)

"""Accounts: public profiles with their counts. The only place of a handle, a display name and a bio outside the log and search."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from domain.envelope import Recorded
from domain.events import (
    AccountDeactivated,
    AccountDeleted,
    AccountHandleChanged,
    AccountLocked,
    AccountProfileChanged,
    AccountReactivated,
    AccountRegistered,
    AccountUnlocked,
    Facet,
    Followed,
    PostCreated,
    PostDeleted,
    PostRestored,
    ProfileField,
    Unfollowed,
)
from projections.documents.port import Change, Collection, Document, Documents, Fidelity, Index, Shape, Value
from projections.folding import Alter, Family, Operation, on

PROFILES = Collection(
    "accounts", "profiles", Shape.STATE, Fidelity.EXACT, (Index("by_handle", ("handle",), "createdAt"),)
)
ACTIVE = "ACTIVE"
DEACTIVATED = "DEACTIVATED"
DELETED = "DELETED"
_TYPED = ("displayName", "bio", "bioFacets", "fields", "avatar", "banner")


class ProfileCounts(msgspec.Struct, frozen=True, rename="camel"):
    followers: int = 0
    following: int = 0
    posts: int = 0


class Profile(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A person. ``handle`` is None once the account's key is destroyed (``redacted``); times are in microseconds."""

    id: str
    created_at: int
    state: str
    handle: str | None = None
    display_name: str = ""
    bio: str = ""
    bio_facets: tuple[Facet, ...] = ()
    fields: tuple[ProfileField, ...] = ()
    avatar: str = ""
    banner: str = ""
    locked: bool = False
    counts: ProfileCounts = ProfileCounts()

    @property
    def redacted(self) -> bool:
        return self.handle is None


def _registered(recorded: Recorded, event: AccountRegistered) -> Iterable[Operation]:
    fields: dict[str, Value] = {"createdAt": recorded.sort_at, "state": ACTIVE}
    if event.private is not None:
        fields["handle"] = event.private.handle
        fields["displayName"] = event.private.display_name
        fields["bio"] = event.private.bio
    yield Alter(PROFILES, event.account, Change(set=fields))


def _handle_changed(_: Recorded, event: AccountHandleChanged) -> Iterable[Operation]:
    change = Change(unset=("handle",)) if event.private is None else Change(set={"handle": event.private.handle})
    yield Alter(PROFILES, event.account, change)


def _profile_changed(_: Recorded, event: AccountProfileChanged) -> Iterable[Operation]:
    private = event.private
    if private is None:
        yield Alter(PROFILES, event.account, Change(unset=_TYPED))
        return
    fields: dict[str, Value] = {
        "displayName": private.display_name,
        "bio": private.bio,
        "bioFacets": [msgspec.to_builtins(facet) for facet in event.bio_facets],
        "fields": [msgspec.to_builtins(field) for field in private.fields],
        "avatar": private.avatar,
        "banner": private.banner,
    }
    yield Alter(PROFILES, event.account, Change(set=fields))


def _locked(recorded: Recorded, event: AccountLocked | AccountUnlocked) -> Iterable[Operation]:
    yield Alter(PROFILES, event.account, Change(set={"locked": isinstance(recorded.event, AccountLocked)}))


def _stands(state: str) -> Callable[[Recorded, AccountDeactivated | AccountReactivated], Iterable[Operation]]:
    def fold(_: Recorded, event: AccountDeactivated | AccountReactivated) -> Iterable[Operation]:
        yield Alter(PROFILES, event.account, Change(set={"state": state}))

    return fold


def _deleted(_: Recorded, event: AccountDeleted) -> Iterable[Operation]:
    yield Alter(PROFILES, event.account, Change(set={"state": DELETED}, unset=("handle", *_TYPED)))


def _count(account: str, field: str, step: int) -> Alter:
    return Alter(PROFILES, account, Change(inc={f"counts.{field}": step}))


def _followed(_: Recorded, event: Followed) -> Iterable[Operation]:
    if not event.renewed:
        yield _count(event.followee, "followers", 1)
        yield _count(event.follower, "following", 1)


def _unfollowed(_: Recorded, event: Unfollowed) -> Iterable[Operation]:
    yield _count(event.followee, "followers", -1)
    yield _count(event.follower, "following", -1)


def _posted(_: Recorded, event: PostCreated | PostRestored) -> Iterable[Operation]:
    yield _count(event.author, "posts", 1)


def _post_deleted(_: Recorded, event: PostDeleted) -> Iterable[Operation]:
    yield _count(event.author, "posts", -1)


FAMILY = Family(
    "accounts",
    (PROFILES,),
    dict(
        (
            on(AccountRegistered, _registered),
            on(AccountHandleChanged, _handle_changed),
            on(AccountProfileChanged, _profile_changed),
            on(AccountLocked, _locked),
            on(AccountUnlocked, _locked),
            on(AccountDeactivated, _stands(DEACTIVATED)),
            on(AccountReactivated, _stands(ACTIVE)),
            on(AccountDeleted, _deleted),
            on(Followed, _followed),
            on(Unfollowed, _unfollowed),
            on(PostCreated, _posted),
            on(PostRestored, _posted),
            on(PostDeleted, _post_deleted),
        )
    ),
)


def as_profile(id_: str, document: Document) -> Profile | None:
    """None for a stub: counted by another shard before its own registration was folded."""
    return msgspec.convert({**document, "id": id_}, Profile) if "state" in document else None


async def get_profiles(documents: Documents, ids: Sequence[str]) -> Mapping[str, Profile]:
    """Profiles by account id, one find, none for none; unknown ids are absent."""
    if not ids:
        return {}
    found = await documents.get(PROFILES, ids)
    profiles = ((id_, as_profile(id_, document)) for id_, document in found.items())
    return {id_: profile for id_, profile in profiles if profile is not None}


async def profile_by_handle(documents: Documents, handle: str) -> Profile | None:
    """The profile with this handle, in its folded form (domain.names.fold_handle); one find."""
    found = await documents.page(PROFILES, "by_handle", [handle], limit=1)
    return as_profile(found[0].id, found[0].fields) if found else None

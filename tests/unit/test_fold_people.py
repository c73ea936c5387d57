"""Accounts and viewer edges: what events make of a person, and of what somebody is to them."""

from domain.events import (
    AccountPrivate,
    AccountRegistered,
    Event,
    Followed,
    PostCreated,
    PostDeleted,
    PostLiked,
    PostReposted,
    PostUnliked,
    RepostUndone,
    Unfollowed,
)
from projections import accounts, viewer_edges
from projections.accounts import Profile, ProfileCounts, as_profile
from tests.unit.folded import folded, happened

PRIVATE = AccountPrivate(handle="ada", email="ada@example.org", password_hash="secret", display_name="Ada", bio="hm")


def registered(private: AccountPrivate | None = PRIVATE) -> AccountRegistered:
    return AccountRegistered(account="ada", handle_claim="h", email_claim="e", email_claim_stream="s", private=private)


def profile_after(*events: Event) -> Profile | None:
    documents = folded(accounts.FAMILY, happened(*events))["profiles"]
    return as_profile("ada", documents["ada"])


def test_a_registration_makes_a_profile() -> None:
    assert profile_after(registered()) == Profile(
        id="ada", created_at=1_000_000_000, state="ACTIVE", handle="ada", display_name="Ada", bio="hm"
    )


def test_a_profile_holds_neither_address_nor_password() -> None:
    document = folded(accounts.FAMILY, happened(registered()))["profiles"]["ada"]
    assert set(document) == {"createdAt", "state", "handle", "displayName", "bio"}


def test_a_profile_without_its_key_is_redacted() -> None:
    profile = profile_after(registered(None))
    assert profile == Profile(id="ada", created_at=1_000_000_000, state="ACTIVE")
    assert profile is not None
    assert profile.redacted


def test_a_profile_that_was_only_counted_is_absent() -> None:
    assert profile_after(Followed(follower="bob", followee="ada")) is None


def test_counts_that_came_before_the_registration_stay() -> None:
    profile = profile_after(Followed(follower="bob", followee="ada"), registered())
    assert profile is not None
    assert profile.counts == ProfileCounts(followers=1)


def test_follows_and_posts_are_counted() -> None:
    profile = profile_after(
        registered(),
        Followed(follower="ada", followee="bob"),
        Followed(follower="ada", followee="cyd"),
        Followed(follower="ada", followee="cyd", reposts=False, renewed=True),
        Unfollowed(follower="ada", followee="bob"),
        Followed(follower="cyd", followee="ada"),
        PostCreated(post="p", author="ada", root="p"),
        PostCreated(post="q", author="ada", root="q"),
        PostDeleted(post="p", author="ada"),
    )
    assert profile is not None
    assert profile.counts == ProfileCounts(followers=1, following=1, posts=1)


def test_an_edge_says_what_the_viewer_has_done() -> None:
    log = happened(
        Followed(follower="ada", followee="bob", notify=True),
        PostLiked(post="p", author="bob", actor="ada"),
        PostReposted(post="p", author="bob", actor="ada"),
    )
    edges = folded(viewer_edges.FAMILY, log)["viewer_edges"]
    assert edges["ada-bob"] == {"following": True, "followedAt": 1_000_000_000, "reposts": True, "notify": True}
    assert edges["ada-p"] == {"liked": True, "likedAt": 1_001_000_000, "reposted": True, "repostedAt": 1_002_000_000}


def test_an_edge_says_what_is_no_more() -> None:
    log = happened(
        Followed(follower="ada", followee="bob"),
        PostLiked(post="p", author="bob", actor="ada"),
        PostReposted(post="p", author="bob", actor="ada"),
        Unfollowed(follower="ada", followee="bob"),
        PostUnliked(post="p", author="bob", actor="ada"),
        RepostUndone(post="p", author="bob", actor="ada"),
    )
    edges = folded(viewer_edges.FAMILY, log)["viewer_edges"]
    assert edges == {"ada-bob": {"following": False}, "ada-p": {"liked": False, "reposted": False}}


def test_a_renewed_follow_keeps_its_time() -> None:
    log = happened(
        Followed(follower="ada", followee="bob"),
        Followed(follower="ada", followee="bob", reposts=False, renewed=True),
    )
    edge = folded(viewer_edges.FAMILY, log)["viewer_edges"]["ada-bob"]
    assert edge == {"following": True, "followedAt": 1_000_000_000, "reposts": False, "notify": False}

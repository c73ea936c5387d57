"""Follows, requests, blocks and mutes: what events make of what two people are to each other."""

from domain.events import (
    AccountBlocked,
    AccountMuted,
    AccountUnblocked,
    AccountUnmuted,
    Event,
    Followed,
    FollowRequestAccepted,
    FollowRequested,
    FollowRequestRejected,
    FollowRequestWithdrawn,
    Unfollowed,
)
from projections import accounts, home, signals, viewer_edges
from projections.relations import RelationKind, relation_id
from tests.unit.folded import Folded, folded, happened

REQUESTED = FollowRequested(follower="bob", followee="ada", reposts=False)
ACCEPTED = FollowRequestAccepted(follower="bob", followee="ada")
FOLLOWED = Followed(follower="bob", followee="ada", reposts=False)


def edges_after(*events: Event) -> Folded:
    return folded(viewer_edges.FAMILY, happened(*events))


def test_a_request_stands_until_it_is_accepted() -> None:
    request = relation_id(RelationKind.REQUEST, "ada", "bob")
    asked = edges_after(REQUESTED)
    assert asked["viewer_edges"] == {"bob-ada": {"requested": True}}
    assert asked["relations"][request] == {
        "kind": "request",
        "owner": "ada",
        "other": "bob",
        "key": "00000001000000000-bob",
    }
    accepted = edges_after(REQUESTED, ACCEPTED, FOLLOWED)
    assert accepted["viewer_edges"]["bob-ada"] == {
        "requested": False,
        "following": True,
        "followedAt": 1_002_000_000,
        "reposts": False,
        "notify": False,
    }
    assert "key" not in accepted["relations"][request]


def test_a_request_that_is_renewed_keeps_its_place() -> None:
    renewed = FollowRequested(follower="bob", followee="ada", notify=True, renewed=True)
    assert edges_after(REQUESTED, renewed) == edges_after(REQUESTED)


def test_a_request_ends_however_it_ends() -> None:
    for ending in (
        FollowRequestRejected(follower="bob", followee="ada"),
        FollowRequestWithdrawn(follower="bob", followee="ada"),
    ):
        ended = edges_after(REQUESTED, ending)
        assert ended["viewer_edges"] == {"bob-ada": {"requested": False}}
        assert ended["relations"][relation_id(RelationKind.REQUEST, "ada", "bob")]["gone"] is True
    again = edges_after(REQUESTED, FollowRequestRejected(follower="bob", followee="ada"), REQUESTED)
    assert again["relations"][relation_id(RelationKind.REQUEST, "ada", "bob")]["key"] == "00000001002000000-bob"


def test_who_asks_is_counted_nowhere() -> None:
    assert folded(accounts.FAMILY, happened(REQUESTED))["profiles"] == {}
    assert not any(folded(home.FAMILY, happened(REQUESTED)).values())
    told = folded(signals.FAMILY, happened(REQUESTED))["signals"].values()
    assert [row["topics"] for row in told] == [["notify:ada"]]


def test_a_block_and_what_it_severs_are_counted_once() -> None:
    log = happened(
        Followed(follower="bob", followee="ada"),
        Followed(follower="ada", followee="bob"),
        AccountBlocked(actor="ada", target="bob"),
        Unfollowed(follower="bob", followee="ada"),
        Unfollowed(follower="ada", followee="bob"),
        AccountUnblocked(actor="ada", target="bob"),
    )
    profiles = folded(accounts.FAMILY, log)["profiles"]
    assert [profiles[one]["counts"] for one in ("ada", "bob")] == [{"followers": 0, "following": 0}] * 2


def test_a_block_is_its_makers() -> None:
    blocked = edges_after(AccountBlocked(actor="ada", target="bob"))
    assert blocked["viewer_edges"] == {"ada-bob": {"blocking": True}}
    assert blocked["relations"][relation_id(RelationKind.BLOCK, "ada", "bob")]["owner"] == "ada"
    ended = edges_after(AccountBlocked(actor="ada", target="bob"), AccountUnblocked(actor="ada", target="bob"))
    assert ended["viewer_edges"] == {"ada-bob": {"blocking": False}}
    assert "key" not in ended["relations"][relation_id(RelationKind.BLOCK, "ada", "bob")]


def test_a_mute_has_the_end_that_it_was_given_last() -> None:
    soon, forever = AccountMuted(actor="ada", target="bob", until=9), AccountMuted(actor="ada", target="bob")
    assert edges_after(soon)["viewer_edges"] == {"ada-bob": {"muting": True, "mutedUntil": 9}}
    assert edges_after(soon, forever)["viewer_edges"] == {"ada-bob": {"muting": True}}
    unmuted = edges_after(soon, AccountUnmuted(actor="ada", target="bob"))
    assert unmuted["viewer_edges"] == {"ada-bob": {"muting": False}}
    assert "key" not in unmuted["relations"][relation_id(RelationKind.MUTE, "ada", "bob")]

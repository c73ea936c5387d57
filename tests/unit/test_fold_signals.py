"""Signals and receipts: who is told of what, and where a command went."""

from domain.events import (
    Event,
    Followed,
    FollowRequestAccepted,
    FollowRequested,
    FollowRequestRejected,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostReposted,
    PostUnliked,
    RepostUndone,
    SegmentPadded,
    Unfollowed,
)
from projections import receipts, signals
from tests.unit.folded import folded, happened

CREATED = PostCreated(post="p", author="ada", root="q", reply_to="q", reply_to_author="bob", tags=("tea",))


def told(event: Event) -> list[tuple[object, object, object]]:
    """(kind, topics, post) of an event's signals."""
    rows = folded(signals.FAMILY, happened(event))["signals"]
    return [(row["kind"], row["topics"], row["post"] if "post" in row else row["account"]) for row in rows.values()]


def test_a_post_is_told_to_its_authors_feed_its_tags_and_its_parent() -> None:
    assert told(CREATED) == [
        ("item_added", ["author:ada", "tag:tea"], "p"),
        ("reply_added", ["post:q"], "q"),
        ("notified", ["notify:bob"], "p"),
    ]


def test_an_added_item_brings_its_entry() -> None:
    row = folded(signals.FAMILY, happened(CREATED))["signals"]["0-17592186044417-0"]
    assert row["entry"] == {
        "author": "ada",
        "item": "p",
        "key": "00000001000000000-p",
        "post": "p",
        "postAuthor": "ada",
        "reply": True,
        "replyToAuthor": "bob",
    }
    assert (row["shard"], row["position"], row["n"], row["at"]) == (0, 17592186044417, 0, 1_000_000_000)


def test_tags_of_less_than_public_posts_are_not_told() -> None:
    assert told(PostCreated(post="p", author="ada", root="p", visibility="FOLLOWERS", tags=("tea",))) == [
        ("item_added", ["author:ada"], "p")
    ]
    assert told(PostCreated(post="p", author="ada", root="p", visibility="DIRECT", tags=("tea",))) == []


def test_an_edit_is_told_to_the_tags_that_it_has_and_those_that_it_left() -> None:
    edited = PostEdited(
        post="p",
        author="ada",
        visibility="PUBLIC",
        sort_at=0,
        revision=2,
        tags=("tea",),
        tags_removed=("rain",),
    )
    assert told(edited) == [
        ("item_updated", ["author:ada", "tag:tea", "public"], "p"),
        ("post_changed", ["post:p"], "p"),
        ("item_left", ["tag:rain"], "p"),
    ]


def test_a_deletion_is_told_everywhere() -> None:
    assert told(PostDeleted(post="p", author="ada", reply_to="q", tags=("tea",))) == [
        ("item_removed", ["author:ada", "tag:tea"], "p"),
        ("post_changed", ["post:p"], "p"),
        ("counts_changed", ["post:q"], "q"),
    ]


def test_reposts_are_told_to_the_actors_feed_and_the_post() -> None:
    assert told(PostReposted(actor="ada", post="q", author="bob")) == [
        ("item_added", ["author:ada"], "q"),
        ("counts_changed", ["post:q"], "q"),
        ("notified", ["notify:bob"], "q"),
    ]
    assert told(RepostUndone(actor="ada", post="q", author="bob")) == [
        ("item_removed", ["author:ada"], "q"),
        ("counts_changed", ["post:q"], "q"),
        ("note_taken_back", ["notify:bob"], "q"),
    ]


def test_likes_are_told_to_the_post_and_its_author() -> None:
    assert told(PostLiked(post="q", author="bob", actor="ada")) == [
        ("counts_changed", ["post:q"], "q"),
        ("notified", ["notify:bob"], "q"),
    ]
    assert told(PostUnliked(post="q", author="bob", actor="ada"))[1] == ("note_taken_back", ["notify:bob"], "q")
    assert told(PostLiked(post="q", author="bob", actor="bob")) == [("counts_changed", ["post:q"], "q")]


def test_follows_are_told_to_both() -> None:
    assert told(Followed(follower="ada", followee="bob")) == [
        ("follow_added", ["following:ada"], "bob"),
        ("notified", ["notify:bob"], "ada"),
    ]
    assert told(Followed(follower="ada", followee="bob", renewed=True)) == [("follow_added", ["following:ada"], "bob")]
    assert told(Unfollowed(follower="ada", followee="bob")) == [
        ("follow_removed", ["following:ada"], "bob"),
        ("note_taken_back", ["notify:bob"], "ada"),
    ]


def test_a_request_is_told_to_who_is_asked_and_its_end_to_both() -> None:
    assert told(FollowRequested(follower="ada", followee="bob")) == [("notified", ["notify:bob"], "ada")]
    assert told(FollowRequestAccepted(follower="ada", followee="bob")) == [
        ("notified", ["notify:ada"], "bob"),
        ("note_taken_back", ["notify:bob"], "ada"),
    ]
    assert told(FollowRequestRejected(follower="ada", followee="bob")) == [("note_taken_back", ["notify:bob"], "ada")]


def test_all_who_are_mentioned_are_told_by_one_signal() -> None:
    created = PostCreated(post="p", author="ada", root="p", mentions=("bob", "cas", "ada"))
    assert told(created) == [
        ("item_added", ["author:ada", "public"], "p"),
        ("notified", ["notify:bob", "notify:cas"], "p"),
    ]


def test_an_event_has_no_more_signals_than_a_page_holds() -> None:
    created = PostCreated(
        post="p",
        author="ada",
        root="q",
        reply_to="q",
        reply_to_author="bob",
        quote="r",
        quote_author="cas",
        mentions=("dan", "eve"),
        tags=("tea",),
    )
    assert len(told(created)) == 6 <= signals.MAX_SIGNALS


def test_a_receipt_names_the_commands_last_position() -> None:
    log = happened(CREATED, PostLiked(post="q", author="bob", actor="ada"))
    rows = folded(receipts.FAMILY, log)["receipts"]
    assert rows["command-2-0"] == {"command": "command-2", "shard": 0, "position": (1 << 44) + 2, "at": 1_001_000_000}


def test_padding_has_no_receipt() -> None:
    assert folded(receipts.FAMILY, happened(SegmentPadded()))["receipts"] == {}

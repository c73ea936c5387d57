"""Home's exact part: edges and author feeds."""

from domain.events import Followed, PostCreated, PostDeleted, PostReposted, RepostUndone, Unfollowed
from projections import home
from projections.folding import Deferred
from tests.unit.folded import folded, happened

FOLLOWED = Followed(follower="bob", followee="ada")
CREATED = PostCreated(post="p", author="ada", root="p")
REPLY = PostCreated(post="r", author="ada", root="q", reply_to="q", reply_to_author="bob")
REPOSTED = PostReposted(actor="ada", post="q", author="bob")


def test_a_follow_is_an_edge_until_it_ends() -> None:
    edge = folded(home.FAMILY, happened(FOLLOWED))["edges"]["bob-ada"]
    assert edge == {
        "follower": "bob",
        "followee": "ada",
        "active": True,
        "key": "00000001000000000-bob-ada",
        "reposts": True,
    }
    ended = folded(home.FAMILY, happened(FOLLOWED, Unfollowed(follower="bob", followee="ada")))["edges"]["bob-ada"]
    assert "key" not in ended
    assert ended["active"] is False


def test_a_follow_that_came_back_has_its_new_place() -> None:
    log = happened(FOLLOWED, Unfollowed(follower="bob", followee="ada"), FOLLOWED)
    edge = folded(home.FAMILY, log)["edges"]["bob-ada"]
    assert (edge["active"], edge["key"]) == (True, "00000001002000000-bob-ada")


def test_a_renewed_follow_keeps_its_place_and_copies_nothing() -> None:
    renewed = Followed(follower="bob", followee="ada", reposts=False, renewed=True)
    log = happened(FOLLOWED, renewed)
    edge = folded(home.FAMILY, log)["edges"]["bob-ada"]
    assert (edge["key"], edge["reposts"]) == ("00000001000000000-bob-ada", False)
    assert not any(isinstance(operation, Deferred) for operation in home.FAMILY.fold(log[1]))


def test_an_author_feed_has_posts_replies_and_reposts() -> None:
    feed = folded(home.FAMILY, happened(CREATED, REPLY, REPOSTED))["author_feed"]
    assert feed["p"] == {
        "author": "ada",
        "item": "p",
        "key": "00000001000000000-p",
        "post": "p",
        "postAuthor": "ada",
        "reply": False,
    }
    assert (feed["r"]["reply"], feed["r"]["replyToAuthor"]) == (True, "bob")
    assert feed["ada-q"] == {
        "author": "ada",
        "item": "ada-q",
        "key": "00000001002000000-ada-q",
        "post": "q",
        "postAuthor": "bob",
        "reply": False,
    }


def test_what_is_gone_leaves_the_feed_and_may_come_back() -> None:
    gone = happened(
        CREATED, PostDeleted(post="p", author="ada"), REPOSTED, RepostUndone(actor="ada", post="q", author="bob")
    )
    feed = folded(home.FAMILY, gone)["author_feed"]
    assert ["key" in entry for entry in feed.values()] == [False, False]
    again = happened(REPOSTED, RepostUndone(actor="ada", post="q", author="bob"), REPOSTED)
    entry = folded(home.FAMILY, again)["author_feed"]["ada-q"]
    assert entry["key"] == "00000001002000000-ada-q"
    assert "gone" not in entry


def test_a_direct_post_is_in_no_feed() -> None:
    log = happened(PostCreated(post="p", author="ada", root="p", visibility="DIRECT"))
    assert home.FAMILY.fold(log[0]) == ()

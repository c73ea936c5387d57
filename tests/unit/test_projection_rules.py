"""Rules: who may be shown what."""

import msgspec
import pytest

from projections.accounts import Profile
from projections.feeds import FeedEntry
from projections.keys import sort_key
from projections.posts import PostDoc
from projections.rules import (
    Feed,
    OfItem,
    OfPerson,
    OfPost,
    Tombstone,
    Verdict,
    rules,
    show_item,
    show_person,
    show_post,
    worth_reading,
)
from projections.sight import Sight
from projections.viewer_edges import ViewerEdge

FOLLOWING = ViewerEdge(following=True, followed_at=1)


def profile(id_: str, *, state: str = "ACTIVE", handle: str | None = "") -> Profile:
    return Profile(id=id_, created_at=1, state=state, handle=id_ if handle == "" else handle)


POST = PostDoc(
    id="p", author="ada", visibility="PUBLIC", root="p", sort_at=5, created_at=5, key=sort_key(5, "p"), text="hello"
)


def post(**fields: str | bool | tuple[str, ...] | None) -> PostDoc:
    return msgspec.structs.replace(POST, **fields)


def sight(viewer: str | None = "bob", *posts: PostDoc, **edges: ViewerEdge) -> Sight:
    """``edges`` are named {source}_{target}."""
    return Sight(
        viewer=viewer,
        posts={one.id: one for one in posts or (post(),)},
        people={name: profile(name) for name in ("ada", "bob", "cyd")},
        edges={(pair.split("_")[0], pair.split("_")[1]): edge for pair, edge in edges.items()},
    )


@pytest.mark.parametrize(
    ("visibility", "viewer", "verdict"),
    [
        ("PUBLIC", None, Verdict.SHOWN),
        ("UNLISTED", None, Verdict.SHOWN),
        ("FOLLOWERS", None, Verdict.NOT_VISIBLE),
        ("FOLLOWERS", "bob", Verdict.NOT_VISIBLE),
        ("FOLLOWERS", "ada", Verdict.SHOWN),
        ("DIRECT", None, Verdict.NOT_VISIBLE),
        ("DIRECT", "bob", Verdict.NOT_VISIBLE),
        ("DIRECT", "cyd", Verdict.SHOWN),
        ("DIRECT", "ada", Verdict.SHOWN),
        ("of a later version", "bob", Verdict.NOT_VISIBLE),
    ],
)
def test_visibility(visibility: str, viewer: str | None, verdict: Verdict) -> None:
    seen = sight(viewer, post(visibility=visibility, mentions=("cyd",)))
    assert rules(seen, OfPost("p")) is verdict


def test_followers_see_what_is_for_followers() -> None:
    assert rules(sight("bob", post(visibility="FOLLOWERS"), bob_ada=FOLLOWING), OfPost("p")) is Verdict.SHOWN
    assert rules(sight("bob", post(visibility="DIRECT"), bob_ada=FOLLOWING), OfPost("p")) is Verdict.NOT_VISIBLE
    assert rules(sight("bob", post(visibility="FOLLOWERS"), ada_bob=FOLLOWING), OfPost("p")) is Verdict.NOT_VISIBLE


def test_a_deleted_post_is_a_tombstone_to_those_who_could_see_it() -> None:
    seen = sight("bob", post(deleted=True, text=None))
    assert rules(seen, OfPost("p")) is Verdict.DELETED
    assert show_post(seen, "p") == Tombstone("p", deleted=True)
    hidden = sight("bob", post(deleted=True, text=None, visibility="FOLLOWERS"))
    assert show_post(hidden, "p") == Tombstone("p", deleted=False)


def test_a_redacted_post_is_a_tombstone() -> None:
    assert rules(sight("bob", post(text=None)), OfPost("p")) is Verdict.DELETED


def test_what_was_not_found_is_a_tombstone() -> None:
    assert show_post(sight(), "q") == Tombstone("q", deleted=False)


def test_nothing_of_a_person_who_is_gone_is_shown() -> None:
    for gone in (None, profile("ada", state="DELETED"), profile("ada", handle=None)):
        people = {"bob": profile("bob")} | ({"ada": gone} if gone else {})
        seen = Sight(viewer="bob", posts={"p": post()}, people=people, edges={("bob", "ada"): FOLLOWING})
        assert rules(seen, OfPerson("ada")) is Verdict.NOT_FOUND
        assert rules(seen, OfPost("p")) is Verdict.NOT_FOUND
        assert rules(seen, OfItem(entry())) is Verdict.NOT_FOUND
        assert show_person(seen, "ada") is None


def entry(author: str = "ada", reply_to_author: str | None = None) -> FeedEntry:
    return FeedEntry(
        author=author,
        item="p",
        key=sort_key(5, "p"),
        post="p",
        post_author=author,
        reply=reply_to_author is not None,
        reply_to_author=reply_to_author,
    )


def repost(at: int = 9) -> FeedEntry:
    return FeedEntry(author="cyd", item="cyd-p", key=sort_key(at, "cyd-p"), post="p", post_author="ada")


def test_a_home_shows_whom_the_viewer_follows() -> None:
    assert rules(sight("bob", bob_ada=FOLLOWING), OfItem(entry(), Feed.HOME)) is Verdict.SHOWN
    assert rules(sight("bob"), OfItem(entry(), Feed.HOME)) is Verdict.NOT_FOLLOWED
    assert rules(sight("ada"), OfItem(entry(), Feed.HOME)) is Verdict.SHOWN
    assert rules(sight("bob"), OfItem(entry())) is Verdict.SHOWN


@pytest.mark.parametrize(
    ("to", "verdict"),
    [("ada", Verdict.SHOWN), ("bob", Verdict.SHOWN), ("cyd", Verdict.SHOWN), ("dee", Verdict.NOT_FOLLOWED)],
)
def test_a_home_shows_replies_to_those_whom_the_viewer_knows(to: str, verdict: Verdict) -> None:
    seen = sight("bob", bob_ada=FOLLOWING, bob_cyd=FOLLOWING)
    assert rules(seen, OfItem(entry(reply_to_author=to), Feed.HOME)) is verdict


def test_a_home_shows_all_replies_of_the_viewers_own() -> None:
    assert rules(sight("ada"), OfItem(entry(reply_to_author="dee"), Feed.HOME)) is Verdict.SHOWN


def test_a_repost_stands_while_it_stands() -> None:
    made = ViewerEdge(reposted=True, reposted_at=9)
    assert rules(sight("bob", cyd_p=made), OfItem(repost())) is Verdict.SHOWN
    assert rules(sight("bob"), OfItem(repost())) is Verdict.UNDONE
    assert rules(sight("bob", cyd_p=made), OfItem(repost(at=8))) is Verdict.UNDONE


def test_a_repost_is_shown_to_followers_who_want_reposts() -> None:
    made = ViewerEdge(reposted=True, reposted_at=9)
    unwanted = ViewerEdge(following=True, reposts=False)
    assert rules(sight("bob", cyd_p=made, bob_cyd=FOLLOWING), OfItem(repost(), Feed.HOME)) is Verdict.SHOWN
    assert rules(sight("bob", cyd_p=made, bob_cyd=unwanted), OfItem(repost(), Feed.HOME)) is Verdict.NOT_FOLLOWED


def test_an_item_says_who_reposted_it() -> None:
    made = ViewerEdge(reposted=True, reposted_at=9)
    item = show_item(sight("bob", cyd_p=made, bob_p=ViewerEdge(liked=True), ada_bob=FOLLOWING), repost())
    assert item is not None
    assert (item.id, item.sort_at, item.post.id) == ("cyd-p", 9, "p")
    assert item.reposted_by is not None
    assert item.reposted_by.id == "cyd"
    assert item.post.edge.liked
    assert item.post.author.incoming.following
    plain = show_item(sight(), entry())
    assert plain is not None
    assert (plain.reposted_by, plain.reply_to) == (None, None)


@pytest.mark.parametrize("feed", list(Feed))
def test_an_item_says_whom_it_answers_in_every_feed(feed: Feed) -> None:
    def answered(to: str, **edges: ViewerEdge) -> str | None:
        seen = sight("bob", post(reply_to="q", reply_to_author=to), bob_ada=FOLLOWING, bob_cyd=FOLLOWING, **edges)
        item = show_item(seen, entry(), feed)
        assert item is not None
        assert item.answers
        return item.reply_to.id if item.reply_to else None

    assert answered("cyd") == "cyd"
    assert answered("ada") == "ada"
    assert answered("cyd", cyd_bob=ViewerEdge(blocking=True)) is None
    assert answered("gone") is None


BLOCKING = ViewerEdge(blocking=True)
BOTH_WAYS = pytest.mark.parametrize("edges", [{"bob_ada": BLOCKING}, {"ada_bob": BLOCKING}], ids=["own", "theirs"])


@BOTH_WAYS
def test_a_block_works_both_ways(edges: dict[str, ViewerEdge]) -> None:
    seen = sight("bob", **edges)
    assert rules(seen, OfPost("p")) is Verdict.BLOCKED
    assert show_post(seen, "p") == Tombstone("p", deleted=False, blocked=True)
    for feed in Feed:
        assert rules(seen, OfItem(entry(), feed)) is Verdict.BLOCKED
        assert not worth_reading(seen, entry(), feed)
    assert rules(seen, OfPerson("ada", listed=True)) is Verdict.BLOCKED
    assert show_person(seen, "ada", listed=True) is None
    looked_up = show_person(seen, "ada")
    assert looked_up is not None
    assert looked_up.outgoing.blocking or looked_up.incoming.blocking


@BOTH_WAYS
@pytest.mark.parametrize("visibility", ["PUBLIC", "FOLLOWERS", "DIRECT"])
@pytest.mark.parametrize("gone", [False, True])
def test_behind_a_block_all_posts_look_the_same(edges: dict[str, ViewerEdge], visibility: str, gone: bool) -> None:
    hidden = post(visibility=visibility, deleted=gone, text=None if gone else "hello")
    assert show_post(sight("bob", hidden, **edges), "p") == Tombstone("p", deleted=False, blocked=True)


def test_a_block_hides_what_others_share() -> None:
    made = ViewerEdge(reposted=True, reposted_at=9)
    for edges in ({"bob_ada": BLOCKING}, {"cyd_bob": BLOCKING}):
        assert rules(sight("bob", cyd_p=made, bob_cyd=FOLLOWING, **edges), OfItem(repost())) is Verdict.BLOCKED


def test_a_follow_counts_no_more_once_there_is_a_block() -> None:
    both = msgspec.structs.replace(FOLLOWING, blocking=True)
    assert not sight("bob", bob_ada=both).follows("ada")
    assert not sight("bob", bob_ada=FOLLOWING, ada_bob=BLOCKING).follows("ada")
    answering = sight("bob", bob_ada=FOLLOWING, bob_cyd=both)
    assert rules(answering, OfItem(entry(reply_to_author="cyd"), Feed.HOME)) is Verdict.NOT_FOLLOWED


def test_a_block_is_nothing_to_others() -> None:
    assert rules(sight("cyd", bob_ada=BLOCKING), OfPost("p")) is Verdict.SHOWN
    assert rules(sight(None, bob_ada=BLOCKING), OfPost("p")) is Verdict.SHOWN


@pytest.mark.parametrize(
    ("until", "now", "muted"), [(None, 0, True), (None, 10**16, True), (10, 9, True), (10, 10, False), (10, 11, False)]
)
def test_a_mute_ends_by_the_viewers_time(until: int | None, now: int, muted: bool) -> None:
    edge = msgspec.structs.replace(FOLLOWING, muting=True, muted_until=until)
    seen = msgspec.structs.replace(sight("bob", bob_ada=edge), now=now)
    for feed in (Feed.HOME, Feed.OPEN):
        assert rules(seen, OfItem(entry(), feed)) is (Verdict.MUTED if muted else Verdict.SHOWN)


def test_who_is_muted_can_be_looked_up() -> None:
    seen = sight("bob", bob_ada=ViewerEdge(muting=True))
    assert rules(seen, OfItem(entry())) is Verdict.SHOWN
    assert rules(seen, OfPost("p")) is Verdict.SHOWN
    assert show_person(seen, "ada", listed=True) is not None


def test_a_mute_hides_what_others_share_of_theirs() -> None:
    made, muting = ViewerEdge(reposted=True, reposted_at=9), ViewerEdge(muting=True)
    for edges in ({"bob_ada": muting}, {"bob_cyd": muting}):
        assert rules(sight("bob", cyd_p=made, **edges), OfItem(repost(), Feed.OPEN)) is Verdict.MUTED

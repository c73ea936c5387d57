"""Posts, hashtag feeds and uses: contents, tombstones, counts, where an edit moves a post, and what counts for trends."""

import msgspec

from domain.events import (
    BookmarkRemoved,
    Event,
    Facet,
    PostBookmarked,
    PostContent,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostPinned,
    PostPrivate,
    PostReposted,
    PostRestored,
    PostUnliked,
    PostUnpinned,
    RepostUndone,
)
from projections import hashtag_feed, posts, trends
from projections.documents.port import Value
from projections.posts import PostCounts, as_post
from tests.unit.folded import folded, happened

FACET = Facet(kind="tag", byte_start=0, byte_end=4, grapheme_start=0, grapheme_end=4, target="tea")
CREATED = PostCreated(
    post="p",
    author="ada",
    root="p",
    facets=(FACET,),
    tags=("tea", "rain"),
    mentions=("bob",),
    language="en",
    private=PostPrivate(text="#tea #rain", content_warning="wet"),
)
EDITED = PostEdited(
    post="p",
    author="ada",
    visibility="PUBLIC",
    sort_at=1_000_000_000,
    revision=2,
    tags=("tea", "sun"),
    tags_removed=("rain",),
    private=PostPrivate(text="#tea #sun"),
)
REPLY = PostCreated(
    post="r",
    author="bob",
    root="p",
    reply_to="p",
    reply_to_author="ada",
    private=PostPrivate(text="yes"),
)


def post_after(*events: Event) -> posts.PostDoc | None:
    documents = folded(posts.FAMILY, happened(*events))["posts"]
    return as_post("p", documents["p"])


def shown(*events: Event) -> dict[str, Value]:
    """{tag: key} of what stands in the index."""
    documents = folded(hashtag_feed.FAMILY, happened(*events))["hashtag_posts"]
    return {str(fields["tag"]): fields["key"] for fields in documents.values() if "key" in fields}


def test_a_post_is_what_was_typed_and_found_in_it() -> None:
    post = post_after(CREATED)
    assert post is not None
    assert (post.text, post.content_warning, post.language) == ("#tea #rain", "wet", "en")
    assert (post.facets, post.tags, post.mentions) == ((FACET,), ("tea", "rain"), ("bob",))
    assert (post.sort_at, post.created_at, post.edited_at, post.revision) == (1_000_000_000, 1_000_000_000, None, 1)


def test_an_edit_replaces_the_content_and_nothing_else() -> None:
    post = post_after(CREATED, EDITED)
    assert post is not None
    assert (post.text, post.content_warning, post.facets, post.mentions) == ("#tea #sun", "", (), ())
    assert (post.sort_at, post.edited_at, post.revision) == (1_000_000_000, 1_001_000_000, 2)


def test_a_deletion_leaves_a_tombstone_in_its_place() -> None:
    document = folded(posts.FAMILY, happened(CREATED, PostDeleted(post="p", author="ada")))["posts"]["p"]
    assert not {"text", "contentWarning", "facets", "tags", "mentions", "language"} & set(document)
    post = as_post("p", document)
    assert post is not None
    assert (post.deleted, post.author, post.root, post.sort_at) == (True, "ada", "p", 1_000_000_000)


def test_a_redacted_post_has_no_text() -> None:
    created = PostCreated(post="p", author="ada", root="p", tags=("tea",))
    post = post_after(created)
    assert post is not None
    assert (post.text, post.tags) == (None, ("tea",))
    edited = PostEdited(post="p", author="ada", visibility="PUBLIC", sort_at=0, revision=2)
    post = post_after(CREATED, edited)
    assert post is not None
    assert post.text is None


def test_replies_likes_and_reposts_are_counted() -> None:
    post = post_after(
        CREATED,
        REPLY,
        PostLiked(post="p", author="ada", actor="bob"),
        PostLiked(post="p", author="ada", actor="cyd"),
        PostUnliked(post="p", author="ada", actor="bob"),
        PostReposted(post="p", author="ada", actor="bob"),
        PostReposted(post="p", author="ada", actor="cyd"),
        RepostUndone(post="p", author="ada", actor="cyd"),
    )
    assert post is not None
    assert post.counts == PostCounts(replies=1, reposts=1, likes=1)


def test_a_deleted_reply_counts_no_more() -> None:
    post = post_after(CREATED, REPLY, PostDeleted(post="r", author="bob", reply_to="p"))
    assert post is not None
    assert post.counts == PostCounts()


def test_a_post_that_was_only_counted_is_absent() -> None:
    assert post_after(PostLiked(post="p", author="ada", actor="bob")) is None


def test_a_public_post_stands_under_its_tags() -> None:
    assert shown(CREATED) == {"tea": "00000001000000000-p", "rain": "00000001000000000-p"}


def test_an_edit_moves_a_post_between_tags_and_keeps_its_place() -> None:
    assert shown(CREATED, EDITED) == {"tea": "00000001000000000-p", "sun": "00000001000000000-p"}


def test_a_tag_can_come_back() -> None:
    back = PostEdited(
        post="p",
        author="ada",
        visibility="PUBLIC",
        sort_at=1_000_000_000,
        revision=3,
        tags=("rain",),
        tags_removed=("tea", "sun"),
    )
    assert shown(CREATED, EDITED, back) == {"rain": "00000001000000000-p"}


def test_a_deleted_post_stands_under_no_tag() -> None:
    assert shown(CREATED, PostDeleted(post="p", author="ada", tags=("tea", "rain"))) == {}


def test_only_public_posts_stand_under_tags() -> None:
    for visibility in ("UNLISTED", "FOLLOWERS", "DIRECT"):
        created = PostCreated(post="p", author="ada", root="p", visibility=visibility, tags=("tea",))
        edited = PostEdited(post="p", author="ada", visibility=visibility, sort_at=0, revision=2, tags=("tea",))
        assert shown(created, edited) == {}


def test_a_public_post_is_a_use_of_its_tags() -> None:
    documents = folded(trends.FAMILY, happened(CREATED, EDITED))
    assert documents["uses"]["TAG:0:ada:tea"] == {
        "kind": "TAG",
        "subject": "tea",
        "hour": 0,
        "account": "ada",
        "at": 1_000_000_000,
    }
    assert {str(use["subject"]): use["at"] for use in documents["uses"].values()} == {
        "tea": 1_000_000_000,
        "rain": 1_000_000_000,
        "sun": 1_001_000_000,
    }
    assert documents["subjects"]["TAG:0:tea"] == {
        "kind": "TAG",
        "subject": "tea",
        "day": 0,
        "at": 0,
        "uses": 2,
    }
    assert documents["reached"]["TAG:0"]["at"] == 1_001_000_000


def test_only_public_posts_are_uses() -> None:
    created = PostCreated(post="p", author="ada", root="p", visibility="UNLISTED", tags=("tea",))
    edited = PostEdited(post="p", author="ada", visibility="UNLISTED", sort_at=0, revision=2, tags=("tea",))
    assert folded(trends.FAMILY, happened(created, edited)) == {
        "uses": {},
        "subjects": {},
        "reached": {},
        "snapshots": {},
    }


QUOTE = PostCreated(post="q", author="bob", root="q", quote="p", quote_author="ada", private=PostPrivate(text="look"))
RESTORED = PostRestored(
    post="p",
    author="ada",
    visibility="PUBLIC",
    sort_at=1_000_000_000,
    revision=1,
    root="p",
    facets=(FACET,),
    tags=("tea", "rain"),
    mentions=("bob",),
    language="en",
    private=PostPrivate(text="#tea #rain", content_warning="wet"),
)


def test_a_restored_post_is_what_it_was() -> None:
    events = [CREATED, REPLY, PostLiked(post="p", author="ada", actor="bob")]
    deleted = PostDeleted(post="p", author="ada", tags=("tea", "rain"))
    assert post_after(*events, deleted, RESTORED) == post_after(*events)
    assert shown(*events, deleted, RESTORED) == shown(*events)
    hidden = msgspec.structs.replace(RESTORED, visibility="UNLISTED")
    assert shown(msgspec.structs.replace(CREATED, visibility="UNLISTED"), deleted, hidden) == {}


def test_quotes_and_bookmarks_are_counted() -> None:
    gone = PostDeleted(post="q", author="bob", quote="p")
    back = PostRestored(
        post="q", author="bob", visibility="PUBLIC", sort_at=1, revision=1, root="q", quote="p", quote_author="ada"
    )
    counted = [post_after(CREATED, QUOTE, *more) for more in ((), (gone,), (gone, back))]
    assert [post.counts.quotes for post in counted if post is not None] == [1, 0, 1]
    kept = [kind(post="p", author="ada", actor="bob") for kind in (PostBookmarked, BookmarkRemoved)]
    counted = [post_after(CREATED, *kept[:number]) for number in (1, 2)]
    assert [post.counts.bookmarks for post in counted if post is not None] == [1, 0]


def test_an_edit_keeps_what_was_until_the_post_is_deleted() -> None:
    before = PostContent(text="#tea #rain", content_warning="wet")
    edited = msgspec.structs.replace(
        EDITED, before_at=7, before_facets=(FACET,), private=PostPrivate(text="#tea #sun", before=before)
    )

    def was(*events: Event) -> Value:
        return folded(posts.FAMILY, happened(CREATED, edited, *events))["revisions"]["p"].get("was")

    facet = msgspec.to_builtins(FACET)
    first = {"at": 7, "text": "#tea #rain", "contentWarning": "wet", "media": [], "facets": [facet]}
    assert was() == {"r1": first}
    assert was(PostDeleted(post="p", author="ada")) is None


def test_a_pin_stands_on_its_post() -> None:
    pinned, unpinned = (kind(post="p", author="ada") for kind in (PostPinned, PostUnpinned))
    post = post_after(CREATED, pinned)
    assert post is not None
    assert post.pin_key == "00000001001000000-p"
    post = post_after(CREATED, pinned, unpinned)
    assert post is not None
    assert post.pin_key is None

"""What becomes of posts after they were written: restored, pinned, kept."""

import msgspec
import pytest

from domain.deciders import bookmark, pins, post
from domain.errors import Code, Refusal
from domain.events import (
    BookmarkRemoved,
    Event,
    PostBookmarked,
    PostContent,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostPinned,
    PostPrivate,
    PostRestored,
    PostUnpinned,
)
from tests.unit.specification import given, recorded

DAY = 86_400
CREATED = PostCreated(
    post="p",
    author="ada",
    reply_to="q",
    reply_to_author="bea",
    root="r",
    ancestors=("r", "q"),
    quote="c",
    quote_author="cas",
    tags=("tea",),
    private=PostPrivate(text="#tea"),
)
DELETED = PostDeleted(post="p", author="ada", reply_to="q", quote="c", tags=("tea",), words=1)
RESTORED = PostRestored(
    post="p",
    author="ada",
    visibility="PUBLIC",
    sort_at=1_000,
    revision=1,
    reply_to="q",
    reply_to_author="bea",
    root="r",
    ancestors=("r", "q"),
    quote="c",
    quote_author="cas",
    tags=("tea",),
    private=PostPrivate(text="#tea"),
)


def test_a_deletion_names_what_it_takes_from_others() -> None:
    given("post", CREATED).when(lambda s: post.delete(s, "ada")).then(DELETED)


def test_a_restored_post_is_what_it_was_where_it_was() -> None:
    given("post", CREATED, DELETED).when(lambda s: post.restore(s, "ada", 2_000, DAY)).then(RESTORED)
    given("post", CREATED, DELETED, RESTORED).when(lambda s: post.restore(s, "ada", 2_000, DAY)).then()
    given("post", CREATED, DELETED, RESTORED).when(lambda s: post.delete(s, "ada")).then(DELETED)


def test_an_edited_post_comes_back_as_it_was_edited() -> None:
    edited = PostEdited(
        post="p",
        author="ada",
        visibility="PUBLIC",
        sort_at=1_000,
        revision=2,
        before_at=1_000,
        private=PostPrivate(text="coffee", before=PostContent(text="#tea")),
    )
    back = msgspec.structs.replace(RESTORED, revision=2, tags=(), private=PostPrivate(text="coffee"))
    deleted = msgspec.structs.replace(DELETED, tags=())
    given("post", CREATED, edited, deleted).when(lambda s: post.restore(s, "ada", 2_000, DAY)).then(back)


@pytest.mark.parametrize(
    ("events", "actor", "now", "code"),
    [
        ((), "ada", 2_000, Code.NOT_FOUND),
        ((CREATED, DELETED), "eve", 2_000, Code.FORBIDDEN),
        ((msgspec.structs.replace(CREATED, visibility="DIRECT"), DELETED), "eve", 2_000, Code.NOT_FOUND),
        ((CREATED, DELETED), "ada", 1_001 + DAY * 1_000_000, Code.EXPIRED),
        ((msgspec.structs.replace(CREATED, private=None), DELETED), "ada", 2_000, Code.NOT_FOUND),
    ],
)
def test_only_its_author_restores_a_post_and_not_for_ever(
    events: tuple[Event, ...], actor: str, now: int, code: Code
) -> None:
    given("post", *events).when(lambda s: post.restore(s, actor, now, DAY)).refused(code)


def test_a_post_is_not_edited_without_end() -> None:
    state = given("post", CREATED).state()
    for number in range(3):
        edit = PostEdited(
            post="p", author="ada", visibility="", sort_at=0, revision=0, private=PostPrivate(text=str(number))
        )
        (edited,) = post.edit(state, "ada", edit, 3)
        assert edited.private is not None
        assert edited.private.before == PostContent(text="#tea" if number == 0 else str(number - 1))
        state = post.evolve(state, recorded(edited, version=number + 2))
    more = PostEdited(post="p", author="ada", visibility="", sort_at=0, revision=0, private=PostPrivate(text="more"))
    with pytest.raises(Refusal) as refusal:
        post.edit(state, "ada", more, 3)
    assert refusal.value.code == Code.LIMIT_REACHED


def test_pins_are_few_and_each_once() -> None:
    first, second = PostPinned(post="p", author="ada"), PostPinned(post="q", author="ada")
    given("pins").when(lambda s: pins.pin(s, "ada", "p", 1)).then(first)
    given("pins", first).when(lambda s: pins.pin(s, "ada", "p", 1)).then()
    given("pins", first).when(lambda s: pins.pin(s, "ada", "q", 1)).refused(Code.LIMIT_REACHED)
    gone = PostUnpinned(post="p", author="ada")
    given("pins", first).when(lambda s: pins.unpin(s, "ada", "p")).then(gone)
    given("pins", first, gone).when(lambda s: pins.unpin(s, "ada", "p")).then()
    given("pins", first, gone).when(lambda s: pins.pin(s, "ada", "q", 1)).then(second)


def test_a_bookmark_is_set_and_taken_back_once() -> None:
    added, removed = (kind(actor="bob", post="p", author="ada") for kind in (PostBookmarked, BookmarkRemoved))
    given("bookmark").when(lambda s: bookmark.add(s, "bob", "p", "ada")).then(added)
    given("bookmark", added).when(lambda s: bookmark.add(s, "bob", "p", "ada")).then()
    given("bookmark", added).when(lambda s: bookmark.remove(s, "bob", "p")).then(removed)
    given("bookmark", added, removed).when(lambda s: bookmark.remove(s, "bob", "p")).then()
    given("bookmark").when(lambda s: bookmark.remove(s, "bob", "p")).then()

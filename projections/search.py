"""Search: which posts have a word, and which people and hashtags begin with one. The folds; projections.searching reads them.

A text's words stand in numbered places and their ids name the number alone: a place that is given up, or whose text was forgotten, tells nothing of what
stood there.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from domain.envelope import Recorded
from domain.events import (
    AccountDeleted,
    AccountHandleChanged,
    AccountProfileChanged,
    AccountRegistered,
    PostContent,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostRestored,
)
from domain.words import MAX_WORDS, fold_word, post_words, words
from projections.documents.port import After, Change, Collection, Documents, Fidelity, Index, Shape, Value
from projections.folding import Alter, Family, Operation, on
from projections.keys import sort_key
from projections.posts import PUBLIC

POST_WORDS: Final = Collection(
    "search", "post_words", Shape.STATE, Fidelity.EXACT, (Index("by_word", ("word",), "key"),)
)
NAMES: Final = Collection("search", "names", Shape.STATE, Fidelity.EXACT, (Index("by_kind", ("kind",), "word"),))

PERSON: Final = "person"
TAG: Final = "tag"
NAME_WORDS: Final = 8
"""Of a display name."""
_HANDLE: Final = 0
"""The place of a handle; the words of the display name follow."""
_NO_WORD: Final = Change(set={"gone": True}, unset=("word", "post", "key"))
_NO_NAME: Final = Change(set={"gone": True}, unset=("word", "name", "kind"))


class FoundPost(msgspec.Struct, frozen=True):
    """A post that has a word."""

    post: str
    key: str
    id: str = ""

    @property
    def cursor(self) -> After:
        return After(self.key, self.id)


class FoundName(msgspec.Struct, frozen=True):
    """A person, or a hashtag, by a word of theirs. ``used``: of hashtags, whether a post that stands has it."""

    name: str
    word: str
    id: str = ""
    used: bool = True

    @property
    def cursor(self) -> After:
        return After(self.word, self.id)


def _place(owner: str, number: int) -> str:
    return f"{owner}:{number}"


def _stand(post: str, content: PostContent, key: str) -> Iterable[Alter]:
    for number, word in enumerate(post_words(content)):
        fields: dict[str, Value] = {"word": word, "post": post, "key": key}
        yield Alter(POST_WORDS, _place(post, number), Change(set=fields, unset=("gone",)))


def _give_up(post: str, places: Iterable[int]) -> Iterable[Alter]:
    for number in places:
        yield Alter(POST_WORDS, _place(post, number), _NO_WORD)


def _created(recorded: Recorded, event: PostCreated) -> Iterable[Operation]:
    if event.private is not None:
        yield from _stand(event.post, event.private, sort_key(recorded.sort_at, event.post))
    if event.visibility == PUBLIC:
        yield from _tags(event.tags, 1)


def _edited(_: Recorded, event: PostEdited) -> Iterable[Operation]:
    if event.private is not None:
        yield from _stand(event.post, event.private, sort_key(event.sort_at, event.post))
        if event.private.before is not None:
            left = range(len(post_words(event.private)), len(post_words(event.private.before)))
            yield from _give_up(event.post, left)
    if event.visibility == PUBLIC:
        yield from _tags(event.tags_added, 1)
        yield from _tags(event.tags_removed, -1)


def _deleted(_: Recorded, event: PostDeleted) -> Iterable[Operation]:
    yield from _give_up(event.post, range(min(event.words, MAX_WORDS)))
    if event.visibility == PUBLIC:
        yield from _tags(event.tags, -1)


def _restored(_: Recorded, event: PostRestored) -> Iterable[Operation]:
    if event.private is not None:
        yield from _stand(event.post, event.private, sort_key(event.sort_at, event.post))
    if event.visibility == PUBLIC:
        yield from _tags(event.tags, 1)


def _tags(tags: Iterable[str], step: int) -> Iterable[Alter]:
    for tag in tags:
        # Every shard sets these fields to the same values, so their order does not matter.
        fields: dict[str, Value] = {"kind": TAG, "word": fold_word(tag), "name": tag}
        yield Alter(NAMES, f"{TAG}:{tag}", Change(set=fields, inc={"uses": step}))


def _name(account: str, number: int, word: str | None) -> Alter:
    if word is None:
        return Alter(NAMES, _place(account, number), _NO_NAME)
    fields: dict[str, Value] = {"kind": PERSON, "word": word, "name": account}
    return Alter(NAMES, _place(account, number), Change(set=fields, unset=("gone",)))


def _called(account: str, display_name: str) -> Iterable[Alter]:
    found = words(display_name)[:NAME_WORDS]
    for number in range(NAME_WORDS):
        yield _name(account, 1 + number, found[number] if number < len(found) else None)


def _registered(_: Recorded, event: AccountRegistered) -> Iterable[Operation]:
    if event.private is not None:
        yield _name(event.account, _HANDLE, fold_word(event.private.handle))
        yield from _called(event.account, event.private.display_name)


def _handle_changed(_: Recorded, event: AccountHandleChanged) -> Iterable[Operation]:
    handle = None if event.private is None else fold_word(event.private.handle)
    yield _name(event.account, _HANDLE, handle)


def _profile_changed(_: Recorded, event: AccountProfileChanged) -> Iterable[Operation]:
    yield from _called(event.account, "" if event.private is None else event.private.display_name)


def _account_deleted(_: Recorded, event: AccountDeleted) -> Iterable[Operation]:
    for number in range(1 + NAME_WORDS):
        yield _name(event.account, number, None)


FAMILY: Final = Family(
    "search",
    (POST_WORDS, NAMES),
    dict(
        (
            on(PostCreated, _created),
            on(PostEdited, _edited),
            on(PostDeleted, _deleted),
            on(PostRestored, _restored),
            on(AccountRegistered, _registered),
            on(AccountHandleChanged, _handle_changed),
            on(AccountProfileChanged, _profile_changed),
            on(AccountDeleted, _account_deleted),
        )
    ),
)


async def posts_with(
    documents: Documents, word: str, *, after: After | None, limit: int, reverse: bool = True
) -> Sequence[FoundPost]:
    """Posts that have a word, newest first; one find."""
    found = await documents.page(POST_WORDS, "by_word", [word], after=after, limit=limit, reverse=reverse)
    return [FoundPost(str(row.fields["post"]), str(row.sort), row.id) for row in found]


async def count_posts_with(documents: Documents, word: str, cap: int) -> int:
    """How many posts have a word, counted no further than ``cap``."""
    return await documents.count(POST_WORDS, "by_word", [word], cap)


async def names_from(
    documents: Documents, kind: str, prefix: str, *, after: After | None, limit: int
) -> Sequence[FoundName]:
    """People (by account id) or hashtags with a word that begins with the folded ``prefix``, in the order of these words; one find."""
    start = After(prefix, "") if after is None else after
    found = await documents.page(NAMES, "by_kind", [kind], after=start, limit=limit)
    names = (FoundName(str(row.fields["name"]), str(row.sort), row.id, row.fields.get("uses") != 0) for row in found)
    return [name for name in names if name.word.startswith(prefix)]

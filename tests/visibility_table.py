"""The one table of who sees what, and who may do what: docs/visibility.md shows it, tests/e2e/test_visibility.py walks it.

``python -m tests.visibility_table`` writes it into the page. A new path is one more of PATHS or DEEDS, a new rule one more of SITUATIONS.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parent.parent / "docs" / "visibility.md"

PATHS: Final[Mapping[str, str]] = {
    "opened": "`post`, `node`, `nodes`, `thread.anchor`",
    "above": "`replyTo`, `root`, `thread.ancestors` of another's reply",
    "quoted": "`quote` of another's post",
    "answer": "a reply of theirs, in `replies` and `thread.replies` of another's post",
    "pinned": "`User.pinnedPosts`",
    "posts": "`User.posts`",
    "home": "`homeFeed`",
    "shared": "`homeFeed`, as another's repost, where it does not stand there by itself",
    "live": "`homeFeed`, live",
    "tag": "`hashtagFeed`, `publicFeed`",
    "streamed": "`hashtagFeed`, `publicFeed`, live",
    "trending": "`trends {kind: POST}`, also live",
    "followed": "`post`, live",
    "answering": "a reply of theirs, in `post` of another's, live",
    "told": "`viewer.notifications`, of their like, also in `actors`",
    "notified": "`notifications` live, of their like",
    "kept": "`viewer.likes`, `viewer.bookmarks`",
    "profile": "`user`, `node`, `nodes`: the person",
    "found": "`search {type: POST}`",
    "named": "`search {type: USER}`, `typeahead`: the person",
    "listed": "`followers`, `following` of another",
    "known": "`knownFollowers` of another",
    "lists": "the person's own `followers`, `following`",
}
DEEDS: Final[Mapping[str, str]] = {
    "like": "`likePost`",
    "bookmark": "`bookmarkPost`",
    "repost": "`repost`",
    "reply": "`createPost {replyTo}`",
    "quote": "`createPost {quote}`",
    "mention": "`createPost`, with their name",
    "follow": "`followUser`",
}
CELLS: Final[Mapping[str, str]] = {
    "shown": "yes",
    "hidden": "no",
    "blocked": "PostBlocked",
    "tombstone": "PostTombstone",
    "": "–",
}


@dataclass(frozen=True)
class Situation:
    """What the viewer and the author are to each other when the author's post is looked for.

    ``seen`` is by path, "" where there is no such thing; ``done`` by deed: yes, asks, or the code of the refusal. ``before`` the post is written, and
    ``after`` it, these steps are gone (test_visibility.Stage); ``keeps``: the viewer likes and keeps it in between.
    """

    name: str
    seen: Mapping[str, str]
    done: Mapping[str, str]
    visibility: str = "PUBLIC"
    before: Sequence[str] = ()
    after: Sequence[str] = ()
    mentioned: bool = False
    keeps: bool = True


_AS: Final = {"streamed": "tag", "trending": "tag", "followed": "opened", "answering": "answer", "notified": "told"}
"""Paths that show what another does, where nothing else is said."""


def _all(value: str, **but: str) -> Mapping[str, str]:
    return {path: but.get(path, but.get(_AS.get(path, path), value)) for path in PATHS}


def _deeds(value: str, **but: str) -> Mapping[str, str]:
    return {deed: but.get(deed, value) for deed in DEEDS}


_LOOKED_UP = {"home": "hidden", "live": "hidden", "known": "hidden"}
"""Of strangers: what they write is there to be found, and in no home."""
_BEHIND_A_BLOCK = _all("hidden", opened="blocked", above="blocked", quoted="blocked", profile="shown")
_NOBODY = _all("hidden")
_NOT_TO_BE_SHARED = {"shared": "", "quoted": "", "tag": "hidden"}
_FOR_OTHERS = _all(
    "hidden", profile="shown", listed="shown", told="shown", named="shown", lists="shown", quoted="", shared="", kept=""
)

SITUATIONS: Final = (
    Situation("nobody to each other", _all("shown", **_LOOKED_UP), _deeds("yes")),
    Situation("a guest", _all("shown", home="", shared="", live="", told="", kept="", known="hidden"), {}, keeps=False),
    Situation(
        "the author",
        _all("shown", known="hidden", told="hidden", shared="hidden"),
        _deeds("yes", follow="INVALID"),
        before=("self",),
    ),
    Situation("the viewer follows the author", _all("shown"), _deeds("yes"), before=("follow",)),
    Situation(
        "followed, but not for their reposts, is who shared it",
        _all("shown", shared="hidden"),
        _deeds("yes"),
        before=("follow", "no reposts"),
    ),
    Situation("unlisted, followed", _all("shown", tag="hidden"), _deeds("yes"), "UNLISTED", before=("follow",)),
    Situation(
        "for followers, followed",
        _all("shown", **_NOT_TO_BE_SHARED),
        _deeds("yes", repost="FORBIDDEN", quote="FORBIDDEN"),
        "FOLLOWERS",
        before=("follow",),
    ),
    Situation(
        "for followers, not followed",
        _FOR_OTHERS,
        _deeds("NOT_FOUND", mention="yes", follow="yes"),
        "FOLLOWERS",
        keeps=False,
    ),
    Situation(
        "for followers, followed no more",
        {**_FOR_OTHERS, "kept": "hidden"},
        _deeds("NOT_FOUND", mention="yes", follow="yes"),
        "FOLLOWERS",
        before=("follow",),
        after=("unfollow",),
    ),
    Situation(
        "for followers, asked of a locked account",
        _FOR_OTHERS,
        _deeds("NOT_FOUND", mention="yes", follow="asks"),
        "FOLLOWERS",
        before=("lock", "follow"),
        keeps=False,
    ),
    Situation(
        "direct, followed and mentioned",
        _all("shown", quoted="", shared="", pinned="", posts="hidden", home="hidden", live="hidden", tag="hidden"),
        _deeds("yes", repost="FORBIDDEN", quote="FORBIDDEN"),
        "DIRECT",
        before=("follow",),
        mentioned=True,
    ),
    Situation(
        "direct, followed, to others",
        {**_FOR_OTHERS, "known": "shown", "pinned": ""},
        _deeds("NOT_FOUND", mention="yes", follow="yes"),
        "DIRECT",
        before=("follow",),
        keeps=False,
    ),
    Situation(
        "direct, followed, to others, and deleted",
        {**_FOR_OTHERS, "known": "shown", "pinned": ""},
        _deeds("NOT_FOUND", mention="yes", follow="yes"),
        "DIRECT",
        before=("follow",),
        after=("deleted",),
        keeps=False,
    ),
    Situation(
        "the account is locked, and asked",
        _all("shown", **_LOOKED_UP),
        _deeds("yes", follow="asks"),
        before=("lock", "follow"),
    ),
    Situation(
        "the account was locked, and has accepted", _all("shown"), _deeds("yes"), before=("lock", "follow", "accept")
    ),
    Situation(
        "the account was locked, and is no more", _all("shown"), _deeds("yes"), before=("lock", "follow", "unlock")
    ),
    Situation(
        "the author blocks the viewer", _BEHIND_A_BLOCK, _deeds("BLOCKED"), before=("follow",), after=("blocked",)
    ),
    Situation(
        "the viewer blocks the author",
        _BEHIND_A_BLOCK,
        _deeds("BLOCKED"),
        before=("follow", "followed"),
        after=("block",),
    ),
    Situation(
        "the author blocks the viewer, and wrote for followers",
        {**_BEHIND_A_BLOCK, "quoted": "", "shared": ""},
        _deeds("BLOCKED"),
        "FOLLOWERS",
        before=("follow",),
        after=("blocked",),
    ),
    Situation(
        "the viewer blocks the author, and the post is deleted",
        _BEHIND_A_BLOCK,
        _deeds("BLOCKED"),
        before=("follow",),
        after=("deleted", "block"),
    ),
    Situation(
        "there was a block", _all("shown", **_LOOKED_UP), _deeds("yes"), before=("follow",), after=("block", "unblock")
    ),
    Situation(
        "the viewer mutes the author",
        _all("shown", home="hidden", shared="hidden", live="hidden", tag="hidden", told="hidden"),
        _deeds("yes"),
        before=("follow",),
        after=("mute",),
    ),
    Situation(
        "the viewer muted the author, for a time that is over",
        _all("shown"),
        _deeds("yes"),
        before=("follow",),
        after=("mute for a while",),
    ),
    Situation("the author mutes the viewer", _all("shown"), _deeds("yes"), before=("follow",), after=("muted",)),
    Situation(
        "the post is deleted",
        _all(
            "hidden",
            opened="tombstone",
            above="tombstone",
            quoted="tombstone",
            live="tombstone",
            streamed="tombstone",
            profile="shown",
            listed="shown",
            told="shown",
            named="shown",
            known="shown",
            lists="shown",
        ),
        _deeds("NOT_FOUND", mention="yes", follow="yes"),
        before=("follow",),
        after=("deleted",),
    ),
    Situation(
        "the account is deactivated",
        _NOBODY,
        _deeds("NOT_FOUND", mention="yes"),
        before=("follow",),
        after=("deactivated",),
    ),
    Situation(
        "the account is deleted",
        _NOBODY,
        _deeds("NOT_FOUND", mention="yes"),
        before=("follow",),
        after=("account deleted",),
    ),
)


def rendered() -> str:
    """Both tables, in Markdown."""
    return "\n".join(
        [*_table(PATHS, [(one.name, [CELLS[one.seen[path]] for path in PATHS]) for one in SITUATIONS]), "", *_may()]
    )


def _may() -> Sequence[str]:
    return _table(DEEDS, [(one.name, [one.done[deed] for deed in DEEDS]) for one in SITUATIONS if one.done])


def _table(columns: Mapping[str, str], rows: Sequence[tuple[str, Sequence[str]]]) -> Sequence[str]:
    def lines() -> Iterator[Sequence[str]]:
        yield ["", *columns]
        yield ["---"] * (len(columns) + 1)
        for name, cells in rows:
            yield [name, *cells]

    return [f"| {' | '.join(line)} |" for line in lines()]


BEGIN, END = "<!-- table -->\n", "\n<!-- end of table -->"


def with_table(page: str) -> str:
    """The page with the table in its place."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{rendered()}{END}{tail}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))

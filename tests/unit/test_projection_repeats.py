"""Repeats: which reposts a home leaves out, and that pages have no say in it."""

from collections.abc import Sequence
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from projections.accounts import ACTIVE, Profile
from projections.feeds import FeedEntry
from projections.keys import key_time, sort_key
from projections.posts import PostDoc
from projections.repeats import Stretch
from projections.rules import Feed, show_item
from projections.sight import Sight
from projections.viewer_edges import ViewerEdge

PEOPLE: Final = ("ada", "cyd", "dee")
"""The viewer follows Ada and Cyd. Posts of even numbers are Ada's, the others Dee's."""
Row = tuple[int, str | None]
"""Which post, and who reposted it."""
ROWS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from((None, *PEOPLE))), max_size=30)


def entries_of(rows: Sequence[Row]) -> Sequence[FeedEntry]:
    """Newest first."""
    return [_entry(len(rows) - place, *row) for place, row in enumerate(rows)]


def _entry(at: int, number: int, by: str | None) -> FeedEntry:
    author, post = ("ada", "dee")[number % 2], f"post{number}"
    item = f"{by}-{post}" if by else post
    return FeedEntry(author=by or author, item=item, key=sort_key(at, item), post=post, post_author=author)


def sight(entries: Sequence[FeedEntry], known: Sequence[FeedEntry]) -> Sight:
    """Of the posts only those of ``known``. Who reposts again stands under the newer time alone."""
    edges = {("bob", name): ViewerEdge(following=True) for name in ("ada", "cyd")}
    for one in reversed(entries):
        if one.repost:
            edges[one.author, one.post] = ViewerEdge(reposted=True, reposted_at=key_time(one.key))
    posts = {one.post: _post(one) for one in known}
    people = {name: Profile(id=name, created_at=1, handle=name, state=ACTIVE) for name in (*PEOPLE, "bob")}
    return Sight(viewer="bob", posts=posts, people=people, edges=edges)


def _post(entry: FeedEntry) -> PostDoc:
    return PostDoc(
        id=entry.post,
        author=entry.post_author,
        visibility="PUBLIC",
        root=entry.post,
        sort_at=1,
        created_at=1,
        key=sort_key(1, entry.post),
        text="hello",
    )


def shown(entries: Sequence[FeedEntry], apart: int, ahead: int) -> Sequence[str]:
    """What a home shows, as projections.repeats defines it; by keys, for an item may be there twice."""
    everything = sight(entries, entries)
    visible = [show_item(everything, entry, Feed.HOME) is not None for entry in entries]
    found: list[str] = []
    for place, entry in enumerate(entries):
        below = [entries[other] for other in range(place + 1, min(len(entries), place + 1 + ahead)) if visible[other]]
        if visible[place] and not (entry.repost and entry.post in [other.post for other in below[:apart]]):
            found.append(entry.key)
    return found


@given(rows=ROWS, apart=st.integers(0, 4), more=st.integers(0, 6), sizes=st.lists(st.integers(1, 9), min_size=1))
def test_pages_of_any_sizes_leave_out_the_same(
    rows: Sequence[Row], apart: int, more: int, sizes: Sequence[int]
) -> None:
    entries, ahead = entries_of(rows), apart + more
    found: list[str] = []
    start, turn = 0, 0
    while start < len(entries):
        size = sizes[turn % len(sizes)]
        stretch = Stretch(entries[start : start + size + ahead], size, apart=apart, ahead=ahead)
        read = sight(entries, [*stretch.candidates, *stretch.doubtful()])
        found += [one.key for place, one in enumerate(stretch.candidates) if stretch.item(read, place) is not None]
        start, turn = start + size, turn + 1
    assert found == shown(entries, apart, ahead)


@given(above=ROWS, rows=ROWS, apart=st.integers(0, 4))
def test_what_comes_in_above_changes_nothing_below(above: Sequence[Row], rows: Sequence[Row], apart: int) -> None:
    # Who had reposted below and does so again above has taken the older one back.
    standing = [row for row in above if row not in rows]
    below = shown(entries_of(rows), apart, 100)
    grown = shown(entries_of([*standing, *rows]), apart, 100)
    assert grown[len(grown) - len(below) :] == below


def test_no_more_is_read_than_decides() -> None:
    def doubtful(*rows: Row) -> list[str]:
        return [one.item for one in Stretch(entries_of(rows), 2, apart=2, ahead=4).doubtful()]

    assert doubtful((0, "cyd"), (1, "cyd"), (2, None), (3, "ada")) == []
    assert doubtful((0, "cyd"), (1, "cyd"), (0, None), (3, "ada")) == ["post0"]
    assert doubtful((0, "cyd"), (1, "cyd"), (3, "ada"), (0, None)) == ["cyd-post1", "ada-post3", "post0"]
    assert doubtful((0, "cyd"), *4 * [(1, None)], (0, None)) == []

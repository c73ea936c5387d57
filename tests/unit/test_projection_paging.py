"""Pages over a list that rules thin out: nothing is lost or shown twice, whichever way it is walked."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from projections.documents.port import After
from projections.paging import ROUNDS, Page, Window, fill


class Entry:
    def __init__(self, number: int, hidden: bool) -> None:
        self.number = number
        self.hidden = hidden

    @property
    def cursor(self) -> After:
        return After(self.number, "")


async def page_of(hidden: Sequence[bool], window: Window) -> Page[int]:
    entries = [Entry(number, gone) for number, gone in enumerate(hidden)]

    async def fetch(after: After | None, limit: int) -> Sequence[Entry]:
        ordered = entries[::-1] if window.backward else entries
        if after is not None:
            at = int(after.sort)
            ordered = [one for one in ordered if (one.number < at if window.backward else one.number > at)]
        return ordered[:limit]

    async def resolve(found: Sequence[Entry]) -> Sequence[int | None]:
        return [None if entry.hidden else entry.number for entry in found]

    return await fill(fetch, resolve, window)


lists = st.lists(st.booleans(), max_size=40)


@given(hidden=lists, first=st.integers(1, 7))
async def test_walking_forward_gives_every_item_once(hidden: list[bool], first: int) -> None:
    seen: list[int] = []
    page = await page_of(hidden, Window(first))
    assert not page.has_previous
    while True:
        assert len(page.items) <= first
        seen += [item.node for item in page.items]
        if not page.has_next:
            break
        assert page.end is not None
        page = await page_of(hidden, Window(first, page.end))
        assert page.has_previous
    assert seen == [number for number, gone in enumerate(hidden) if not gone]


@given(hidden=lists, first=st.integers(1, 7))
async def test_walking_backward_gives_every_item_once(hidden: list[bool], first: int) -> None:
    seen: list[int] = []
    page = await page_of(hidden, Window(first, backward=True))
    assert not page.has_next
    while True:
        assert len(page.items) <= first
        seen = [item.node for item in page.items] + seen
        if not page.has_previous:
            break
        assert page.start is not None
        page = await page_of(hidden, Window(first, page.start, backward=True))
        assert page.has_next
    assert seen == [number for number, gone in enumerate(hidden) if not gone]


@given(hidden=lists, first=st.integers(1, 7))
async def test_a_short_page_has_more_to_follow_or_is_the_last(hidden: list[bool], first: int) -> None:
    page = await page_of(hidden, Window(first))
    shown = [number for number, gone in enumerate(hidden) if not gone]
    if len(page.items) < min(first, len(shown)):
        assert page.has_next
        # Only a long run of hidden entries can do that: the refills are bounded.
        assert sum(hidden) > first * (ROUNDS - 1) - first
    if not page.has_next:
        assert [item.node for item in page.items] == shown


async def test_a_full_page_that_ends_the_list_says_so() -> None:
    page = await page_of([False, False, False], Window(3))
    assert [item.node for item in page.items] == [0, 1, 2]
    assert (page.has_next, page.start, page.end) == (False, After(0, ""), After(2, ""))


async def test_a_page_is_filled_up_past_what_is_hidden() -> None:
    page = await page_of([True, True, False, True, False, False], Window(2))
    assert [item.node for item in page.items] == [2, 4]
    assert page.has_next

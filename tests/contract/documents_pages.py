"""The documents' contract: what declared indexes hold and in which order, and how they are walked."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from operator import attrgetter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projections.documents.port import After, Change, Document, Documents, Found, Index, Row, Value
from tests.contract.documents_kit import ROWS, STATE, all_ids, doc, put, row

# In the order of code points, which is that of UTF-8 bytes, but neither of UTF-16 nor of any language.
SORTED = ["", " ", "!", "0", "10", "9", "A", "Z", "_", "a", "aa", "b", "~", "é", "ż", "漢", "\ufffd", "😀"]


def ids(found: Sequence[Found]) -> list[str]:
    return [entry.id for entry in found]


async def test_a_page_is_in_the_order_of_code_points(documents: Documents) -> None:
    await documents.put(ROWS, [row(f"r{n}", 1, owner="o", key=key) for n, key in enumerate(reversed(SORTED))])
    forward = await documents.page(ROWS, "by_owner", ["o"], limit=50)
    backward = await documents.page(ROWS, "by_owner", ["o"], limit=50, reverse=True)
    assert [found.sort for found in forward] == SORTED
    assert [found.sort for found in backward] == SORTED[::-1]


async def test_integers_sort_as_numbers(documents: Documents) -> None:
    numbers = [-(2**53), -10, -9, 0, 2, 10, 2**31, 2**32, 1_700_000_000_000_000, 2**53]
    await documents.put(ROWS, [row(f"r{n}", 1, at=n) for n in numbers])
    assert [found.sort for found in await documents.page(ROWS, "by_time", [], limit=50)] == numbers


async def test_pages_follow_one_another_over_ties(documents: Documents) -> None:
    rows = [row(f"r{n:02}", 1, owner="o", key=f"k{n // 5}") for n in range(23)]
    await documents.put(ROWS, rows)
    for reverse in (False, True):
        walked: list[str] = []
        after: After | None = None
        while page := await documents.page(ROWS, "by_owner", ["o"], after=after, limit=4, reverse=reverse):
            walked += ids(page)
            after = After(str(page[-1].sort), page[-1].id)
        assert walked == sorted((r.id for r in rows), reverse=reverse)


async def test_a_page_begins_past_a_place_where_nothing_stands(documents: Documents) -> None:
    await documents.put(ROWS, [row(f"r{n}", 1, owner="o", key=f"k{n}") for n in range(4)])
    assert ids(await documents.page(ROWS, "by_owner", ["o"], after=After("k1", ""), limit=9)) == ["r1", "r2", "r3"]
    assert ids(await documents.page(ROWS, "by_owner", ["o"], after=After("k1", "~"), limit=9)) == ["r2", "r3"]
    assert ids(await documents.page(ROWS, "by_owner", ["o"], after=After("k1x", "a"), limit=9)) == ["r2", "r3"]
    assert ids(await documents.page(ROWS, "by_owner", ["o"], after=After("k2", ""), limit=9, reverse=True)) == [
        "r1",
        "r0",
    ]
    assert ids(await documents.page(ROWS, "by_owner", ["o"], after=After("z", ""), limit=9)) == []


async def test_a_page_of_an_unknown_prefix_or_of_no_length_is_empty(documents: Documents) -> None:
    await documents.put(ROWS, [row("r", 1, owner="o", key="k")])
    assert list(await documents.page(ROWS, "by_owner", ["nobody"], limit=9)) == []
    assert list(await documents.page(ROWS, "by_owner", ["o"], limit=0)) == []
    assert list(await documents.page_many(ROWS, "by_owner", [], limit=9)) == []
    assert await documents.count(ROWS, "by_owner", ["o"], 0) == 0


async def test_what_lacks_a_field_of_the_index_is_not_in_it(documents: Documents) -> None:
    lacking: list[Document] = [
        {"owner": "o", "kind": 1},
        {"owner": "o", "at": 1},
        {"kind": 1, "at": 1},
        {"owner": "o", "kind": 1, "at": None},
        {"owner": "o", "kind": None, "at": 1},
    ]
    for collection in (STATE, ROWS):
        whole: Document = {"owner": "o", "kind": 1, "at": 1}
        for n, fields in enumerate([*lacking, whole]):
            if collection is ROWS:
                await documents.put(ROWS, [Row(f"r{n}", 1, fields)])
            else:
                await documents.apply(STATE, [doc(f"r{n}", 1, (1, put(**fields)))])
        prefixes: list[list[Value]] = [["o", 1], ["o", None]]
        found = await documents.page_many(collection, "by_owner_kind", prefixes, limit=9)
        assert list(found) == [Found("r5", whole, 1)]
        assert await documents.count(collection, "by_owner_kind", ["o", 1], 9) == 1
        assert await documents.count(collection, "by_owner_kind", ["o", None], 9) == 0


async def test_a_document_enters_and_leaves_an_index_with_its_fields(documents: Documents) -> None:
    async def keys() -> list[str]:
        return [str(found.sort) for found in await documents.page(STATE, "by_owner", ["o"], limit=9)]

    await documents.apply(STATE, [doc("d", 0, (1, put(key="a")))])
    assert await keys() == []
    await documents.apply(STATE, [doc("d", 0, (2, put(owner="o")))])
    assert await keys() == ["a"]
    await documents.apply(STATE, [doc("d", 0, (3, put(key="b")))])
    assert await keys() == ["b"]
    await documents.apply(STATE, [doc("d", 0, (4, Change(unset=("key",))))])
    assert await keys() == []


async def test_equal_fields_tell_true_from_one_and_text_from_numbers(documents: Documents) -> None:
    kinds: list[Value] = [True, False, 1, 0, 2, "1", "true", ""]
    await documents.put(ROWS, [row(f"r{n}", 1, owner="o", kind=kind, at=1) for n, kind in enumerate(kinds)])
    for n, kind in enumerate(kinds):
        assert ids(await documents.page(ROWS, "by_owner_kind", ["o", kind], limit=9)) == [f"r{n}"]
    prefixes: list[list[Value]] = [["o", True], ["o", 1], ["o", 1]]
    assert ids(await documents.page_many(ROWS, "by_owner_kind", prefixes, limit=9)) == ["r0", "r2"]


async def test_an_index_may_lie_on_nested_fields(documents: Documents) -> None:
    await documents.put(ROWS, [row(f"r{n}", 1, inside={"kind": n % 2, "at": n}) for n in range(6)])
    found = await documents.page(ROWS, "by_depth", [1], limit=2, reverse=True)
    assert list(found) == [
        Found("r5", {"inside": {"kind": 1, "at": 5}}, 5),
        Found("r3", {"inside": {"kind": 1, "at": 3}}, 3),
    ]


@pytest.mark.parametrize("reverse", [False, True])
async def test_more_prefixes_than_one_find_takes_are_one_order(documents: Documents, reverse: bool) -> None:
    rows = [row(f"r{n:04}", 1, owner=f"o{n * 7 % 450}", key=f"{n * 13 % 1_000:04}") for n in range(1_000)]
    await documents.put(ROWS, rows)
    expected = sorted(rows, key=lambda r: (str(r.fields["key"]), r.id), reverse=reverse)
    prefixes = [[f"o{n}"] for n in range(450)]
    found = await documents.page_many(ROWS, "by_owner", prefixes, limit=120, reverse=reverse)
    assert ids(found) == [r.id for r in expected[:120]]
    after = After(str(found[-1].sort), found[-1].id)
    rest = await documents.page_many(ROWS, "by_owner", prefixes, after=after, limit=2_000, reverse=reverse)
    assert ids(rest) == [r.id for r in expected[120:]]


async def test_a_prefix_that_does_not_fit_its_index_is_refused(documents: Documents) -> None:
    misfits: list[list[Value]] = [[], ["o", "more"], [["o"]]]
    for prefix in misfits:
        with pytest.raises(ValueError, match="scalars"):
            await documents.page(ROWS, "by_owner", prefix, limit=1)


async def test_counting_stops_at_its_cap(documents: Documents) -> None:
    await documents.put(ROWS, [row(f"r{n}", 1, owner="o", key=f"{n}") for n in range(7)])
    assert [await documents.count(ROWS, "by_owner", ["o"], cap) for cap in (1, 6, 7, 100)] == [1, 6, 7, 7]
    assert await documents.count(ROWS, "by_owner", ["p"], 5) == 0


async def test_a_scan_walks_the_whole_collection_by_id(documents: Documents) -> None:
    await documents.apply(STATE, [doc(f"d-{key}", 0, (1, Change())) for key in SORTED])
    walked: list[str] = []
    while page := await documents.scan(STATE, after=walked[-1] if walked else None, limit=5):
        walked += ids(page)
    assert walked == [f"d-{key}" for key in SORTED]
    assert list(await documents.scan(STATE, limit=0)) == []


Entry = tuple[str, int, int]
"""Owner, kind, time of a row."""

entries = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 4)), max_size=30)
prefix_lists = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), min_size=1, max_size=6)
places = st.none() | st.tuples(st.integers(-1, 5), st.integers(-1, 30))

_examples = count()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries, prefix_lists, places, st.integers(1, 12), st.booleans())
async def test_the_page_of_many_prefixes_is_the_merge_of_their_pages(
    documents: Documents,
    stored: list[Entry],
    prefixes: list[tuple[str, int]],
    place: tuple[int, int] | None,
    limit: int,
    reverse: bool,
) -> None:
    # Each example has owners of its own in the same store.
    example = f"{next(_examples):04}"
    rows = [
        row(f"{example}-{n:02}", 1, owner=example + owner, kind=kind, at=at)
        for n, (owner, kind, at) in enumerate(stored)
    ]
    await documents.put(ROWS, rows)
    after = After(place[0], f"{example}-{place[1]:02}") if place is not None else None
    asked: list[list[Value]] = [[example + owner, kind] for owner, kind in prefixes]

    expected = _walk(rows, asked, after, reverse)[:limit]
    found = await documents.page_many(ROWS, "by_owner_kind", asked, after=after, limit=limit, reverse=reverse)
    assert list(found) == expected

    single = [
        await documents.page(ROWS, "by_owner_kind", prefix, after=after, limit=limit, reverse=reverse)
        for prefix in _distinct(asked)
    ]
    merged = sorted((entry for page in single for entry in page), key=attrgetter("sort", "id"), reverse=reverse)
    assert merged[:limit] == expected


def _distinct(prefixes: Sequence[Sequence[Value]]) -> list[list[Value]]:
    return [list(prefix) for prefix in dict.fromkeys(map(tuple, prefixes))]


def _walk(rows: Sequence[Row], prefixes: Sequence[Sequence[Value]], after: After | None, reverse: bool) -> list[Found]:
    """The pages by definition."""

    def sort(fields: Mapping[str, Value]) -> int:
        at = fields["at"]
        assert isinstance(at, int)
        return at

    found = [Found(r.id, r.fields, sort(r.fields)) for r in rows if [r.fields["owner"], r.fields["kind"]] in prefixes]
    found.sort(key=attrgetter("sort", "id"), reverse=reverse)
    if after is None:
        return found
    place = (after.sort, after.id)
    return [f for f in found if ((f.sort, f.id) < place if reverse else (f.sort, f.id) > place)]


async def test_an_index_that_is_declared_later_holds_the_older_documents(documents: Documents) -> None:
    await documents.put(ROWS, [row(f"r{n}", 1, owner="o", key=f"{n}", flag=n % 2 == 0, rank=-n) for n in range(6)])
    later = replace(ROWS, indexes=(*ROWS.indexes, Index("by_flag", ("flag",), "rank")))
    await documents.prepare([later])
    await documents.prepare([later])
    assert ids(await documents.page(later, "by_flag", [True], limit=9)) == ["r4", "r2", "r0"]
    redeclared = replace(ROWS, indexes=(Index("by_owner", ("flag",), "key"),))
    await documents.prepare([redeclared])
    assert ids(await documents.page(redeclared, "by_owner", [False], limit=9)) == ["r1", "r3", "r5"]
    assert len(await all_ids(documents, ROWS)) == 6

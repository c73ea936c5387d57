"""The documents' contract: state documents, their changes and their guards."""

import asyncio

import pytest

from projections.documents.port import Change, Doc, Documents, Found, Value
from tests.contract.documents_kit import ROWS, STATE, DocumentsFactory, doc, inc, one, put, row

LIKED = Change(inc={"counts.likes": 1})


async def test_a_document_that_was_never_written_is_absent(documents: Documents) -> None:
    assert await documents.get(STATE, ["nobody", "nothing"]) == {}
    assert await documents.get(STATE, []) == {}


async def test_a_change_sets_unsets_and_counts(documents: Documents) -> None:
    await documents.apply(STATE, [doc("a", 0, (1, put(title="one", kind="x", n=5, high=5, low=5)))])
    change = Change(set={"title": "two"}, unset=("kind",), inc={"n": 3}, max={"high": 9}, min={"low": 9})
    await documents.apply(STATE, [doc("a", 0, (2, change))])
    assert await one(documents, "a") == {"title": "two", "n": 8, "high": 9, "low": 5}


async def test_counting_an_absent_field_begins_with_the_change(documents: Documents) -> None:
    await documents.apply(STATE, [doc("a", 0, (1, Change(inc={"n": -2}, max={"high": -3}, min={"low": 4})))])
    assert await one(documents, "a") == {"n": -2, "high": -3, "low": 4}


@pytest.mark.parametrize("before", [None, "12", True, [1], {"inside": 1}])
async def test_counting_what_is_no_number_counts_it_as_absent(documents: Documents, before: Value) -> None:
    await documents.apply(STATE, [doc("a", 0, (1, put(n=before, high=before, low=before)))])
    await documents.apply(STATE, [doc("a", 0, (2, Change(inc={"n": 1}, max={"high": 2}, min={"low": 3})))])
    assert await one(documents, "a") == {"n": 1, "high": 2, "low": 3}


async def test_a_nested_name_makes_the_objects_around_it(documents: Documents) -> None:
    change = Change(set={"a.b.c": 1, "text.x": 2}, inc={"counts.likes": 1})
    await documents.apply(STATE, [doc("d", 0, (1, put(text="no object")), (2, change))])
    assert await one(documents, "d") == {"a": {"b": {"c": 1}}, "text": {"x": 2}, "counts": {"likes": 1}}


async def test_unsetting_makes_nothing_and_leaves_the_object_around_it(documents: Documents) -> None:
    await documents.apply(STATE, [doc("d", 0, (1, Change(unset=("a.b.c", "counts.likes", "x"))))])
    assert await one(documents, "d") == {}
    await documents.apply(STATE, [doc("d", 0, (2, put(a={"b": {"c": 1}}, text="no object")))])
    await documents.apply(STATE, [doc("d", 0, (3, Change(unset=("a.b.c", "text.x"))))])
    assert await one(documents, "d") == {"a": {"b": {}}, "text": "no object"}


async def test_setting_an_object_replaces_it_whole(documents: Documents) -> None:
    await documents.apply(STATE, [doc("d", 0, (1, put(counts={"likes": 1, "replies": {"seen": 1}})))])
    await documents.apply(STATE, [doc("d", 0, (2, put(counts={"likes": 2})), (3, LIKED))])
    assert await one(documents, "d") == {"counts": {"likes": 3}}


async def test_changes_of_a_batch_follow_one_another(documents: Documents) -> None:
    changes = [
        put(a=1, counts={"likes": 5}),
        LIKED,
        Change(unset=("a", "counts")),
        LIKED,
        Change(max={"counts.likes": 7}),
        LIKED,
        Change(set={"counts.replies": 1}),
        Change(unset=("counts.replies",)),
        Change(min={"counts.likes": 6}, inc={"a": 4}),
    ]
    await documents.apply(STATE, [doc("d", 0, *enumerate(changes, start=1))])
    assert await one(documents, "d") == {"a": 4, "counts": {"likes": 6}}


async def test_two_changes_of_one_event_share_its_position(documents: Documents) -> None:
    both = Doc("d", 0, ((7, (put(a=1, n=1), Change(set={"a": 2}, inc={"n": 1}))),))
    await documents.apply(STATE, [both])
    await documents.apply(STATE, [both])
    assert await one(documents, "d") == {"a": 2, "n": 2}


async def test_a_batch_that_comes_again_does_nothing(documents: Documents) -> None:
    batch = [doc("d", 3, (1, put(a=1, n=1)), (4, inc(n=1)), (9, LIKED))]
    await documents.apply(STATE, batch)
    await documents.apply(STATE, batch)
    assert await one(documents, "d") == {"a": 1, "n": 2, "counts": {"likes": 1}}


async def test_an_older_batch_that_comes_later_does_nothing(documents: Documents) -> None:
    older, newer = doc("d", 3, (1, put(a="old")), (2, inc(n=1))), doc("d", 3, (5, put(a="new")), (6, inc(n=1)))
    await documents.apply(STATE, [older])
    await documents.apply(STATE, [newer])
    await documents.apply(STATE, [older])
    assert await one(documents, "d") == {"a": "new", "n": 2}


@pytest.mark.parametrize("seen", range(8))
async def test_of_a_batch_only_what_is_above_the_guard_takes_effect(documents: Documents, seen: int) -> None:
    changes = [
        (1, put(a=1, b=1, counts={"likes": 10})),
        (2, Change(inc={"n": 1, "counts.likes": 1}, max={"high": 4}, min={"low": 4})),
        (3, Change(set={"b": 3}, inc={"n": 10}, max={"high": 8}, unset=("a",))),
        (4, Change(max={"n": 40}, min={"low": 2}, inc={"counts.likes": 1, "deep.er.x": 1})),
        (5, Change(inc={"n": 100}, min={"high": 6}, unset=("deep.er.x", "counts.replies"))),
        (6, Change(set={"a": 6}, inc={"counts.replies": 1, "low": 1})),
        (7, Change(inc={"n": 1, "counts.replies": 1})),
    ]
    if seen:
        await documents.apply(STATE, [doc("d", 1, *changes[:seen])])
    await documents.apply(STATE, [doc("d", 1, *changes)])
    assert await one(documents, "d") == {
        "a": 6,
        "b": 3,
        "n": 141,
        "high": 6,
        "low": 3,
        "counts": {"likes": 12, "replies": 2},
        "deep": {"er": {}},
    }


async def test_a_part_that_takes_no_effect_makes_no_object(documents: Documents) -> None:
    await documents.apply(STATE, [doc("d", 0, (1, LIKED), (2, Change(unset=("counts",))))])
    await documents.apply(STATE, [doc("d", 0, (1, LIKED), (2, Change(unset=("counts",))), (3, put(a=1)))])
    assert await one(documents, "d") == {"a": 1}
    await documents.apply(STATE, [doc("e", 1, (1, LIKED))])
    await documents.apply(STATE, [doc("e", 0, (1, Change(unset=("counts",))))])
    await documents.apply(STATE, [doc("e", 1, (1, LIKED), (2, inc(n=1)))])
    assert await one(documents, "e") == {"n": 1}


async def test_a_position_without_changes_raises_the_guard(documents: Documents) -> None:
    await documents.apply(STATE, [Doc("d", 0, ((5, ()),)), Doc("e", 0, ())])
    await documents.apply(STATE, [doc("d", 0, (4, put(a=1)))])
    assert await one(documents, "d") == {}
    assert await one(documents, "e") is None


async def test_each_shard_has_a_guard_of_its_own(documents: Documents) -> None:
    for shard in (0, 7, 12):
        await documents.apply(STATE, [doc("d", shard, (5, LIKED))])
    for shard in (0, 7, 12):
        await documents.apply(STATE, [doc("d", shard, (4, LIKED), (5, LIKED), (6, LIKED))])
    assert await one(documents, "d") == {"counts": {"likes": 6}}


async def test_positions_of_a_later_generation_are_above_all_of_the_one_before(documents: Documents) -> None:
    first, second = 1 << 44 | 900, 2 << 44 | 1
    await documents.apply(STATE, [doc("d", 0, (first, LIKED), (second, LIKED))])
    await documents.apply(STATE, [doc("d", 0, (first + 1, LIKED), (second, LIKED), (second + 1, LIKED))])
    assert await one(documents, "d") == {"counts": {"likes": 3}}


async def test_guards_are_seen_nowhere(documents: Documents) -> None:
    fields = {"owner": "o", "key": "k"}
    await documents.apply(STATE, [doc("d", 0, (5, put(**fields)))])
    await documents.put(ROWS, [row("r", 5, **fields)])
    assert await one(documents, "d") == fields
    assert list(await documents.page(STATE, "by_owner", ["o"], limit=5)) == [Found("d", fields, "k")]
    assert list(await documents.scan(STATE, limit=5)) == [Found("d", fields)]
    assert list(await documents.page(ROWS, "by_owner", ["o"], limit=5)) == [Found("r", fields, "k")]


async def test_two_handles_that_meet_on_missing_documents_lose_nothing(documents_factory: DocumentsFactory) -> None:
    handles = [await documents_factory(), await documents_factory()]
    await handles[0].prepare([STATE])
    ids = [f"d{number}" for number in range(6)]

    async def follow_a_shard(shard: int) -> None:
        for position in range(1, 26):
            await handles[shard % 2].apply(STATE, [doc(id, shard, (position, LIKED)) for id in ids])

    await asyncio.gather(*(follow_a_shard(shard) for shard in range(8)))
    assert await handles[0].get(STATE, ids) == {id: {"counts": {"likes": 200}} for id in ids}


async def test_two_workers_on_one_shard_count_nothing_twice(documents_factory: DocumentsFactory) -> None:
    handles = [await documents_factory(), await documents_factory()]
    await handles[0].prepare([STATE])

    async def follow(documents: Documents, step: int) -> None:
        for first in range(1, 101, step):
            upto = min(first + step, 101)
            await documents.apply(STATE, [doc("d", 0, *((position, LIKED) for position in range(first, upto)))])

    await asyncio.gather(*(follow(handles[number % 2], step) for number, step in enumerate((1, 3, 7, 10))))
    assert await one(handles[0], "d") == {"counts": {"likes": 100}}


async def test_a_call_takes_any_number_of_documents(documents: Documents) -> None:
    docs = [doc(f"d{number:04}", 0, (number + 1, put(n=number))) for number in range(2_345)]
    await documents.apply(STATE, docs)
    found = await documents.get(STATE, [entry.id for entry in docs])
    assert found == {f"d{number:04}": {"n": number} for number in range(2_345)}


async def test_a_preview_is_what_apply_would_make_and_writes_nothing(documents: Documents) -> None:
    await documents.apply(STATE, [doc("d", 1, (5, put(a=1, n=1))), doc("same", 1, (9, inc(n=1)))])
    docs = [
        doc("d", 1, (4, inc(n=10)), (5, inc(n=10)), (6, inc(n=1))),
        doc("same", 1, (9, inc(n=1))),
        doc("new", 1, (9, LIKED)),
        Doc("none", 1, ()),
    ]
    foreseen = await documents.preview(STATE, docs)
    assert foreseen == {"d": {"a": 1, "n": 2}, "same": {"n": 1}, "new": {"counts": {"likes": 1}}, "none": {}}
    assert await documents.get(STATE, ["d", "same", "new", "none"]) == {"d": {"a": 1, "n": 1}, "same": {"n": 1}}
    await documents.apply(STATE, docs)
    assert await documents.get(STATE, ["d", "same", "new"]) == {id: foreseen[id] for id in ("d", "same", "new")}


async def test_what_the_caller_holds_is_never_altered(documents: Documents) -> None:
    counts: dict[str, Value] = {"likes": 0}
    await documents.apply(STATE, [doc("d", 0, (1, put(counts=counts)), (2, LIKED))])
    assert counts == {"likes": 0}


@pytest.mark.parametrize(
    "change",
    [
        Change(set={"a": 1}, inc={"a": 1}),
        Change(set={"a": {}}, inc={"a.b": 1}),
        Change(unset=("a.b",), max={"a.b.c": 1}),
        put(_p=1),
        Change(set={"a._p": 1}),
        Change(set={"$a": 1}),
        Change(set={"a..b": 1}),
        Change(set={"a-b": 1}),
        Change(unset=("",)),
    ],
)
async def test_a_change_that_breaks_the_rules_of_fields_is_refused(documents: Documents, change: Change) -> None:
    with pytest.raises(ValueError, match=r"field|touches"):
        await documents.apply(STATE, [doc("d", 0, (1, change))])
    assert await one(documents, "d") is None


@pytest.mark.parametrize(
    "docs",
    [
        [doc("d", 0, (1, LIKED)), doc("d", 1, (1, LIKED))],
        [doc("d", 0, (2, LIKED), (2, LIKED))],
        [doc("d", 0, (2, LIKED), (1, LIKED))],
        [doc("d", 0, (0, LIKED))],
    ],
)
async def test_a_call_that_breaks_the_rules_of_positions_is_refused(documents: Documents, docs: list[Doc]) -> None:
    with pytest.raises(ValueError, match=r"twice|position"):
        await documents.apply(STATE, docs)


async def test_states_and_rows_are_not_mixed(documents: Documents) -> None:
    with pytest.raises(ValueError, match="holds rows"):
        await documents.apply(ROWS, [doc("d", 0, (1, LIKED))])
    with pytest.raises(ValueError, match="holds state"):
        await documents.put(STATE, [row("d", 1)])
    with pytest.raises(ValueError, match="holds state"):
        await documents.remove(STATE, "by_owner", ["o"], below="z", position=1, limit=1)

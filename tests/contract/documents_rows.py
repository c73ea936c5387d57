"""The documents' contract: rows, compare and set, and the values that both hold."""

import asyncio
from dataclasses import replace

import pytest

from projections.documents.port import Change, Doc, Document, Documents, Fidelity, Value
from tests.contract.documents_kit import ROWS, STATE, DocumentsFactory, all_ids, doc, one, put, row


async def test_a_row_gives_way_to_a_higher_position_only(documents: Documents) -> None:
    await documents.put(ROWS, [row("r", 5, a=5, b=5)])
    await documents.put(ROWS, [row("r", 4, a=4)])
    await documents.put(ROWS, [row("r", 5, a=50)])
    assert await one(documents, "r", ROWS) == {"a": 5, "b": 5}
    await documents.put(ROWS, [row("r", 6, a=6)])
    assert await one(documents, "r", ROWS) == {"a": 6}


async def test_rows_that_are_there_and_new_ones_go_in_one_call(documents: Documents) -> None:
    await documents.put(ROWS, [row("low", 1, n=1), row("high", 9, n=9)])
    await documents.put(ROWS, [row("low", 5, n=5), row("new", 5, n=5), row("high", 5, n=5)])
    assert await documents.get(ROWS, ["low", "new", "high"]) == {"low": {"n": 5}, "new": {"n": 5}, "high": {"n": 9}}


async def test_of_rows_of_one_id_the_highest_position_counts_and_the_first_of_equals(documents: Documents) -> None:
    await documents.put(ROWS, [row("r", 2, n=1), row("r", 3, n=2), row("r", 3, n=3), row("r", 1, n=4)])
    assert await one(documents, "r", ROWS) == {"n": 2}


async def test_a_row_that_comes_again_changes_nothing_however_many_write(documents_factory: DocumentsFactory) -> None:
    handles = [await documents_factory(), await documents_factory()]
    await handles[0].prepare([ROWS])

    async def write(number: int) -> None:
        ids = range(40)
        await handles[number % 2].put(
            ROWS, [row(f"r{id}", (number * 7 + id) % 23, n=(number * 7 + id) % 23) for id in ids]
        )

    await asyncio.gather(*(write(number) for number in range(46)))
    assert await handles[0].get(ROWS, [f"r{id}" for id in range(40)]) == {f"r{id}": {"n": 22} for id in range(40)}


async def test_a_call_takes_any_number_of_rows(documents: Documents) -> None:
    await documents.put(ROWS, [row(f"r{n:04}", 1, owner="o", key=f"{n:04}") for n in range(2_345)])
    assert len(await documents.page(ROWS, "by_owner", ["o"], limit=5_000)) == 2_345
    assert await documents.remove(ROWS, "by_owner", ["o"], below="9999", position=1, limit=5_000) == 2_345


@pytest.mark.parametrize("fields", [{"_p": 1}, {"a.b": 1}, {"$set": 1}, {"": 1}])
async def test_a_row_whose_fields_cannot_be_named_so_is_refused(documents: Documents, fields: Document) -> None:
    with pytest.raises(ValueError, match="field"):
        await documents.put(ROWS, [row("r", 1, **fields)])
    with pytest.raises(ValueError, match="field"):
        await documents.put_if(ROWS, "r", None, fields)


async def test_removing_takes_what_is_below_and_not_written_since(documents: Documents) -> None:
    rows = [row(f"r{n}", 10 + n, owner="o", key=f"k{n}") for n in range(6)]
    others = [row("other", 1, owner="p", key="k0"), row("keyless", 1, owner="o"), row("null", 1, owner="o", key=None)]
    await documents.put(ROWS, [*rows, *others])
    assert await documents.remove(ROWS, "by_owner", ["o"], below="k4", position=12, limit=100) == 3
    assert set(await all_ids(documents, ROWS)) == {"r3", "r4", "r5", "other", "keyless", "null"}
    assert await documents.remove(ROWS, "by_owner", ["o"], below="k4", position=12, limit=100) == 0


async def test_removing_is_bounded_and_begins_with_the_lowest(documents: Documents) -> None:
    await documents.put(ROWS, [row(f"r{n}", 1, owner="o", kind=True, at=n) for n in (5, 1, 4, 2, 3)])
    assert await documents.remove(ROWS, "by_owner_kind", ["o", True], below=9, position=1, limit=2) == 2
    assert await documents.remove(ROWS, "by_owner_kind", ["o", True], below=9, position=1, limit=0) == 0
    assert await all_ids(documents, ROWS) == ["r3", "r4", "r5"]
    assert await documents.remove(ROWS, "by_owner_kind", ["o", None], below=9, position=1, limit=9) == 0


async def test_without_a_position_all_that_is_below_goes_and_of_states_only_what_has_a_horizon(
    documents: Documents,
) -> None:
    passing = replace(STATE, name="passing", fidelity=Fidelity.HORIZON)
    await documents.prepare([passing])
    await documents.put(ROWS, [row("r", 2**62, owner="o", key="k1"), row("s", 1, owner="o", key="k2")])
    assert await documents.remove(ROWS, "by_owner", ["o"], below="k2", position=None, limit=9) == 1
    assert await all_ids(documents, ROWS) == ["s"]
    made = [Doc(f"d{n}", 0, ((5, (Change(set={"owner": "o", "key": f"k{n}"}),)),)) for n in range(4)]
    await documents.apply(passing, made)
    assert await documents.remove(passing, "by_owner", ["o"], below="k3", position=None, limit=2) == 2
    assert await all_ids(documents, passing) == ["d2", "d3"]
    with pytest.raises(ValueError, match="holds state"):
        await documents.remove(passing, "by_owner", ["o"], below="k3", position=9, limit=2)
    with pytest.raises(ValueError, match="holds state"):
        await documents.remove(STATE, "by_owner", ["o"], below="k3", position=None, limit=2)


async def test_a_row_that_is_written_anew_while_others_are_removed_stays(documents_factory: DocumentsFactory) -> None:
    one_handle, other = await documents_factory(), await documents_factory()
    await one_handle.prepare([ROWS])
    await one_handle.put(ROWS, [row(f"r{n:03}", 1, owner="o", key=f"{n:03}") for n in range(300)])
    await asyncio.gather(
        one_handle.remove(ROWS, "by_owner", ["o"], below="999", position=1, limit=300),
        *(other.put(ROWS, [row(f"r{n:03}", 2, owner="o", key=f"{n:03}")]) for n in range(0, 300, 10)),
    )
    assert await all_ids(one_handle, ROWS) == [f"r{n:03}" for n in range(0, 300, 10)]


async def test_compare_and_set_writes_only_where_the_document_is_as_expected(documents: Documents) -> None:
    first: Document = {"floor": "a", "ready": False, "builder": None}
    assert not await documents.put_if(STATE, "t", first, {"floor": "b"})
    assert not await documents.put_if(STATE, "t", {}, {"floor": "b"})
    assert await documents.put_if(STATE, "t", None, first)
    assert not await documents.put_if(STATE, "t", None, {"floor": "b"})
    assert not await documents.put_if(STATE, "t", {"floor": "x"}, {"floor": "b"})
    assert not await documents.put_if(STATE, "t", {"floor": "a", "other": None}, {"floor": "b"})
    assert await one(documents, "t") == first
    assert await documents.put_if(STATE, "t", {"floor": "a", "builder": None}, {"floor": "b"})
    assert await one(documents, "t") == {"floor": "b"}
    assert await documents.put_if(STATE, "t", {}, {"floor": "c", "old": [1, {"a.b": "$x"}]})
    assert await one(documents, "t") == {"floor": "c", "old": [1, {"a.b": "$x"}]}


@pytest.mark.parametrize(
    ("stored", "expected", "same"),
    [
        (1, 1, True),
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (False, None, False),
        (None, None, True),
        ("$a", "$a", True),
        ("$$ROOT", "$$ROOT", True),
        ([1], 1, False),
        (2**53, 2**53 + 1, False),
    ],
)
async def test_compare_and_set_compares_as_json_does(
    documents: Documents, stored: Value, expected: Value, same: bool
) -> None:
    await documents.put_if(STATE, "t", None, {"a": stored})
    assert await documents.put_if(STATE, "t", {"a": expected}, {"done": 1}) is same


async def test_compare_and_set_compares_scalars_only(documents: Documents) -> None:
    with pytest.raises(ValueError, match="scalar"):
        await documents.put_if(STATE, "t", {"a": [1]}, {})


@pytest.mark.parametrize("expected", [None, {"builder": ""}])
async def test_one_of_many_wins_compare_and_set(documents_factory: DocumentsFactory, expected: Document | None) -> None:
    handles = [await documents_factory(), await documents_factory()]
    await handles[0].prepare([STATE])
    if expected is not None:
        await handles[0].put_if(STATE, "t", None, expected)
    won = await asyncio.gather(
        *(handles[n % 2].put_if(STATE, "t", expected, {"builder": f"process {n}"}) for n in range(20))
    )
    assert sum(won) == 1
    assert await one(handles[1], "t") == {"builder": f"process {won.index(True)}"}


async def test_a_row_that_was_compared_and_set_gives_way_to_any_event_and_can_be_removed(documents: Documents) -> None:
    for id in ("r", "s"):
        await documents.put_if(ROWS, id, None, {"owner": "o", "key": id})
    await documents.put(ROWS, [row("r", 1, owner="p", key="r")])
    assert await documents.remove(ROWS, "by_owner", ["o"], below="z", position=0, limit=9) == 1
    assert await all_ids(documents, ROWS) == ["r"]


VALUES: list[Value] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    -0.25,
    1e300,
    2**31,
    -(2**31) - 1,
    2**53,
    -(2**53),
    "",
    "$set",
    "$$ROOT",
    "$a.b",
    "a.b",
    'O\'Brien said "no"; DROP TABLE',
    "żółć 漢字 🧑‍🚀 \u202e \n\t\\ \x7f",
    [],
    {},
    [[], [None], {"a": []}],
    {"a.b": 1, "$c": {"$literal": "$d"}, "": [{"_p": 2}], "żółć": "漢字"},
    ["$x", {"$cond": [True, 1, 2]}],
    "x" * 70_000,
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
async def test_values_come_back_as_they_were(documents: Documents, value: Value) -> None:
    expected = {"value": value, "nested": {"value": value}, "list": [value]}
    whole: Document = expected
    changed = doc("s", 0, (1, put(value=value)), (2, put(**{"nested.value": value})), (3, put(list=[value])))
    await documents.apply(STATE, [changed])
    await documents.put(ROWS, [row("new", 1, **whole), row("old", 1)])
    await documents.put(ROWS, [row("old", 2, **whole)])
    await documents.put_if(ROWS, "swapped", None, whole)
    found = [await one(documents, "s"), *(await documents.get(ROWS, ["new", "old", "swapped"])).values()]
    assert [repr(document["value"]) for document in found if document is not None] == [repr(value)] * 4
    assert found == [expected] * 4

"""Ids, times and page arguments: what comes in is checked once, what goes out has one form."""

import pytest
from graphql import OperationDefinitionNode, parse, validate
from graphql.execution.values import get_variable_values
from hypothesis import given
from hypothesis import strategies as st

from api.schema.ids import Kind, bare_id, global_id, kind_and_bare
from api.schema.pages import connection, list_name, window
from api.schema.scalars import format_time, parse_time
from api.schema.schema import schema
from api.signing import Signer
from domain.errors import Code, Refusal
from domain.ids import mint_id
from projections.documents.port import After
from projections.paging import Item, Page, Window

SCHEMA = schema._schema
SIGNER = Signer([b"k" * 32], "log")
ID = mint_id(5, lambda n: bytes(range(n)))


@pytest.mark.parametrize("kind", list(Kind))
def test_an_id_of_one_kind_is_none_of_another(kind: Kind) -> None:
    text = global_id(kind, ID)
    assert kind_and_bare(text) == (kind, ID)
    assert bare_id(kind, text, "someId") == ID
    for other in set(Kind) - {kind}:
        with pytest.raises(Refusal) as refusal:
            bare_id(other, text, "someId")
        assert (refusal.value.code, refusal.value.problems[0].field) == (Code.NOT_FOUND, ("someId",))


@given(st.text())
def test_any_text_is_an_id_or_nothing(text: str) -> None:
    parsed = kind_and_bare(text)
    assert parsed is None or global_id(*parsed) == text


@given(st.integers(min_value=-(10**16), max_value=10**17))
def test_a_time_comes_back_as_it_went(micros: int) -> None:
    assert parse_time(format_time(micros)) == micros


@given(st.integers(min_value=0, max_value=10**16), st.integers(min_value=0, max_value=10**16))
def test_texts_of_times_sort_like_times(one: int, other: int) -> None:
    assert (format_time(one) < format_time(other)) == (one < other)


def test_a_time_may_have_any_zone() -> None:
    assert parse_time("2026-01-31T13:00:00+01:00") == parse_time("2026-01-31T12:00:00Z")


@given(st.one_of(st.text(), st.integers(), st.none(), st.datetimes().map(str)))
def test_what_is_no_time_is_a_client_error(value: object) -> None:
    with pytest.raises(ValueError, match="ISO 8601"):
        parse_time(value)


def test_a_client_is_told_where_the_time_stands_that_is_none() -> None:
    literal = validate(SCHEMA, parse('{ trends(at: "yesterday") { liveCursor } }'))
    asked = parse("query Q($at: DateTime) { trends(at: $at) { liveCursor } }").definitions[0]
    assert isinstance(asked, OperationDefinitionNode)
    variable = get_variable_values(SCHEMA, asked.variable_definitions or (), {"at": "yesterday"})
    for errors in (literal, variable):
        assert isinstance(errors, list)
        assert [(bool(error.locations), "ISO 8601" in error.message) for error in errors] == [(True, True)]


def test_a_window_reads_either_way() -> None:
    name = list_name("ann", "posts")
    cursor = SIGNER.sign_cursor(name, 5, "x")
    assert window(SIGNER, name, first=None, after=None) == Window(20, None)
    assert window(SIGNER, name, first=3, after=cursor) == Window(3, After(5, "x"))
    assert window(SIGNER, name, first=None, after=None, last=3, before=cursor) == Window(
        3, After(5, "x"), backward=True
    )
    assert window(SIGNER, name, first=None, after=None, last=3) == Window(3, None, backward=True)


@given(st.lists(st.text("a1:\n", max_size=3), max_size=3), st.lists(st.text("a1:\n", max_size=3), max_size=3))
def test_two_lists_do_not_share_a_name(one: list[str], other: list[str]) -> None:
    assert (list_name(None, *one) == list_name(None, *other)) == (one == other)


def test_a_page_that_hides_its_ends_can_still_be_left_both_ways() -> None:
    page = Page([Item(After(2, "b"), "shown")], After(1, "a"), After(3, "c"), has_next=True, has_previous=True)
    shown = connection(SIGNER, "list", page, str.upper)
    assert shown.nodes == ["SHOWN"]
    assert SIGNER.read_cursor("list", shown.edges[0].cursor) == (2, "b")
    assert SIGNER.read_cursor("list", shown.page_info.start_cursor or "") == (1, "a")
    assert SIGNER.read_cursor("list", shown.page_info.end_cursor or "") == (3, "c")
    assert (shown.page_info.has_next_page, shown.page_info.has_previous_page) == (True, True)

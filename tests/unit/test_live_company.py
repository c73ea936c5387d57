"""Company: what guests are shown together."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from graphql import (
    ExecutionResult,
    Executor,
    GraphQLArgument,
    GraphQLField,
    GraphQLInt,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
    create_source_event_stream,
    map_source_to_response_event,
    parse,
)

from api.live.company import Company
from api.rendering import render_once


class Happening:
    """An event; ``reads`` counts how often it was rendered."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.reads = 0


class Work:
    """Counts how often it began; goes on when it is let."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.begun = 0
        self.go_on = asyncio.Event()
        self._failure = failure

    async def __call__(self) -> int:
        self.begun += 1
        await self.go_on.wait()
        if self._failure is not None:
            raise self._failure
        return self.begun


async def test_who_asks_the_same_while_it_is_found_gets_it_too() -> None:
    company, work, other = Company(), Work(), Work()
    asked = [asyncio.create_task(company.look("a", work)) for _ in range(3)]
    apart = asyncio.create_task(company.look("b", other))
    await asyncio.sleep(0)
    work.go_on.set()
    other.go_on.set()
    assert await asyncio.gather(*asked, apart) == [1, 1, 1, 1]
    assert (work.begun, other.begun) == (1, 1)


async def test_nothing_found_is_kept_for_who_asks_later() -> None:
    company, work = Company(), Work()
    work.go_on.set()
    assert [await company.look("a", work), await company.look("a", work)] == [1, 2]


async def test_who_goes_away_leaves_it_to_the_others() -> None:
    company, work = Company(), Work()
    first, second = (asyncio.create_task(company.look("a", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    work.go_on.set()
    assert await second == 1
    assert first.cancelled()


async def test_all_are_told_of_a_failure_and_the_next_may_succeed() -> None:
    company, work = Company(), Work(ValueError("gone"))
    asked = [asyncio.create_task(company.look("a", work)) for _ in range(2)]
    await asyncio.sleep(0)
    work.go_on.set()
    assert [str(end) for end in await asyncio.gather(*asked, return_exceptions=True)] == ["gone", "gone"]
    better = Work()
    better.go_on.set()
    assert await company.look("a", better) == 1


def test_what_was_made_of_an_event_goes_with_it() -> None:
    company = Company()
    one, other = Happening("one"), Happening("one")
    company.rendered(one)["key"] = "rendered"
    assert company.rendered(one) == {"key": "rendered"}
    assert company.rendered(other) == {}
    before = id(one)
    del one
    assert before not in company._rendered


def test_equal_numbers_are_nobodys_own() -> None:
    company = Company()
    company.rendered(7)["key"] = "rendered"
    assert company.rendered(7) == {}


def _text(event: Happening, _info: object, **_: object) -> str:
    event.reads += 1
    return event.text


async def _later(event: Happening, _info: object) -> str:
    event.reads += 1
    return event.text


EVENT = GraphQLObjectType(
    "Event",
    {
        "text": GraphQLField(
            GraphQLString,
            {"of": GraphQLArgument(GraphQLInt), "sure": GraphQLArgument(GraphQLNonNull(GraphQLInt), 1)},
            _text,
        ),
        "later": GraphQLField(GraphQLString, resolve=_later),
    },
)
SCHEMA = GraphQLSchema(
    GraphQLObjectType("Query", {"nothing": GraphQLField(GraphQLInt)}),
    subscription=GraphQLObjectType(
        "Subscription",
        {
            "events": GraphQLField(
                EVENT,
                {"after": GraphQLArgument(GraphQLString), "name": GraphQLArgument(GraphQLString)},
                resolve=lambda event, _info, **_: event,
                subscribe=lambda events, _info, **_: _each(events),
            )
        },
    ),
)


async def _each(events: Sequence[Happening]) -> AsyncIterator[Happening]:
    for event in events:
        yield event


async def _results(company: Company, document: Any, events: Sequence[Happening], **variables: Any) -> list[Any]:
    executor = Executor.build(SCHEMA, document, events, raw_variable_values=variables)
    assert isinstance(executor, Executor)
    source = create_source_event_stream(executor)
    assert not isinstance(source, ExecutionResult)
    render = render_once(company, document, None, variables)
    return [result.data async for result in map_source_to_response_event(executor, source, render)]  # type: ignore[arg-type]


async def test_an_event_is_rendered_once_for_all_who_ask_the_same() -> None:
    company, event = Company(), Happening("hello")
    document = parse("subscription ($after: String) { events(after: $after) { text } }")
    for after in ("a", "b", None):
        assert await _results(company, document, [event], after=after) == [{"events": {"text": "hello"}}]
    assert event.reads == 1


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        pytest.param("subscription ($x: Boolean!) { events { text @skip(if: $x) __typename } }", "x", id="directive"),
        pytest.param(
            "subscription ($x: String, $y: Boolean!) { events(after: $x) { a: text b: text @skip(if: $y) } }",
            "y",
            id="beside a cursor",
        ),
    ],
)
async def test_a_variable_that_shapes_the_answer_makes_another(query: str, variables: str) -> None:
    company, event = Company(), Happening("hello")
    document = parse(query)
    answers = [await _results(company, document, [event], **{variables: value}) for value in (True, False)]
    alone = [await _results(Company(), document, [event], **{variables: value}) for value in (True, False)]
    assert answers == alone
    assert answers[0] != answers[1]


async def test_a_cursor_that_is_used_below_the_root_too_makes_another() -> None:
    company, event = Company(), Happening("hello")
    document = parse('subscription ($after: Int) { events(after: "x") { text(of: $after) } }')
    for after in (1, 2, 1):
        await _results(company, document, [event], after=after)
    assert event.reads == 2


async def test_other_documents_get_their_own() -> None:
    company, event = Company(), Happening("hello")
    one, other = parse("subscription { events { text } }"), parse("subscription { events { told: text } }")
    assert await _results(company, one, [event]) == [{"events": {"text": "hello"}}]
    assert await _results(company, other, [event]) == [{"events": {"told": "hello"}}]


async def test_an_event_goes_though_an_error_was_made_of_it() -> None:
    company, event = Company(), Happening("hello")
    document = parse("subscription ($of: Int = 1) { events { text(sure: $of) } }")
    assert await _results(company, document, [event], of=None) == [{"events": {"text": None}}]
    gone = weakref.ref(event)
    del event
    gc.collect()
    assert gone() is None


async def test_what_reads_for_itself_is_rendered_for_each() -> None:
    company, event = Company(), Happening("hello")
    document = parse("subscription { events { later } }")
    for _ in range(2):
        assert await _results(company, document, [event]) == [{"events": {"later": "hello"}}]
    assert event.reads == 2

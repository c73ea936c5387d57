"""Documents made to cost more than they look: refused by work that grows with their length alone."""

from itertools import pairwise

import pytest
from graphql import get_introspection_query, parse

from api import preparing
from api.errors import RequestError
from api.limits.documents import MAX_COMPARISONS, MAX_SELECTIONS, DocumentLimits, Meter
from api.preparing import Preparer
from api.settings import load_settings
from tests.edge_kit import SCHEMA

LIMITS = DocumentLimits(depth=12, aliases=30, directives=50)


def bomb(fragments: int) -> str:
    """Each fragment spreads the next one twice: 2^fragments fields."""
    spreads = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(fragments))
    return f"{{ ...F0 }} {spreads} fragment F{fragments} on Query {{ hello }}"


def chain(fragments: int) -> str:
    spreads = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(fragments))
    return f"{{ ...F0 }} {spreads} fragment F{fragments} on Query {{ hello }}"


def fan(places: int, spreads: int) -> str:
    """Many places that each spread one fragment, which spreads another many times."""
    return (
        f"{{ {' '.join(f'x{n} {{ ...F }}' for n in range(places))} }}"
        f" fragment F on Query {{ {'...G ' * spreads} }} fragment G on Query {{ hello }}"
    )


HOSTILE = {
    "fragment bomb of 20": bomb(20),
    "fragment bomb of 90": bomb(90),
    "fragments that spread themselves": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "a fragment that spreads itself": "{ ...A } fragment A on Query { hello ...A }",
    "one field 1,900 times": "{" + "hello " * 1_900 + "}",
    "one nested field 280 times": "{" + "things{nodes{id}} " * 280 + "}",
    "600 aliases": "{" + " ".join(f"a{n}: hello" for n in range(600)) + "}",
    "aliases in a fragment spread twice": "{ ...A things { nodes { ...B } } } fragment A on Query {"
    + " ".join(f"a{n}: hello" for n in range(31))
    + "} fragment B on Thing { id }",
    "20 levels": "{" + "things{nodes{" * 10 + "id" + "}}" * 10 + "}",
    "levels hidden in fragments": "{things{nodes{...A}}} "
    + " ".join(f"fragment {a} on Thing {{things{{nodes{{...{b}}}}}}}" for a, b in pairwise("ABCDEF"))
    + " fragment F on Thing {things{nodes{id}}}",
    "60 directives": "{" + "hello @skip(if: false) " * 60 + "}",
    "101 fragments": chain(100),
    "51 operations": " ".join(f"query Q{n} {{ hello }}" for n in range(51)),
    "introspection by alias": "{" + " ".join(f"a{n}: __schema {{ types {{ name }} }}" for n in range(4)) + "}",
    "fragments by the place": fan(190, 490),
}


@pytest.mark.parametrize("document", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_document_exceeds_a_limit_after_work_that_its_length_bounds(document: str) -> None:
    meter = Meter(parse(document, max_lexical_tokens=2_000))
    assert meter.check(LIMITS) is not None
    # Each selection is looked at once for the measures, and as often as it is expanded, within MAX_SELECTIONS, for the comparisons.
    assert meter.visits <= document.count(" ") + document.count("{") + 2_000 + MAX_SELECTIONS


@pytest.mark.parametrize("size", [15, 20, 40, 80])
def test_work_on_a_bomb_is_linear(size: int) -> None:
    meter = Meter(parse(bomb(size)))
    meter.check(LIMITS)
    assert meter.visits <= 5 * size + 10


def test_expansion_within_the_limits_is_walked_no_further_than_they_allow() -> None:
    """The largest that passes: what is accepted bounds the work of validation and execution too."""
    document = parse(bomb(11))
    meter = Meter(document)
    assert meter.check(LIMITS) is not None
    smaller = Meter(parse(bomb(5)))
    assert smaller.check(LIMITS) is None
    assert smaller.visits <= MAX_SELECTIONS


def test_limit_on_comparisons_counts_pairs_on_one_path() -> None:
    most = next(n for n in range(1_000) if (n + 1) * n // 2 > MAX_COMPARISONS)
    assert Meter(parse("{" + "hello " * most + "}")).check(LIMITS) is None
    assert Meter(parse("{" + "hello " * (most + 1) + "}")).check(LIMITS) is not None


def test_introspection_query_of_every_client_passes() -> None:
    query = get_introspection_query(descriptions=True, specified_by_url=True, input_value_deprecation=True)
    prepared = Preparer(SCHEMA._schema, load_settings()).prepare(query)
    assert prepared.plans["IntrospectionQuery"].points(prepared.plans["IntrospectionQuery"].nodes({})) == 5


UNUSABLE = {
    "undefined fragment": "{ ...Nope }",
    "undefined fragment below": "{ things { nodes { ...Nope } } }",
    "2,001 tokens": "{" + "hello " * 2_000 + "}",
    "comments without end": "{ hello }" + "#\n" * 3_000,
    "braces without end": "{" * 1_500,
    "nested 900 deep": "{a" * 450 + "}" * 450,
    "lists nested 900 deep": "{ nodes(ids: " + "[" * 900 + "]" * 900 + ") { id } }",
    "types nested 900 deep": "query ($a: " + "[" * 900 + "Int" + "]" * 900 + ") { hello }",
    "a name of 200 KB": "{ " + "a" * 200_000 + " }",
    "a number of 5,000 digits": "{ things(first: " + "9" * 5_000 + ") { nodes { id } } }",
    "1,900 unknown fields": "{" + " ".join(f"no{n}" for n in range(1_900)) + "}",
    "an unknown type": "{ ... on Nope { hello } }",
    "an unknown directive": "{ hello @nope }",
    "a schema": "type Query { hello: String }",
    "nothing": "",
    "only fragments": "fragment A on Query { hello }",
    "a null character": "{ hello\0 }",
    "half a surrogate": '{ hello(name: "\ud800") }',
    "an introspection loop": "{__schema{types{fields{type{fields{type{fields{type{fields{name}}}}}}}}}}",
}


@pytest.mark.parametrize("document", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_unusable_document_is_refused_and_nothing_else(document: str) -> None:
    with pytest.raises(RequestError) as refusal:
        Preparer(SCHEMA._schema, load_settings()).prepare(document)
    payload = refusal.value.payload("id")
    assert 1 <= len(payload["errors"]) <= 21  # type: ignore[arg-type]
    assert len(str(payload)) < 300_000


def test_what_is_kept_of_documents_is_bounded_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand documents of two thousand tokens each took nine hundred megabytes."""
    monkeypatch.setattr(preparing, "CACHED_CHARACTERS", 100)
    preparer = Preparer(SCHEMA._schema, load_settings())
    first = preparer.prepare("{ hello }")
    assert preparer.prepare("{ hello }") is first
    others = [f"{{ hello{' ' * 20} # {n} }}\n}}" for n in range(10)]
    prepared = [preparer.prepare(query) for query in others]
    assert preparer.prepare(others[-1]) is prepared[-1]
    assert preparer.prepare(others[0]) is not prepared[0]
    assert preparer.prepare("{ hello }") is not first
    assert sum(map(len, preparer._kept)) <= 100

"""Input made from the schema itself: every field of every input and every argument gets what does not belong there. A typed error or an answer comes back, and nothing of
the server's own."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

import msgspec
import pytest
from graphql import (
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
)

from api.schema.schema import schema
from domain.errors import Code
from tests.product_kit import Person, Product, embedded_settings, product, settled
from tests.security.bad_input import FINE, OPEN, PICTURE, UNKNOWN, World, world

pytestmark = pytest.mark.slow

__all__ = ["world"]

SCHEMA: Final = schema._schema
CODES: Final = {code.value for code in Code}
TEXTS: Final = {
    "empty": "",
    "NUL": "a\0b",
    "controls": "\x1b[31m\x07\x7f\x9f",
    "an override": "\u202egnp.exe",
    "joiners": "\u200b\u200d\ufeff",
    "a stack of marks": "z" + "\u0301\u0323" * 200,
    "emoji": "👩🏽‍🚀🏴\U000e0067\U000e007f1️⃣🇨🇭",
    "right to left": "\u200fשָׁלוֹם مرحبا",
    "beyond the planes": "\U0010ffff\ufffe\ufdd0",
    "look-alikes": "аnn",
    "a query": "' OR 1=1; -- {$ne: null}",
    "a path": "../../etc/passwd",
    "a template": "{{7*7}} ${x} %s%n",
    "unknown user": f"u_{UNKNOWN}",
    "unknown post": f"p_{UNKNOWN}",
    "unknown session": f"s_{UNKNOWN}",
    "another kind": f"x_{UNKNOWN}",
    "bare": UNKNOWN,
}
HUGE: Final = "x" * 50_000 + "\u0301\u0323" * 20_000 + "👩‍🚀" * 5_000
"""200 KB, of which the marks would take the longest."""
TEXTUAL: Final = ("String", "ID")


# Every field of every input


def fields_of(
    kind: GraphQLInputObjectType, at: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], GraphQLInputType]]:
    """Paths of the fields, with their types; those of lists' entries lie under 0."""
    for name, field in kind.fields.items():
        inner = get_named_type(field.type)
        if isinstance(inner, GraphQLInputObjectType):
            yield from fields_of(inner, (*at, name, "0"))
        yield (*at, name), field.type


def mutations() -> Mapping[str, GraphQLField]:
    assert SCHEMA.mutation_type is not None
    found: Mapping[str, GraphQLField] = SCHEMA.mutation_type.fields
    return found


def input_of(mutation: str) -> GraphQLInputObjectType:
    kind = get_named_type(mutations()[mutation].args["input"].type)
    assert isinstance(kind, GraphQLInputObjectType)
    return kind


PLACES = [(mutation, path, kind) for mutation in mutations() for path, kind in fields_of(input_of(mutation))]


def filled(given: Mapping[str, Any], path: tuple[str, ...], value: object) -> dict[str, Any]:
    """The input with another value at the path."""
    result = dict(given)
    if len(path) == 1:
        return result | {path[0]: value}
    entry = PICTURE if path[0] == "media" else {"name": "a name", "value": "a value"}
    return result | {path[0]: [entry | {path[2]: value}]}


def operation(mutation: str, inputs: int = 1) -> str:
    kind = input_of(mutation).name
    declared = ", ".join(f"$i{n}: {kind}!" for n in range(inputs))
    asked = " ".join(
        f"m{n}: {mutation}(input: $i{n}) {{ receipt {{ status }} changed userErrors {{ code field message }} }}"
        for n in range(inputs)
    )
    return f"mutation M({declared}) {{ {asked} }}"


def caller(world: World, mutation: str, path: tuple[str, ...]) -> Mapping[str, str]:
    """Eve; a guest where nothing is wrong with the input, and she would be gone by it."""
    return {} if path == ("clientMutationId",) and mutation not in OPEN else world.eve.headers


@pytest.mark.parametrize(
    ("mutation", "path", "kind"), PLACES, ids=lambda part: ".".join(part) if isinstance(part, tuple) else ""
)
async def test_what_is_of_the_wrong_type_is_a_bad_request(
    world: World, mutation: str, path: tuple[str, ...], kind: GraphQLInputType
) -> None:
    named, before = get_named_type(kind), await world.heads()
    wrong: list[object] = [{"a": 1}, [[1]], [{"a": [None]}]]
    wrong += [True, 1.5, ["x", "y"]] if named.name in TEXTUAL and "0" not in path[-1:] and not is_list(kind) else []
    wrong += [None] if isinstance(kind, GraphQLNonNull) else []
    for value in wrong:
        given = filled(FINE[mutation](world), path, value)
        response = await world.served.client.post(
            "/graphql",
            json={"query": operation(mutation), "variables": {"i0": given}},
            headers=dict(caller(world, mutation, path)),
        )
        assert response.status_code in {200, 400}
        assert {error["extensions"]["code"] for error in response.json()["errors"]} == {"BAD_REQUEST"}
    assert await world.heads() == before


def is_list(kind: GraphQLInputType) -> bool:
    return isinstance(kind.of_type if isinstance(kind, GraphQLNonNull) else kind, GraphQLList)


TEXT_PLACES = [place[:2] for place in PLACES if get_named_type(place[2]).name in TEXTUAL]


@pytest.mark.parametrize(
    ("mutation", "path"), TEXT_PLACES, ids=lambda part: ".".join(part) if isinstance(part, tuple) else part
)
async def test_any_text_at_any_place_is_answered(world: World, mutation: str, path: tuple[str, ...]) -> None:
    given, headers = FINE[mutation](world), caller(world, mutation, path)
    inputs = {f"i{n}": filled(given, path, text) for n, text in enumerate(TEXTS.values())}
    answers = [await world.served.ask(operation(mutation, len(inputs)), inputs, headers)]
    answers.append(await world.served.ask(operation(mutation), {"i0": filled(given, path, HUGE)}, headers))
    for answer in answers:
        assert "errors" not in answer, answer
        for payload in answer["data"].values():
            assert {error["code"] for error in payload["userErrors"]} <= CODES
            assert (payload["receipt"] is None) == bool(payload["userErrors"])
            assert all(len(error["message"]) < 300 for error in payload["userErrors"])


@pytest.mark.parametrize("mutation", mutations())
async def test_a_megabyte_and_half_a_surrogate_pair_never_come_to_a_mutation(world: World, mutation: str) -> None:
    before = await world.heads()
    given = msgspec.json.encode(FINE[mutation](world)).decode()
    query = msgspec.json.encode(operation(mutation)).decode()
    for text, status in (("x" * 1_000_000, 413), ("\\ud800", 400), ("\\udc00\\ud800", 400), ("a\\u0000", 200)):
        hostile = given[:-1] + ("," if len(given) > len("{}") else "") + f'"clientMutationId": "{text}"}}'
        body = f'{{"query": {query}, "variables": {{"i0": {hostile}}}}}'
        response = await world.served.client.post(
            "/graphql", content=body.encode(), headers={"content-type": "application/json"}
        )
        assert response.status_code == status
        answer = response.json()
        if status != 200:
            assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_REQUEST"]
            assert await world.heads() == before


# Every argument of every query, and every cursor

ARGUMENTS: Final = {"name": "one", "query": "post", "handle": "ann", "ids": [], "commandId": f"c_{UNKNOWN}"}
SHOWN: Final = "... on Post { id } ... on User { id } ... on Hashtag { name }"


@pytest.fixture(scope="module")
async def read(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Product, Person, Person, str]]:
    async with product(embedded_settings(tmp_path_factory.mktemp("read"))) as served:
        ann, bob = await served.register("ann"), await served.register("bob")
        posts = [await ann.post(f"A post {number} #one #two") for number in range(3)]
        await ann.done("followUser", userId=bob.id)
        await bob.done("likePost", postId=posts[0])
        await settled(served)
        yield served, ann, bob, posts[0]


def roots(post: str) -> Mapping[str, str]:
    """How to come to an object of each type that has lists."""
    return {
        "Query": "{ %s }",
        "Viewer": "{ viewer { %s } }",
        "NotificationGroup": "{ viewer { notifications(first: 1) { nodes { %s } } } }",
        "User": '{ user(handle: "ann") { %s } }',
        "Post": f'{{ post(id: "{post}") {{ ... on Post {{ %s }} }} }}',
    }


def paged(argument: str) -> list[tuple[str, str]]:
    """Types and fields of all lists that take the argument."""
    return [
        (kind.name, name)
        for kind in SCHEMA.type_map.values()
        if isinstance(kind, GraphQLObjectType) and kind is not SCHEMA.subscription_type
        for name, field in kind.fields.items()
        if argument in field.args
    ]


def asking(kind: str, name: str, post: str, argument: str, cursor: str) -> str:
    field = SCHEMA.type_map[kind].fields[name]  # type: ignore[attr-defined]
    given = {
        required: msgspec.json.encode(ARGUMENTS[required]).decode()
        for required, one in field.args.items()
        if isinstance(one.type, GraphQLNonNull) and required in ARGUMENTS and one.default_value is not None
    }
    given[argument] = msgspec.json.encode(cursor).decode()
    if argument == "before":
        given["last"] = "1"
    arguments = ", ".join(f"{key}: {value}" for key, value in given.items())
    return roots(post)[kind] % f"{name}({arguments}) {{ pageInfo {{ endCursor }} }}"


@pytest.mark.parametrize(("argument", "kind", "name"), [(a, *at) for a in ("after", "before") for at in paged(a)])
async def test_a_cursor_that_is_not_of_the_list_is_refused(
    read: tuple[Product, Person, Person, str], argument: str, kind: str, name: str
) -> None:
    served, ann, bob, post = read
    other = 'hashtagFeed(name: "two")' if name != "hashtagFeed" else "publicFeed"
    page = f"{{ {other} {{ liveCursor pageInfo {{ endCursor }} }} }}"
    [of_another] = (await ann.ask(page)).values()
    own_of_bob = await served.ask(
        asking(kind, name, post, "first", "").replace('first: ""', "first: 1"), headers=bob.headers
    )
    cursors = [
        "",
        "garbage",
        "\0",
        "A" * 10_000,
        "\u202e",
        "=" * 64,
        of_another["pageInfo"]["endCursor"],
        of_another["liveCursor"],
        ann.token or "",
    ]
    cursors += [found for found in end_cursors(own_of_bob) if found]
    for cursor in cursors:
        answer = await served.ask(asking(kind, name, post, argument, cursor), headers=ann.headers)
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["CURSOR_INVALID"], (cursor, answer)
        assert answer["errors"][0]["extensions"]["field"] == [argument]


def end_cursors(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "endCursor" and inner:
                yield inner
            else:
                yield from end_cursors(inner)


LIVE = [
    name
    for name, field in (SCHEMA.subscription_type.fields if SCHEMA.subscription_type else {}).items()
    if "after" in field.args
]


@pytest.mark.parametrize("name", LIVE)
async def test_a_live_cursor_that_is_not_of_the_list_is_refused(
    read: tuple[Product, Person, Person, str], name: str
) -> None:
    served, ann, _, post = read
    own = {"hashtagFeed": 'name: "one", ', "post": f'id: "{post}", '}.get(name, "")
    other = 'hashtagFeed(name: "two")' if name != "hashtagFeed" else "publicFeed"
    [of_another] = (await ann.ask(f"{{ {other} {{ liveCursor pageInfo {{ endCursor }} }} }}")).values()
    for cursor in ("", "garbage", "\0", of_another["liveCursor"], of_another["pageInfo"]["endCursor"], ann.token or ""):
        given = msgspec.json.encode(cursor).decode()
        async with served.stream(
            f"subscription {{ {name}({own}after: {given}) {{ __typename }} }}", access=ann.access
        ) as stream:
            assert await stream.next() is None
            assert [error["extensions"]["code"] for error in stream.errors] == ["CURSOR_INVALID"], cursor


def textual() -> list[tuple[str, str]]:
    assert SCHEMA.query_type is not None
    return [
        (name, argument)
        for name, field in SCHEMA.query_type.fields.items()
        for argument, one in field.args.items()
        if get_named_type(one.type).name in TEXTUAL and argument not in {"after", "before"}
    ]


@pytest.mark.parametrize(("name", "argument"), textual())
async def test_any_text_in_any_argument_is_answered(
    read: tuple[Product, Person, Person, str], name: str, argument: str
) -> None:
    served, ann, _, post = read
    assert SCHEMA.query_type is not None
    field = SCHEMA.query_type.fields[name]
    named, listed = get_named_type(field.args[argument].type).name, is_list(field.args[argument].type)
    inner = get_named_type(field.type)
    selection = "" if inner.name == "Boolean" else " { __typename }"
    query = f"query Q($t: {f'[{named}!]' if listed else named}!) {{ {name}({argument}: $t){selection} }}"
    for text in (*TEXTS.values(), HUGE, ann.id, post):
        answer = await served.ask(query, {"t": [text] if listed else text}, ann.headers)
        for error in answer.get("errors", []):
            assert error["extensions"]["code"] in CODES, answer
            assert error["extensions"]["field"] == [argument]

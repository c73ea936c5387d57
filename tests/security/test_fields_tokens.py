"""Tokens, cursors and arguments that are not this client's, not for this use, not good any more or never were: a typed error or nothing."""

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from api.auth.access import AccessTokens
from api.secrets import load_secrets
from api.signing import Purpose, Signer
from domain.ids import mint_id
from tests.product_kit import Person, Product, embedded_settings, product, settled

UNKNOWN = mint_id(7, lambda n: bytes(range(n)))
ME = "{ viewer { user { handle } } }"
HOME = "query H($first: Int, $after: String) { viewer { homeFeed(first: $first, after: $after) { liveCursor edges { cursor } } } }"
LIVE = "subscription L($after: String) { homeFeed(after: $after) { __typename } }"
TAGGED = """query T($name: String!, $first: Int, $after: String, $last: Int, $before: String) {
  hashtagFeed(name: $name, first: $first, after: $after, last: $last, before: $before) {
    edges { cursor node { post { ... on Post { text } } } } pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } }"""


@dataclass(frozen=True)
class World:
    """``tagged`` are cursors of ann's page of #one, newest first; ``home`` one of her home, ``live`` her live cursor."""

    served: Product
    ann: Person
    bob: Person
    tagged: list[str]
    home: str
    live: str

    def signer(self, log_id: str | None = None) -> Signer:
        services = self.served.services
        return Signer(load_secrets(services.settings).token_keys, log_id or services.log.identity.log_id)


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with product(embedded_settings(tmp_path_factory.mktemp("world"))) as served:
        ann, bob = await served.register("ann"), await served.register("bob")
        for number in range(5):
            await ann.post(f"Post {number} #one #two")
        await settled(served)
        page = (await ann.ask(TAGGED, name="one"))["hashtagFeed"]
        home = (await ann.ask(HOME, first=1))["viewer"]["homeFeed"]
        tagged = [edge["cursor"] for edge in page["edges"]]
        yield World(served, ann, bob, tagged, home["edges"][0]["cursor"], home["liveCursor"])


def code_of(answer: dict[str, Any]) -> str:
    codes = [error["extensions"]["code"] for error in answer["errors"]]
    assert len(codes) == 1
    return str(codes[0])


def turned(token: str) -> str:
    """The token with one bit of its body flipped."""
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[-1] ^= 1
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


# Access tokens


def access_token(world: World, kind: str) -> str:
    services, secrets = world.served.services, load_secrets(world.served.services.settings)
    account, session = world.ann.id[2:], world.ann.refresh.partition(".")[0]
    match kind:
        case "expired":
            past = AccessTokens(secrets.token_keys, life=600, now=lambda: services.now() - 601_000_000)
            return past.mint(account, session)[0]
        case "another key":
            return AccessTokens([b"k" * 32], life=600, now=services.now).mint(account, session)[0]
        case "no algorithm":
            head = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
            return f"{head}.{world.ann.access.split('.')[1]}."
        case "turned":
            return world.ann.access[:-2] + ("AA" if world.ann.access[-2:] != "AA" else "BB")
        case "refresh":
            return world.ann.refresh
    return "x" * 5_000


@pytest.mark.parametrize("kind", ["expired", "another key", "no algorithm", "turned", "refresh", "long"])
async def test_an_access_token_that_is_not_good_is_refused(world: World, kind: str) -> None:
    answer = await world.served.ask(ME, headers={"authorization": f"Bearer {access_token(world, kind)}"})
    assert code_of(answer) == ("EXPIRED" if kind == "expired" else "UNAUTHENTICATED")
    assert answer.get("data") is None


async def test_a_guest_has_no_viewer(world: World) -> None:
    assert code_of(await world.served.ask(ME)) == "UNAUTHENTICATED"


# Consistency tokens


@pytest.mark.parametrize("kind", ["garbage", "turned", "a cursor", "a live cursor", "another log", "another use"])
async def test_a_consistency_token_that_was_not_given_out_is_refused(world: World, kind: str) -> None:
    token = {
        "garbage": "garbage",
        "turned": turned(world.ann.token or ""),
        "a cursor": world.home,
        "a live cursor": world.live,
        "another log": world.signer("another log").sign_vector(Purpose.CONSISTENCY, {0: 1}),
        "another use": world.signer().sign_vector(Purpose.CONSISTENCY, {0: 1}, "something"),
    }[kind]
    answer = await world.served.ask(ME, headers={**world.ann.headers, "x-consistency-token": token})
    assert code_of(answer) == "CURSOR_INVALID"
    assert answer.get("data") is None


@pytest.mark.slow
async def test_a_position_that_is_not_reached_is_said_and_no_error(world: World) -> None:
    token = world.signer().sign_vector(Purpose.CONSISTENCY, {3: 2**60})
    answer = await world.served.ask(ME, headers={**world.ann.headers, "x-consistency-token": token})
    assert answer["data"]["viewer"]["user"] == {"handle": "ann"}
    assert answer["extensions"]["consistency"] == {"reached": False}


async def test_a_receipt_holds_the_token_that_came_along(world: World) -> None:
    before = world.signer().read_vector(Purpose.CONSISTENCY, world.ann.token or "")
    token = world.signer().sign_vector(Purpose.CONSISTENCY, before | dict.fromkeys(range(8), 1) | before)
    query = 'mutation { createPost(input: {text: "More"}) { receipt { position } } }'
    answer = await world.served.ask(query, headers={**world.ann.headers, "x-consistency-token": token})
    position = answer["data"]["createPost"]["receipt"]["position"]
    after = world.signer().read_vector(Purpose.CONSISTENCY, position)
    assert set(after) == set(range(8))
    assert all(after[shard] >= at for shard, at in before.items())
    assert after != before


# Page cursors and sizes


async def test_pages_walk_both_ways_and_meet(world: World) -> None:
    forward = (await world.ann.ask(TAGGED, name="one", first=3))["hashtagFeed"]
    assert [edge["cursor"] for edge in forward["edges"]] == world.tagged[:3]
    assert forward["pageInfo"]["hasNextPage"]
    rest = (await world.ann.ask(TAGGED, name="#ONE", after=forward["pageInfo"]["endCursor"]))["hashtagFeed"]
    assert [edge["cursor"] for edge in rest["edges"]] == world.tagged[3:]
    assert not rest["pageInfo"]["hasNextPage"]
    back = (await world.ann.ask(TAGGED, name="one", last=2, before=world.tagged[3]))["hashtagFeed"]
    assert [edge["cursor"] for edge in back["edges"]] == world.tagged[1:3]
    assert back["pageInfo"]["hasPreviousPage"]


@pytest.mark.parametrize(
    ("kind", "argument"),
    [
        *((kind, "after") for kind in ("garbage", "empty", "nul", "turned", "longer", "another list", "a live cursor")),
        *((kind, "after") for kind in ("a consistency token", "another viewer's", "a guest's")),
        ("another list", "before"),
        ("turned", "before"),
    ],
)
async def test_a_cursor_of_another_list_is_refused(world: World, kind: str, argument: str) -> None:
    cursor = {
        "garbage": "garbage",
        "empty": "",
        "nul": "\0",
        "turned": turned(world.tagged[0]),
        "longer": world.tagged[0] + "AAAA",
        "another list": (await world.ann.ask(TAGGED, name="two"))["hashtagFeed"]["edges"][0]["cursor"],
        "a live cursor": world.live,
        "a consistency token": world.ann.token,
        "another viewer's": (await world.bob.ask(TAGGED, name="one"))["hashtagFeed"]["edges"][0]["cursor"],
        "a guest's": (await world.served.ask(TAGGED, {"name": "one"}))["data"]["hashtagFeed"]["edges"][0]["cursor"],
    }[kind]
    more = {"last": 1} if argument == "before" else {}
    answer = await world.served.ask(TAGGED, {"name": "one", argument: cursor} | more, world.ann.headers)
    assert code_of(answer) == "CURSOR_INVALID"
    assert answer["errors"][0]["extensions"]["field"] == [argument]


async def test_the_cursor_of_somebody_elses_home_is_refused(world: World) -> None:
    answer = await world.served.ask(HOME, {"after": world.home}, world.bob.headers)
    assert code_of(answer) == "CURSOR_INVALID"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"first": 0}, "INVALID"),
        ({"first": -1}, "INVALID"),
        ({"first": 101}, "INVALID"),
        ({"last": 0}, "INVALID"),
        ({"last": 101}, "INVALID"),
        ({"first": 1, "last": 1}, "INVALID"),
        ({"before": "x"}, "INVALID"),
        ({"after": "x", "last": 1}, "INVALID"),
        ({"first": 2**31}, "BAD_REQUEST"),
        ({"first": "1"}, "BAD_REQUEST"),
        ({"first": 1.5}, "BAD_REQUEST"),
    ],
)
async def test_a_page_that_cannot_be_is_refused(world: World, given: dict[str, Any], code: str) -> None:
    assert code_of(await world.served.ask(TAGGED, {"name": "one"} | given, world.ann.headers)) == code


# Live cursors


@pytest.mark.parametrize(
    "kind", ["garbage", "empty", "turned", "another viewer's", "a cursor", "a consistency token", "ahead"]
)
async def test_a_live_cursor_that_was_not_given_out_is_refused(world: World, kind: str) -> None:
    subject = f"homeFeed\n{world.ann.id[2:]}"
    cursor = {
        "garbage": "garbage",
        "empty": "",
        "turned": turned(world.live),
        "another viewer's": (await world.bob.ask(HOME))["viewer"]["homeFeed"]["liveCursor"],
        "a cursor": world.home,
        "a consistency token": world.ann.token,
        "ahead": world.signer().sign_vector(Purpose.LIVE, {0: 2**60}, subject),
    }[kind]
    async with world.served.stream(LIVE, {"after": cursor}, world.ann.access) as stream:
        assert await stream.next() is None
        assert [error["extensions"]["code"] for error in stream.errors] == ["CURSOR_INVALID"]
    assert world.served.services.live.idle


async def test_a_guest_has_no_live_home(world: World) -> None:
    async with world.served.stream(LIVE) as stream:
        assert await stream.next() is None
        assert [error["extensions"]["code"] for error in stream.errors] == ["UNAUTHENTICATED"]


# Other arguments of queries


@pytest.mark.parametrize(
    "query",
    [
        '{ post(id: "ANN") { __typename } }',
        '{ post(id: "p_UNKNOWN") { __typename } }',
        '{ post(id: "") { __typename } }',
        '{ post(id: "p_\\u0000") { __typename } }',
        '{ user(id: "POST") { handle } }',
        '{ user(id: "u_UNKNOWN") { handle } }',
        '{ user(handle: "nobody") { handle } }',
        '{ user(handle: "\\u0000") { handle } }',
        '{ user(handle: "") { handle } }',
        '{ node(id: "u_UNKNOWN") { id } }',
        '{ node(id: "x") { id } }',
        '{ commandStatus(commandId: "ANN") { status } }',
    ],
)
async def test_what_is_not_there_is_null(world: World, query: str) -> None:
    query = query.replace("ANN", world.ann.id).replace("UNKNOWN", UNKNOWN)
    answer = await world.served.ask(query)
    assert "errors" not in answer
    assert list(answer["data"].values()) == [None]


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("{ user { handle } }", "INVALID", "id"),
        ('{ user(id: "x", handle: "ann") { handle } }', "INVALID", "id"),
        ('{ hashtagFeed(name: "") { nodes { id } } }', "INVALID", "name"),
        ('{ hashtagFeed(name: "two words") { nodes { id } } }', "INVALID", "name"),
        ('{ hashtagFeed(name: "nul\\u0000") { nodes { id } } }', "INVALID", "name"),
        ('{ trends(at: "2020-01-01T00:00:00Z") { nodes { rank } } }', "INVALID", "at"),
    ],
)
async def test_an_argument_that_cannot_be_is_refused_at_its_field(
    world: World, query: str, code: str, field: str
) -> None:
    answer = await world.served.ask(query)
    assert code_of(answer) == code
    assert answer["errors"][0]["extensions"]["field"] == [field]


@pytest.mark.parametrize(
    "at", ["yesterday", "2026-01-01", "2026-01-01T00:00:00", "9999-12-31T23:59:59-23:00", "\0", ""]
)
async def test_a_time_without_a_form_is_refused(world: World, at: str) -> None:
    answer = await world.served.ask("query T($at: DateTime) { trends(at: $at) { nodes { rank } } }", {"at": at})
    assert code_of(answer) == "BAD_REQUEST"


async def test_nodes_come_in_order_and_up_to_a_hundred(world: World) -> None:
    query = "query N($ids: [ID!]!) { nodes(ids: $ids) { id __typename } }"
    ids = [world.bob.id, "x", f"p_{UNKNOWN}", world.ann.id, world.bob.id]
    answer = await world.served.ask(query, {"ids": ids})
    assert [node and node["id"] for node in answer["data"]["nodes"]] == [
        world.bob.id,
        None,
        None,
        world.ann.id,
        world.bob.id,
    ]
    many = await world.served.ask(query, {"ids": [world.ann.id] * 101})
    assert code_of(many) == "TOO_MANY"


async def test_a_command_is_known_by_its_receipt(world: World) -> None:
    payload = await world.ann.done("createPost", text="To be asked about")
    await settled(world.served)
    query = "query C($id: ID!) { commandStatus(commandId: $id) { commandId status acceptedAt position } }"
    found = (await world.ann.ask(query, id=payload["receipt"]["commandId"]))["commandStatus"]
    assert found["status"] == "PROJECTED"
    assert found["acceptedAt"] == payload["receipt"]["acceptedAt"]
    never = (await world.ann.ask(query, id=f"c_{UNKNOWN}"))["commandStatus"]
    assert (never["status"], never["acceptedAt"]) == ("UNKNOWN", None)

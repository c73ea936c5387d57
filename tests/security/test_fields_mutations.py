"""Bad input to every mutation: each gets its typed error at its field, and nothing is appended."""

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

from domain.errors import OverloadedError, UnavailableError
from tests.product_kit import PASSWORD, Person, embedded_settings, product, settled
from tests.refusal_codes import codes_of
from tests.security.bad_input import FINE, TABLE, Bad, World, world

__all__ = ["world"]

MIN_WORDS = 4
AWAY: Final = {"UNAVAILABLE": UnavailableError, "RATE_LIMITED": OverloadedError}
"""What any mutation can give, and by which failure of the log."""

_FIRST_BLOCK: Final = "tests.integration.test_handlers_graph:test_a_first_block_that_comes_meanwhile_is_not_missed"
_SLOW: Final = (
    "tests.integration.test_handlers:test_an_abandoned_address_can_be_taken_over_and_the_slow_one_is_fenced_off"
)
_RENAMED: Final = (
    "tests.integration.test_handlers_names:test_an_abandoned_handle_can_be_taken_over_and_the_slow_one_is_fenced_off"
)
_PASSWORD: Final = "tests.unit.test_deciders:test_another_password_ends_the_other_sessions"
_DELETED: Final = "tests.unit.test_deciders:test_an_account_is_deleted_once_with_the_password_that_was_seen"
RACES: Final[dict[str, dict[str, str]]] = {
    **{
        mutation: {"CONFLICT": _FIRST_BLOCK}
        for mutation in ("createPost", "editPost", "likePost", "repost", "bookmarkPost", "followUser", "acceptFollow")
    },
    "registerAccount": {"CONFLICT": _SLOW},
    "changeHandle": {"CONFLICT": _RENAMED},
    "changePassword": {"CONFLICT": _PASSWORD},
    "deleteAccount": {"CONFLICT": _DELETED},
}
"""Codes that only a second command at the same moment brings about, with the test that arranges it."""

NEVER: Final[dict[str, frozenset[str]]] = {
    # A session that cannot be opened for an account that was just made is UNAVAILABLE.
    "registerAccount": frozenset({"UNAUTHENTICATED"}),
    # What a name can be is checked, and never told.
    "signIn": frozenset({"INVALID", "TOO_SHORT", "TOO_LONG"}),
    # The session is that of the access token, which was signed here.
    **dict.fromkeys(("signOut", "changePassword", "revokeOtherSessions"), frozenset({"NOT_FOUND"})),
}
"""Codes that are on the way of a mutation and do not reach its client."""


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: f"{bad.mutation}-{bad.code}-{bad.label}")
async def test_bad_input_is_a_typed_error_and_appends_nothing(world: World, bad: Bad) -> None:
    before = await world.heads()
    person: Person = getattr(world, bad.who)
    given = bad.given(world)
    if bad.mutation == "editPost":
        given = {"text": "Fine"} | given
    payload = await person.do(bad.mutation, **given)
    assert payload["receipt"] is None
    assert payload["changed"] is False
    assert payload["userErrors"][0]["code"] == bad.code
    if bad.field is not None:
        assert payload["userErrors"][0]["field"] == bad.field.split(".")
    for error in payload["userErrors"]:
        require_useful(error["message"])
    assert await world.heads() == before


def require_useful(message: str) -> None:
    """A sentence for people, without a word of how the server is made."""
    assert len(message.split()) >= MIN_WORDS
    assert not re.search(r"Traceback|Error\b|Exception|\bNone\b|/\w+/|\.py\b", message), message


@pytest.mark.parametrize("mutation", FINE)
def test_each_code_that_a_mutation_can_give_has_a_row(mutation: str) -> None:
    rows = {bad.code for bad in TABLE if bad.mutation == mutation}
    elsewhere = set(RACES.get(mutation, {})) | set(AWAY)
    assert rows | elsewhere == codes_of(mutation) - NEVER.get(mutation, frozenset())


@pytest.mark.parametrize("test", sorted({test for races in RACES.values() for test in races.values()}))
def test_each_race_is_run_where_it_is_said(test: str) -> None:
    module, _, name = test.partition(":")
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("mutation", FINE)
@pytest.mark.parametrize("code", AWAY)
async def test_what_the_log_cannot_take_is_said_and_nothing_is_appended(
    world: World, mutation: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: object) -> NoReturn:
        raise AWAY[code]("the log")

    given, before = FINE[mutation](world), await world.heads()
    with monkeypatch.context() as patch:
        patch.setattr(world.served.services.log, "execute", away)
        patch.setattr(world.served.services.log, "states", away)
        payload = await world.bob.do(mutation, **given)
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [(code, None)]
    require_useful(payload["userErrors"][0]["message"])
    assert (payload["receipt"], payload["changed"]) == (None, False)
    assert await world.heads() == before


MALFORMED = ("unknown field", "list", "no input")
OF_A_FIELD = ("missing", "null", "number", "object")
NOTHING_ASKED = ("signOut", "deactivateAccount", "reactivateAccount", "revokeOtherSessions")
NOTHING_REQUIRED = ("updateProfile", "markNotificationsRead")


@pytest.mark.parametrize(
    ("mutation", "wrong"),
    [
        *((mutation, wrong) for mutation in FINE for wrong in MALFORMED),
        *(
            (mutation, wrong)
            for mutation in FINE
            if mutation not in NOTHING_ASKED
            for wrong in (OF_A_FIELD if mutation not in NOTHING_REQUIRED else ("number", "object"))
        ),
    ],
)
async def test_malformed_input_is_never_run(world: World, mutation: str, wrong: str) -> None:
    before = await world.heads()
    given = _broken(FINE[mutation](world), wrong)
    answer = await world.served.ask(_query(mutation), {"input": given}, world.eve.headers)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_REQUEST"]
    assert answer.get("data") is None
    assert await world.heads() == before


def _broken(given: dict[str, Any], wrong: str) -> Any:
    match wrong:
        case "no input":
            return None
        case "list":
            return [given, given]
        case "unknown field":
            return given | {"nonsense": 1}
    field = next(iter(given))
    rest = {name: value for name, value in given.items() if name != field}
    return rest if wrong == "missing" else rest | {field: {"null": None, "number": 1.5, "object": {"a": 1}}[wrong]}


def _query(mutation: str) -> str:
    name = mutation[0].upper() + mutation[1:]
    return f"mutation M($input: {name}Input!) {{ {mutation}(input: $input) {{ receipt {{ status }} changed userErrors {{ code }} }} }}"


async def test_every_mutation_is_in_these_tables(world: World) -> None:
    answer = await world.served.ask("{ __schema { mutationType { fields { name } } } }")
    assert {field["name"] for field in answer["data"]["__schema"]["mutationType"]["fields"]} == set(FINE)


async def test_sign_in_says_the_same_of_a_wrong_name_and_a_wrong_password(world: World) -> None:
    wrong_name = await world.eve.do("signIn", handleOrEmail="nobody", password=PASSWORD)
    wrong_password = await world.eve.do("signIn", handleOrEmail="ann", password="wrong password")
    assert wrong_name == wrong_password


@pytest.mark.parametrize("more", [{"newField": 1}, {"handleOrMail": 1}, {"handleOrEmail": ...}], ids=str)
async def test_no_error_repeats_what_else_is_in_an_input(world: World, more: dict[str, object]) -> None:
    """A client that is out of date sends a password all the same, and keeps what it is told."""
    given = {
        name: value
        for name, value in ({"handleOrEmail": "ann", "password": PASSWORD} | more).items()
        if value is not ...
    }
    written = ", ".join(f"{name}: {json.dumps(value)}" for name, value in given.items())
    asked = "mutation S($input: SignInInput!) { signIn(input: $input) { changed } }"
    by_variable = await world.served.ask(asked, {"input": given})
    by_literal = await world.served.ask(f"mutation {{ signIn(input: {{ {written} }}) {{ changed }} }}")
    for answer in (by_variable, by_literal):
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_REQUEST"]
        assert PASSWORD not in str(answer)
        assert "'SignInInput'" in str(answer)


@pytest.mark.parametrize(
    "given",
    [[{"password": PASSWORD}], json.dumps({"password": PASSWORD}), {"handleOrEmail": "ann", "password": [PASSWORD]}],
    ids=["a list", "JSON in JSON", "a list of one"],
)
async def test_no_error_repeats_an_input_of_another_form(world: World, given: object) -> None:
    asked = "mutation S($input: SignInInput!) { signIn(input: $input) { changed } }"
    written = re.sub(r'"(\w+)":', r"\1:", json.dumps(given))
    by_variable = await world.served.ask(asked, {"input": given})
    by_literal = await world.served.ask(f"mutation {{ signIn(input: {written}) {{ changed }} }}")
    for answer in (by_variable, by_literal):
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_REQUEST"]
        assert PASSWORD not in str(answer)


async def test_a_rotated_refresh_token_ends_its_session(world: World) -> None:
    opened = await world.eve.done("signIn", handleOrEmail="@EVE", password=PASSWORD, select="session { refreshToken }")
    first = opened["session"]["refreshToken"]
    renewed = await world.eve.done("refreshSession", refreshToken=first, select="session { refreshToken }")
    stolen = await world.eve.do("refreshSession", refreshToken=first)
    assert stolen["userErrors"][0]["code"] == "UNAUTHENTICATED"
    ended = await world.eve.do("refreshSession", refreshToken=renewed["session"]["refreshToken"])
    assert ended["userErrors"][0]["code"] == "UNAUTHENTICATED"


async def test_a_registration_that_is_repeated_finds_its_account_for_the_same_password_alone(world: World) -> None:
    served = world.served
    given = {"handle": "again", "email": "again@example.org", "password": PASSWORD, "idempotencyKey": "again"}
    select = "account { id } session { accessToken refreshToken }"
    first = await world.eve.done("registerAccount", select=select, **given)
    repeat = await world.eve.done("registerAccount", select=select, **given)
    assert (first["changed"], repeat["changed"]) == (True, False)
    assert repeat["account"] == first["account"]
    assert repeat["session"]["refreshToken"] != first["session"]["refreshToken"]
    await settled(served)
    before = await world.heads()
    for field, other in {"password": "another password", "handle": "other", "displayName": "Other"}.items():
        refused = await world.eve.do("registerAccount", select=select, **given | {field: other})
        assert [error["code"] for error in refused["userErrors"]] == ["IDEMPOTENCY_MISMATCH"]
        assert (refused["account"], refused["session"]) == (None, None)
    assert await world.heads() == before


async def test_a_session_is_opened_renewed_and_ended(world: World) -> None:
    select = "account { handle } session { accessToken refreshToken expiresAt }"
    names = ("bob", "@Bob", "BOB@example.org")
    opened = [await world.eve.done("signIn", select=select, handleOrEmail=n, password=PASSWORD) for n in names]
    assert [payload["account"] for payload in opened] == [{"handle": "bob"}] * 3
    token = opened[0]["session"]["refreshToken"]
    renewed = await world.eve.done("refreshSession", select=select, refreshToken=token)
    assert renewed["account"] == {"handle": "bob"}
    headers = {"authorization": f"Bearer {renewed['session']['accessToken']}"}
    query = "mutation { signOut(input: {}) { changed userErrors { code } receipt { status } } }"
    answers = [(await world.served.ask(query, headers=headers))["data"]["signOut"] for _ in range(2)]
    assert [answer["changed"] for answer in answers] == [True, False]
    refused = await world.eve.do("refreshSession", refreshToken=renewed["session"]["refreshToken"])
    assert [error["code"] for error in refused["userErrors"]] == ["UNAUTHENTICATED"]


async def test_a_post_that_is_repeated_is_made_once(world: World) -> None:
    given = {"text": "Once", "idempotencyKey": "once", "replyTo": world.post}
    first = await world.eve.done("createPost", select="post { id }", **given)
    before = await world.heads()
    repeat = await world.eve.done("createPost", select="post { id }", **given)
    assert (repeat["changed"], repeat["post"]) == (False, first["post"])
    assert repeat["receipt"]["position"]
    assert await world.heads() == before


async def test_passwords_can_be_tried_a_few_times_only(tmp_path: Path) -> None:
    async with product(embedded_settings(tmp_path, sign_ins_per_5_minutes=3)) as served:
        ann = await served.register("ann")
        codes = []
        for _ in range(3):
            payload = await ann.do("signIn", handleOrEmail="ann", password="not the password")
            codes.append(payload["userErrors"][0]["code"])
        assert codes == ["UNAUTHENTICATED", "UNAUTHENTICATED", "RATE_LIMITED"]
        refused = await ann.do("registerAccount", handle="other", email="other@example.org", password=PASSWORD)
        assert refused["userErrors"][0]["code"] == "RATE_LIMITED"

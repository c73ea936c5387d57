"""What a client sees while a store is away, or when nobody can say yet whether a command was recorded."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.workers import running_workers
from domain.errors import OutcomeUnknownError, UnavailableError
from domain.log.port import Execution, Outcome
from tests.product_kit import Product, embedded_settings, product, settled

pytestmark = pytest.mark.slow

POST = "post { id text }"
STATUS = "query S($id: ID!) { commandStatus(commandId: $id) { status } }"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Product]:
    async with product(embedded_settings(tmp_path), workers=False) as running:
        yield running


@pytest.fixture
async def folding(tmp_path: Path) -> AsyncIterator[Product]:
    async with product(embedded_settings(tmp_path)) as running:
        yield running


@pytest.mark.slow
async def test_before_anything_is_folded_a_payload_has_what_its_command_did(served: Product) -> None:
    ann = await served.register("ann")
    ann.token = None
    payload = await ann.done("followUser", userId=(await served.register("bob")).id, select="user { handle }")
    # Of Bob nothing is known here but that somebody follows him.
    assert payload["user"] is None
    assert payload["receipt"]["status"] == "ACCEPTED"


EDIT = """mutation E($input: EditPostInput!) { editPost(input: $input) {
  changed post { text revisions { text } } userErrors { code } } }"""


@pytest.mark.slow
async def test_what_a_payload_cannot_foresee_waits_for_the_command_or_is_said_to_be_late(served: Product) -> None:
    """Lists below what was changed, and all that a repeat shows."""
    ann = await served.register("ann")
    async with running_workers(served.services):
        given = {"postId": await ann.post("One"), "text": "Two"}
    answer = await served.ask(EDIT, {"input": given}, ann.headers)
    assert answer["data"]["editPost"]["post"]["text"] == "Two"
    assert answer["extensions"]["consistency"] == {"reached": False}
    again = await served.ask(EDIT.replace("revisions { text }", ""), {"input": given}, ann.headers)
    assert (again["data"]["editPost"]["changed"], again["extensions"]["consistency"]) == (False, {"reached": False})
    async with running_workers(served.services) as working:
        await settled(replace(served, services=working))
        folded = await served.ask(EDIT, {"input": given}, ann.headers)
    assert [one["text"] for one in folded["data"]["editPost"]["post"]["revisions"]] == ["Two", "One"]


@pytest.mark.slow
async def test_without_documents_mutations_go_on_and_say_where(folding: Product) -> None:
    ann = await folding.register("ann")
    await settled(folding)
    post = await ann.post("before")
    await folding.services.documents.close()
    ann.token = None
    payload = await ann.done("createPost", text="meanwhile", select=POST)
    assert payload["post"] is None
    assert payload["changed"]
    assert payload["receipt"]["status"] == "ACCEPTED"
    ann.token = None
    liked = await ann.done("likePost", postId=post, select="post { id }")
    assert (liked["post"], liked["changed"]) == (None, True)
    for query in ("{ viewer { homeFeed { nodes { id } } } }", f'{{ post(id: "{post}") {{ __typename }} }}'):
        answer = await folding.ask(query, headers=ann.headers)
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAVAILABLE"]
    async with folding.stream("subscription { homeFeed { __typename } }", access=ann.access) as stream:
        assert await stream.next() is None
        assert [error["extensions"]["code"] for error in stream.errors] == ["UNAVAILABLE"]


async def test_without_the_log_nothing_is_done_and_everything_can_be_read(
    folding: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await folding.register("ann")
    post = await ann.post("still there")
    await settled(folding)

    async def away(_: Execution) -> Outcome:
        raise UnavailableError("the log is away")

    monkeypatch.setattr(folding.services.log, "execute", away)
    for mutation, given in (("createPost", {"text": "no"}), ("likePost", {"postId": post})):
        payload = await ann.do(mutation, **given)
        assert (payload["receipt"], payload["changed"]) == (None, False)
        assert [error["code"] for error in payload["userErrors"]] == ["UNAVAILABLE"]
    read = await ann.ask("query P($id: ID!) { post(id: $id) { ... on Post { text } } }", id=post)
    assert read["post"] == {"text": "still there"}


async def test_a_command_of_unknown_outcome_can_be_asked_after(
    folding: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await folding.register("ann")
    execute = folding.services.log.execute

    async def cut_off(execution: Execution) -> Outcome:
        await execute(execution)
        raise OutcomeUnknownError(execution.metadata.command_id)

    with monkeypatch.context() as patch:
        patch.setattr(folding.services.log, "execute", cut_off)
        payload = await ann.done("createPost", text="perhaps", select=POST, idempotencyKey="once")
    assert payload["post"] is None
    assert payload["receipt"]["status"] == "UNKNOWN"
    await settled(folding)
    assert (await ann.ask(STATUS, id=payload["receipt"]["commandId"]))["commandStatus"]["status"] == "PROJECTED"
    # And the safe way to find out is to say it again.
    again = await ann.done("createPost", text="perhaps", select=POST, idempotencyKey="once")
    assert (again["changed"], again["post"]["text"]) == (False, "perhaps")


async def test_an_account_without_a_session_is_told_to_sign_in(
    folding: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = folding.services.log.execute

    async def no_sessions(execution: Execution) -> Outcome:
        if any(stream.startswith("session-") for stream in execution.streams):
            raise UnavailableError("the shard is away")
        return await execute(execution)

    monkeypatch.setattr(folding.services.log, "execute", no_sessions)
    given = {"handle": "ann", "email": "ann@example.org", "password": "correct horse battery"}
    answer = await folding.ask(
        "mutation R($i: RegisterAccountInput!) { registerAccount(input: $i) { account { handle } session { accessToken }"
        " changed receipt { status } userErrors { code } } }",
        {"i": given},
    )
    assert answer["data"]["registerAccount"] == {
        "account": {"handle": "ann"},
        "session": None,
        "changed": True,
        "receipt": {"status": "ACCEPTED"},
        "userErrors": [{"code": "UNAVAILABLE"}],
    }

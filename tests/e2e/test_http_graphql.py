"""GraphQL over HTTP on a real server: what is accepted, and what an answer's status and headers are."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from domain.errors import Code
from tests.edge_kit import PROBE, Edge, edge

JSON = "application/json"
RESPONSE_JSON = "application/graphql-response+json"


@pytest_asyncio.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    async with edge(tmp_path_factory.mktemp("edge"), operation_timeout=0.3, cost_per_hour=0) as served:
        yield served


def code_of(answer: dict[str, list[dict[str, dict[str, str]]]]) -> str:
    return answer["errors"][0]["extensions"]["code"]


@pytest.mark.parametrize(
    ("accept", "content_type", "syntax", "validation", "token"),
    [
        (RESPONSE_JSON, RESPONSE_JSON, 400, 400, 401),
        (JSON, JSON, 200, 200, 200),
        ("*/*", JSON, 400, 200, 200),
        ("", JSON, 400, 200, 200),
        (f"{RESPONSE_JSON}, {JSON};q=0.9", RESPONSE_JSON, 400, 400, 401),
        (f"{RESPONSE_JSON};q=0.5, {JSON}", JSON, 200, 200, 200),
        (f"{JSON}, text/plain, */*", JSON, 200, 200, 200),
    ],
)
async def test_status_and_type_follow_accept(
    served: Edge, accept: str, content_type: str, syntax: int, validation: int, token: int
) -> None:
    headers = {"accept": accept}
    good = await served.ask("{ hello }", headers=headers)
    assert (good.status_code, good.headers["content-type"]) == (200, f"{content_type}; charset=utf-8")
    assert good.json()["data"] == {"hello": "hello world"}
    assert (await served.ask("{", headers=headers)).status_code == syntax
    invalid = await served.ask("{ nope }", headers=headers)
    assert (invalid.status_code, code_of(invalid.json())) == (validation, "BAD_REQUEST")
    assert "data" not in invalid.json()
    forged = await served.ask("{ hello }", headers={**headers, "authorization": "Bearer forged"})
    assert (forged.status_code, code_of(forged.json())) == (token, "UNAUTHENTICATED")


async def test_what_is_not_acceptable_is_406(served: Edge) -> None:
    assert (await served.ask("{ hello }", headers={"accept": "image/png"})).status_code == 406


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"query": 1}',
        b'{"variables": {}}',
        b'[{"query": "{ hello }"}]',
        b'{"query": "{ hello }", "variables": []}',
        b'{"query": "{ hello }", "operationName": 7}',
        b'{"query": "\xff"}',
        b'{"query": "{ hello }", "variables": {"a": NaN}}',
        b"\xef\xbb\xbf{}",
        b"[" * 200_000,
        b'{"query": "{ hello }", "variables": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"query": "{ hello }", "variables": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}",
    ],
)
async def test_body_that_is_no_request_is_400(served: Edge, body: bytes) -> None:
    answer = await served.client.post("/graphql", content=body, headers={"content-type": JSON})
    assert answer.status_code == 400
    assert code_of(answer.json()) == "BAD_REQUEST"


async def test_clients_of_persisted_queries_are_told_to_send_the_query(served: Edge) -> None:
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}
    posted = await served.client.post("/graphql", json={"extensions": extensions})
    gotten = await served.client.get("/graphql", params={"extensions": json.dumps(extensions)})
    for answer in (posted, gotten):
        assert (answer.status_code, answer.json()["errors"][0]["message"]) == (400, "PersistedQueryNotSupported")
    assert (await served.ask("{ hello }", extensions=extensions)).json()["data"]


async def test_unknown_keys_of_a_request_are_ignored(served: Edge) -> None:
    answer = await served.ask("{ hello }", onBehalfOf="nobody", id=3)
    assert answer.json()["data"] == {"hello": "hello world"}


async def test_body_over_the_limit_is_413_whether_or_not_its_length_is_told(served: Edge) -> None:
    body = b'{"query": "{ hello }", "pad": "' + b"x" * 300_000 + b'"}'
    told = await served.client.post("/graphql", content=body, headers={"content-type": JSON})

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    untold = await served.client.post("/graphql", content=parts(), headers={"content-type": JSON})
    assert (told.status_code, untold.status_code) == (413, 413)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
async def test_what_a_form_of_another_origin_could_send_is_refused(served: Edge, content_type: str) -> None:
    body = json.dumps({"query": 'mutation { createThing(name: "forged") }'}).encode()
    answer = await served.client.post("/graphql", content=body, headers={"content-type": content_type})
    assert answer.status_code == 415
    assert "forged" not in PROBE.made


async def test_get_runs_queries_only(served: Edge) -> None:
    query = await served.client.get(
        "/graphql", params={"query": "query ($n: String!) { hello(name: $n) }", "variables": '{"n": "you"}'}
    )
    assert query.json()["data"] == {"hello": "hello you"}
    mutation = await served.client.get("/graphql", params={"query": 'mutation { createThing(name: "gotten") }'})
    assert (mutation.status_code, mutation.headers["allow"]) == (405, "POST")
    assert "gotten" not in PROBE.made
    assert (await served.client.get("/graphql", params={"query": "subscription { count }"})).status_code == 405
    assert (await served.client.get("/graphql", headers={"accept": JSON})).status_code == 400
    assert (await served.client.get("/graphql", params={"query": "{ hello }", "variables": "{"})).status_code == 400


async def test_subscription_by_post_says_where_to_go(served: Edge) -> None:
    answer = await served.ask("subscription { count }")
    assert answer.status_code == 400
    assert "WebSocket" in answer.json()["errors"][0]["message"]


async def test_other_methods_are_405(served: Edge) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        assert (await served.client.request(method, "/graphql")).status_code == 405


async def test_operation_is_chosen_by_name(served: Edge) -> None:
    document = 'query A { hello } query B { hello(name: "b") }'
    assert (await served.ask(document, operationName="B")).json()["data"] == {"hello": "hello b"}
    for name in (None, "C"):
        assert code_of((await served.ask(document, operationName=name)).json()) == "BAD_REQUEST"


async def test_variables_that_do_not_fit_are_the_requests_fault(served: Edge) -> None:
    document = "query ($first: Int!) { things(first: $first) { nodes { id } } }"
    for variables in ({}, {"first": None}, {"first": "x"}, {"first": 2**40}, {"first": {"a": 1}}):
        answer = await served.ask(document, variables=variables, headers={"accept": RESPONSE_JSON})
        assert (answer.status_code, code_of(answer.json())) == (400, "BAD_REQUEST"), variables
        assert "data" not in answer.json()


async def test_expected_and_unexpected_errors(served: Edge) -> None:
    refused = (await served.ask("{ refused }")).json()
    assert refused["data"] is None
    assert refused["errors"][0]["message"] == "there is no such post"
    assert refused["errors"][0]["extensions"] == {"code": "NOT_FOUND", "field": ["postId"]}
    assert code_of((await served.ask("{ me }")).json()) == "UNAUTHENTICATED"
    away = (await served.ask("{ away }")).json()
    assert code_of(away) == "UNAVAILABLE"
    assert "10.1.2.3" not in str(away)
    unknown = (await served.ask("{ unknown }")).json()["errors"][0]["extensions"]
    assert unknown == {"code": "UNAVAILABLE", "commandId": "abc"}


async def test_internal_error_tells_its_request_id_and_nothing_else(served: Edge) -> None:
    answer = await served.ask("{ broken }", headers={"x-request-id": "from-me.1"})
    assert answer.status_code == 200
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["x-request-id"] == "from-me.1"
    assert answer.json()["errors"][0]["extensions"] == {"code": "INTERNAL", "requestId": "from-me.1"}


async def test_request_id_is_made_where_the_clients_is_missing_or_unfit(served: Edge) -> None:
    ids = [
        (await served.ask("{ hello }", headers=headers)).headers["x-request-id"]
        for headers in ({}, {"x-request-id": "a b"}, {"x-request-id": "x" * 65}, {"x-request-id": 'x"}'})
    ]
    assert len(set(ids)) == 4
    assert all(len(one) == 32 for one in ids)


async def test_operation_that_takes_too_long_is_ended(served: Edge) -> None:
    answer = (await served.ask("{ slow }")).json()
    assert answer["data"] is None
    assert code_of(answer) == "UNAVAILABLE"


async def test_token_names_the_viewer(served: Edge) -> None:
    account = "c" * 26
    answer = await served.ask("{ me }", headers={"authorization": f"bearer {served.token('c' * 25 + 'a')}"})
    assert answer.json()["data"] == {"me": account[:-1] + "a"}
    for header in ("Basic abc", "Bearer", "Bearer x y", "x"):
        assert code_of((await served.ask("{ hello }", headers={"authorization": header})).json()) == "UNAUTHENTICATED"


async def test_consistency_token_reaches_the_resolvers(served: Edge) -> None:
    from api.signing import Purpose  # noqa: PLC0415

    token = served.services.signer.sign_vector(Purpose.CONSISTENCY, {3: 17})
    await served.ask("{ sameContext }", headers={"x-consistency-token": token})
    assert PROBE.contexts[-1].seen == {3: 17}
    await served.ask("{ sameContext }", extensions={"consistencyToken": token})
    assert PROBE.contexts[-1].seen == {3: 17}
    live = served.services.signer.sign_vector(Purpose.LIVE, {3: 17})
    for bad in ("x", token[:-1], live):
        answer = await served.ask("{ hello }", headers={"x-consistency-token": bad})
        assert code_of(answer.json()) == Code.CURSOR_INVALID


async def test_traceparent_reaches_the_resolvers(served: Edge) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await served.ask("{ sameContext }", headers={"traceparent": traceparent})
    assert (PROBE.contexts[-1].traceparent or "").split("-")[1] == traceparent.split("-")[1]
    await served.ask("{ sameContext }", headers={"traceparent": "nonsense"})
    assert PROBE.contexts[-1].traceparent is None


async def test_answers_are_compressed_and_not_kept(served: Edge) -> None:
    query = "{" + " ".join(f'a{n}: hello(name: "{"x" * 100}")' for n in range(20)) + "}"
    answer = await served.ask(query, headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.slow
async def test_no_more_requests_than_allowed_are_in_work(tmp_path: Path) -> None:
    import asyncio  # noqa: PLC0415

    async with edge(tmp_path, max_requests=2, operation_timeout=0.5) as served:
        answers = await asyncio.gather(*(served.ask("{ slow }") for _ in range(6)))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200, 200, 503, 503, 503, 503]
        assert {code_of(answer.json()) for answer in answers if answer.status_code != 200} == {"UNAVAILABLE"}
        assert (await served.ask("{ hello }")).status_code == 200

"""Budgets on a real server: counted alike on every transport, and told to who spends them."""

import json
from pathlib import Path

from tests.edge_kit import PROBE, edge

RESPONSE_JSON = {"accept": "application/graphql-response+json"}


async def test_budget_is_told_and_then_spent(tmp_path: Path) -> None:
    async with edge(tmp_path, cost_per_hour=20) as served:
        first = await served.ask('mutation { createThing(name: "a") }')
        assert first.json()["extensions"]["cost"] == {"points": 8, "nodes": 0, "limit": 20, "remaining": 12}
        names = ("x-ratelimit-limit", "x-ratelimit-used", "x-ratelimit-remaining")
        assert [first.headers[name] for name in names] == ["20", "8", "12"]
        # Refused ones cost a point, or they could be sent without end.
        assert (await served.ask("{ nope }", headers=RESPONSE_JSON)).status_code == 400
        assert (await served.ask("{ hello }")).json()["extensions"]["cost"]["remaining"] == 10
        for _ in range(10):
            await served.ask("{ hello }")
        spent = await served.ask("{ hello }", headers=RESPONSE_JSON)
        assert spent.status_code == 429
        extensions = spent.json()["errors"][0]["extensions"]
        assert extensions["code"] == "COST_EXCEEDED"
        assert 3_500 < extensions["retryAfter"] <= 3_600
        assert spent.headers["retry-after"] == str(extensions["retryAfter"])
        assert [spent.headers[name] for name in names] == ["20", "20", "0"]
        assert "data" not in spent.json()


async def test_an_account_has_a_budget_of_its_own_on_every_transport(tmp_path: Path) -> None:
    async with edge(tmp_path, cost_per_hour=3) as served:
        mine = {"authorization": f"Bearer {served.token()}"}
        for _ in range(2):
            assert (await served.ask("{ hello }", headers=mine)).json()["data"]
        streamed = await served.ask("{ hello }", headers={**mine, "accept": "text/event-stream"})
        assert '"remaining":0' in streamed.text
        assert (await served.ask("{ hello }", headers=mine)).json()["errors"][0]["extensions"][
            "code"
        ] == "COST_EXCEEDED"
        assert (await served.ask("{ hello }")).json()["data"]


async def test_mutation_beyond_the_budget_is_not_run(tmp_path: Path) -> None:
    async with edge(tmp_path, cost_per_hour=10) as served:
        names = "".join(f'm{n}: createThing(name: "unpaid") ' for n in range(2))
        answer = await served.ask(f"mutation {{ {names} }}")
        assert answer.json()["errors"][0]["extensions"]["code"] == "COST_EXCEEDED"
    assert "unpaid" not in PROBE.made


async def test_operation_that_asks_for_too_many_nodes_is_refused(tmp_path: Path) -> None:
    query = "query ($n: Int!) { things(first: $n) { nodes { things(first: $n) { nodes { things(first: $n) { nodes { id } } } } } } }"
    async with edge(tmp_path) as served:
        refused = await served.ask(query, variables={"n": 100}, headers=RESPONSE_JSON)
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (429, "COST_EXCEEDED")
        assert (await served.ask(query, variables={"n": 10})).json()["extensions"]["cost"]["nodes"] == 1_110


async def test_sign_ins_are_counted_by_field(tmp_path: Path) -> None:
    """Thirty guesses in one request are thirty guesses."""
    async with edge(tmp_path, sign_ins_per_5_minutes=5, cost_per_hour=0) as served:
        fields = " ".join(f"s{n}: signIn" for n in range(8))
        answer = await served.ask(f"mutation {{ {fields} }}")
        codes = [error["extensions"]["code"] for error in answer.json()["errors"]]
        assert codes == ["RATE_LIMITED"]
        # A field that may not be null takes the others with it: so ask one by one.
        assert (await served.ask("mutation { signIn }")).json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"


async def test_forwarded_addresses_are_believed_from_trusted_proxies_alone(tmp_path: Path) -> None:
    for trusted, other_has_own in (("127.0.0.1", True), ("192.0.2.1", False)):
        async with edge(tmp_path / trusted, cost_per_hour=2, trusted_proxies=trusted) as served:
            for address, expected in (("198.51.100.1", 1), ("198.51.100.2", 1 if other_has_own else 0)):
                answer = await served.ask("{ hello }", headers={"x-forwarded-for": address})
                assert json.loads(answer.text)["extensions"]["cost"]["remaining"] == expected

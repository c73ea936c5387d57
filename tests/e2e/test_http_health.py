"""What operators ask: whether the process lives, whether it can work, what it has done. And the playground's files."""

import hashlib
import json
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from api.playground import STATIC
from projections.documents.port import Row, Value
from projections.runtime.deadletters import DEAD_LETTERS, source_of
from tests.edge_kit import Edge, edge


@pytest_asyncio.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    async with edge(tmp_path_factory.mktemp("edge")) as served:
        yield served


async def test_process_lives_and_is_ready(served: Edge) -> None:
    assert (await served.client.get("/livez")).json() == {"status": "ok"}
    ready = await served.client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "log": "ok", "documents": "ok", "projections": "ok"}


async def test_process_without_its_documents_lives_and_is_not_ready(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with edge(tmp_path_factory.mktemp("edge")) as served:
        await served.services.documents.close()
        ready = await served.client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["log"] == "ok"
        assert ready.json()["documents"] != "ok"
        assert (await served.client.get("/livez")).status_code == 200
        assert (await served.ask("{ hello }")).status_code == 200


async def test_a_degraded_projection_is_told_and_turns_nobody_away(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with edge(tmp_path_factory.mktemp("edge")) as served:
        documents = served.services.documents
        letter: dict[str, Value] = {
            "source": source_of(documents, "posts"),
            "family": "posts",
            "shard": 3,
            "position": 7,
        }
        await documents.put(DEAD_LETTERS, [Row("letter", 7, letter)])
        ready = await served.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        assert ready.json()["degraded"] == "posts of shard 3 has 1 dead letters"


async def test_metrics_count_operations_by_closed_labels(served: Edge) -> None:
    async def counts() -> dict[str, float]:
        text = (await served.client.get("/metrics")).text
        return {name: float(value) for name, value in re.findall(r"^(tidings_\S+) (\S+)$", text, re.MULTILINE)}

    before = await counts()
    await served.ask("query OfAPerson { hello }")
    await served.ask("{ nope }")
    await served.ask("{ refused }")
    await served.client.get("/somewhere/else")
    after = await counts()
    for series, added in {
        'tidings_operations_total{outcome="ok",type="query"}': 1,
        'tidings_operations_total{outcome="error",type="query"}': 1,
        'tidings_operations_total{outcome="refused",type="unknown"}': 1,
        'tidings_http_requests_total{method="GET",path="other",status="404"}': 1,
    }.items():
        assert after[series] - before.get(series, 0) == added, series
    assert not any("OfAPerson" in series or "somewhere" in series for series in after)


async def test_playground_is_served_whole_under_a_policy_that_reaches_no_other_host(served: Edge) -> None:
    page = await served.client.get("/graphql", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    nonce = re.search(r"script-src 'nonce-([\w-]+)'", policy)
    assert nonce
    assert f'nonce="{nonce[1]}"' in page.text
    assert "unsafe-inline" not in policy.split("style-src")[0]
    assert not re.search(r"https?://", page.text)
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(sources) >= 7
    for source in sources:
        assert (await served.client.get(f"/{source}")).status_code == 200, source
    again = await served.client.get("/graphql", headers={"accept": "text/html"})
    assert nonce[1] not in again.text


async def test_policy_takes_no_host_that_could_be_a_directive(served: Edge) -> None:
    page = await served.client.get("/graphql", headers={"accept": "text/html", "host": "x; script-src *"})
    assert page.status_code == 400 or "script-src *" not in page.headers["content-security-policy"]


async def test_root_leads_to_the_playground_and_other_paths_nowhere(served: Edge) -> None:
    assert (await served.client.get("/")).headers["location"] == "/graphql"
    missing = await served.client.get("/nothing")
    assert missing.status_code == 404
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/", "/static/vendor"):
        assert (await served.client.get(path)).status_code == 404, path


def test_vendored_files_are_the_packages_own() -> None:
    manifest = json.loads((STATIC / "vendor" / "manifest.json").read_text())
    licences = (STATIC / "vendor" / "LICENSES.txt").read_text()
    for entry in manifest["files"]:
        content = (STATIC / "vendor" / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"], entry["file"]
        assert f"== {entry['package']}-{entry['version']}" in licences
    listed = {entry["file"] for entry in manifest["files"]} | {"manifest.json", "LICENSES.txt"}
    assert {path.name for path in (STATIC / "vendor").iterdir()} == listed


async def test_what_is_switched_off_is_not_there(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with edge(tmp_path_factory.mktemp("edge"), playground=False, metrics=False, introspection=False) as served:
        page = await served.client.get("/graphql", headers={"accept": "text/html"})
        assert page.status_code == 406
        assert (await served.client.get("/metrics")).status_code == 404
        assert (await served.client.get("/static/playground.js")).status_code == 404
        for query in ("{ __schema { types { name } } }", '{ __type(name: "Query") { name } }'):
            assert (await served.ask(query)).json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
        assert (await served.ask("{ __typename }")).json()["data"] == {"__typename": "Query"}
        near = (await served.ask("{ helo }")).json()["errors"][0]["message"]
        assert "hello" not in near


async def test_pages_of_listed_origins_may_ask(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with edge(tmp_path_factory.mktemp("edge"), allowed_origins="https://app.example") as served:
        for origin, allowed in (("https://app.example", "https://app.example"), ("https://evil.example", None)):
            asked = {
                "origin": origin,
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type",
            }
            preflight = await served.client.request("OPTIONS", "/graphql", headers=asked)
            assert preflight.headers.get("access-control-allow-origin") == allowed
            answer = await served.ask("{ hello }", headers={"origin": origin})
            assert answer.headers.get("access-control-allow-origin") == allowed

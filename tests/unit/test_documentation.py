"""What the documents promise is there."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from api.playground import STATIC
from api.preparing import Preparer
from api.schema.schema import schema
from api.settings import load_settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_test_that_an_invariant_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "invariants.md").read_text()))
    written = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    assert len(named) > 50
    assert {name for name in named if f"def {name}(" not in written} == set()


def test_every_dependency_has_its_reason() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "dependencies.md").read_text(), re.MULTILINE)
    explained = {name.strip() for row in rows for name in re.sub(r"\([^)]*\)", "", row).split(",")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = project["project"]["dependencies"] + [
        one for group in project["dependency-groups"].values() for one in group
    ]
    asked += (ROOT / "requirements" / "servers.in").read_text().split()
    names = {re.split(r"[=<>]", one)[0] for one in asked}
    names |= json.loads((ROOT / "tests" / "js" / "package.json").read_text())["dependencies"].keys()
    names |= {file["package"] for file in json.loads((STATIC / "vendor" / "manifest.json").read_text())["files"]}
    names |= set(
        re.findall(
            r"<dependency>.*?<artifactId>([^<]+)", (ROOT / "tests" / "servers" / "pom.xml").read_text(), re.DOTALL
        )
    )
    assert len(names) > 40
    assert names - explained == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_example_of_the_api_fits_the_schema() -> None:
    fenced = re.compile(r"^```graphql\n(.*?)^```", re.MULTILINE | re.DOTALL)
    examples = [text for page in PAGES for text in fenced.findall(page.read_text())]
    assert len(examples) > 1
    for example in examples:
        Preparer(schema._schema, load_settings()).prepare(example)


def test_every_figure_that_is_told_is_measured() -> None:
    told = set(re.findall(r"^\| `([a-z0-9_.]+)`", (ROOT / "docs" / "performance.md").read_text(), re.MULTILINE))
    measured = "\n".join(path.read_text() for path in (ROOT / "benchmarks").glob("*.py"))
    assert len(told) > 15
    assert {name for name in told if f'"{name}"' not in measured} == set()

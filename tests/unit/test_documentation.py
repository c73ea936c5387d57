"""What the documents promise is there."""

import re
from pathlib import Path

import pytest

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

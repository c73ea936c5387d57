"""What is asked for of a field, however it is spelt; nothing is read for what is not."""

import pytest
import strawberry

from api.schema.consistency import Info
from api.schema.fields import asks_for


@strawberry.type
class Thing:
    cheap: str
    dear: str

    @strawberry.field
    def thing(self) -> "Thing":
        return self


@strawberry.type
class Query:
    @strawberry.field
    def thing(self, info: Info) -> Thing:
        return Thing(cheap="cheap", dear="yes" if asks_for(info, "dear") else "no")


SCHEMA = strawberry.Schema(Query)


@pytest.mark.parametrize(
    "query",
    [
        "{ thing { dear } }",
        "{ thing { renamed: dear } }",
        "{ thing { ... { dear } } }",
        "{ thing { ... on Thing { dear } } }",
        "{ thing { ...A } } fragment A on Thing { ...B cheap } fragment B on Thing { dear }",
        "{ thing { cheap } thing { dear } }",
        "{ thing { dear @include(if: true) } }",
    ],
)
def test_what_is_asked_for_is_found(query: str) -> None:
    answer = SCHEMA.execute_sync(query)
    assert answer.errors is None
    assert answer.data is not None
    assert "yes" in answer.data["thing"].values()


@pytest.mark.parametrize(
    "query",
    [
        "{ thing { thing { dear } } }",
        "{ thing { dear: cheap } }",
        "{ thing { ...A ...A } } fragment A on Thing { cheap thing { ...B } } fragment B on Thing { dear }",
    ],
)
def test_what_is_asked_for_elsewhere_is_not(query: str) -> None:
    answer = SCHEMA.execute_sync(query)
    assert answer.errors is None
    assert "yes" not in str(answer.data)

"""What operations cost, and what is left of a client's hour."""

import pytest
from graphql import parse
from hypothesis import given
from hypothesis import strategies as st

from api.limits import budget
from api.limits.budget import Budget, network
from api.limits.cost import CostPlanner, mutation_points
from tests.edge_kit import SCHEMA


def cost(document: str, **variables: object) -> tuple[int, int]:
    """(nodes, points) of a document's only operation."""
    parsed = parse(document)
    plan = CostPlanner(SCHEMA._schema, parsed).plan(parsed.definitions[0])  # type: ignore[arg-type]
    nodes = plan.nodes(variables)
    return nodes, plan.points(nodes)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{ hello }", (0, 1)),
        ("{ things { nodes { id } } }", (20, 1)),
        ("{ things(first: 100) { nodes { id } } }", (100, 1)),
        ("{ things(first: 100) { nodes { things(first: 2) { nodes { id } } } } }", (300, 3)),
        ("{ a: things(first: 100) { nodes { id } } b: things(first: 1) { nodes { id } } }", (101, 2)),
        ("{ things(first: 3) { nodes { ...A } } } fragment A on Thing { things(first: 2) { nodes { id } } }", (9, 1)),
        ("{ ... { things(first: 3) { nodes { ... on Thing { id } } } } }", (3, 1)),
        ('{ nodes(ids: ["a", "b"]) { things(first: 5) { nodes { id } } } }', (12, 1)),
        (f"{{ nodes(ids: {'9' * 5_000}) {{ id }} }}", (100, 1)),
        (f"query ($id: ID = {'9' * 5_000}) {{ nodes(ids: [$id]) {{ id }} }}", (1, 1)),
        ("{ things(first: -5) { nodes { id } } }", (0, 1)),
        ("{ things(first: 2000000) { nodes { id } } }", (100, 1)),
        ("{ __schema { types { name } } }", (500, 5)),
        ('mutation { createThing(name: "a") }', (0, 8)),
        (
            'mutation { a: createThing(name: "a") b: createThing(name: "b") ...M } fragment M on Mutation { signIn }',
            (0, 24),
        ),
        ("subscription { count }", (0, 1)),
    ],
)
def test_cost_of_an_operation(document: str, expected: tuple[int, int]) -> None:
    assert cost(document) == expected


def test_page_size_may_be_a_variable() -> None:
    document = "query ($n: Int = 7) { things(first: $n) { nodes { things(first: $n) { nodes { id } } } } }"
    assert cost(document) == (7 + 49, 1)
    assert cost(document, n=100) == (10_100, 101)
    assert cost(document, n=None) == (7 + 49, 1)
    assert cost(document, n="many") == (7 + 49, 1)
    ids = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert cost(ids, ids=["a"] * 30) == (30, 1)
    assert cost(ids, ids=["a"] * 30_000) == (100, 1)


@given(
    st.recursive(
        st.just("id"),
        lambda inner: st.builds("things(first: {}) {{ nodes {{ {} }} }}".format, st.integers(0, 100), inner),
    )
)
def test_variables_cost_what_literals_cost(selection: str) -> None:
    """The same sizes, once written out and once given."""
    if selection == "id":
        return
    sizes = [part.split(")")[0] for part in selection.split("first: ")[1:]]
    declared = ", ".join(f"$v{n}: Int!" for n in range(len(sizes)))
    given_ = selection
    for n, size in enumerate(sizes):
        given_ = given_.replace(f"first: {size})", f"first: $v{n})", 1)
    variables = {f"v{n}": int(size) for n, size in enumerate(sizes)}
    assert cost(f"{{ {selection} }}") == cost(f"query ({declared}) {{ {given_} }}", **variables)


@pytest.mark.parametrize(
    ("name", "points"),
    [("createPost", 8), ("likePost", 8), ("registerAccount", 8), ("editPost", 7), ("changeHandle", 7), ("refreshSession", 7),
     ("deletePost", 6), ("unlikePost", 6), ("undoRepost", 6), ("unfollowUser", 6), ("signOut", 6), ("signIn", 8)],
)  # fmt: skip
def test_mutations_cost_by_what_they_do(name: str, points: int) -> None:
    assert mutation_points(name) == points


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000_000

    def __call__(self) -> int:
        return self.now


def test_budget_is_spent_whole_or_not_and_comes_back_with_the_next_window() -> None:
    clock = Clock()
    spent = Budget(limit=10, window=60, now=clock)
    assert spent.take("a", 6)
    assert not spent.take("a", 5)
    assert spent.standing("a").used == 6
    assert spent.take("a", 4)
    assert spent.standing("a").remaining == 0
    assert spent.take("b", 10)
    clock.now += 59_999_999
    assert not spent.take("a", 1)
    clock.now += 1
    assert spent.standing("a").remaining == 10
    assert spent.take("a", 10)


def test_no_limit_counts_and_refuses_nothing() -> None:
    free = Budget(limit=0, window=60, now=Clock())
    assert all(free.take("a", 10**9) for _ in range(3))
    assert free.standing("a").limit == 0


def test_clients_that_are_counted_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_KEYS", 3)
    counted = Budget(limit=1, window=60, now=Clock())
    for key in "abcd":
        assert counted.take(key, 1)
    assert not counted.take("d", 1)
    assert counted.take("a", 1)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", "unknown"),
        (None, "unknown"),
        ("not an address", "unknown"),
    ],
)
def test_guests_are_counted_by_network(address: str | None, expected: str) -> None:
    assert network(address) == expected

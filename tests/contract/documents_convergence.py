"""The documents' contract: whatever the batches, their repetition and the order of the shards, the documents end up the same."""

from collections import defaultdict
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from projections.documents.port import Change, Doc, Documents
from tests.contract.documents_kit import STATE

SHARDS = 3
OWNER = 0
"""The shard whose events set and unset fields; the others only count, in fields where their order cannot matter."""

Step = tuple[str, str, Any]
"""Kind, field, value."""

Model = dict[str, Any]

NAMES = ["a", "b", "o.x", "o.y.z", "o", "o.y"]
values = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "$set", "a.b"]) | st.just([1, "$x"])
objects = st.dictionaries(st.sampled_from(["x", "y"]), st.integers(0, 3) | st.just({"z": 1}), max_size=2)
own_steps = st.one_of(
    st.tuples(st.just("set"), st.sampled_from(NAMES[:4]), values),
    st.tuples(st.just("set"), st.sampled_from(NAMES[4:]), objects),
    st.tuples(st.just("unset"), st.sampled_from(NAMES), st.none()),
    st.tuples(st.sampled_from(["inc", "max", "min"]), st.sampled_from(NAMES[:4]), st.integers(-9, 9)),
)
shared_steps = st.tuples(
    st.sampled_from(["inc", "max", "min"]), st.sampled_from(["", "deep."]), st.integers(-9, 9)
).map(lambda step: (step[0], f"shared.{step[1]}{step[0]}", step[2]))


def _events(steps: st.SearchStrategy[Step]) -> st.SearchStrategy[list[tuple[str, list[Step]]]]:
    """A shard's events: each touches one of two documents, in a change per step."""
    return st.lists(st.tuples(st.sampled_from(["p", "q"]), st.lists(steps, max_size=3)), max_size=9)


@st.composite
def deliveries(draw: st.DrawFn, lengths: list[int]) -> list[tuple[int, int, int]]:
    """(shard, first, end) of batches that reach every shard's end and leave no gap, old ones among them."""
    reached = [0] * len(lengths)
    batches: list[tuple[int, int, int]] = []
    while any(done < length for done, length in zip(reached, lengths, strict=True)):
        shard = draw(st.sampled_from([n for n, length in enumerate(lengths) if length]))
        first = draw(st.integers(0, reached[shard]))
        # No batch is empty, so that the draw comes to its end.
        end = draw(st.integers(first + 1, lengths[shard])) if first < lengths[shard] else lengths[shard]
        if first < end:
            batches.append((shard, first, end))
        reached[shard] = max(reached[shard], end)
    return batches


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[list[tuple[str, list[Step]]]], list[tuple[int, int, int]]]:
    shards = [draw(_events(own_steps if shard == OWNER else shared_steps)) for shard in range(SHARDS)]
    return shards, draw(deliveries([len(events) for events in shards]))


def _change(step: Step) -> Change:
    kind, field, value = step
    match kind:
        case "set":
            return Change(set={field: value})
        case "unset":
            return Change(unset=(field,))
        case "inc":
            return Change(inc={field: value})
        case "max":
            return Change(max={field: value})
        case _:
            return Change(min={field: value})


def _alter(model: Model, step: Step) -> None:
    """The port's words in plain Python, apart from any adapter."""
    kind, field, value = step
    *outer, name = field.split(".")
    for part in outer:
        if not isinstance(model.get(part), dict):
            if kind == "unset":
                return
            model[part] = {}
        model = model[part]
    before = model.get(name)
    counted = type(before) in (int, float)
    if kind == "unset":
        model.pop(name, None)
    elif kind == "set":
        model[name] = _copied(value)
    elif kind == "inc":
        model[name] = before + value if counted else value
    elif kind == "max":
        model[name] = max(before, value) if counted else value
    else:
        model[name] = min(before, value) if counted else value


def _copied(value: Any) -> Any:
    return {key: _copied(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def _expected(shards: list[list[tuple[str, list[Step]]]]) -> dict[str, Model]:
    documents: dict[str, Model] = {}
    for events in shards:
        for id, steps in events:
            model = documents.setdefault(id, {})
            for step in steps:
                _alter(model, step)
    return documents


_examples = count()


@pytest.mark.slow
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories())
async def test_any_delivery_of_the_same_events_gives_the_same_documents(
    documents: Documents, history: tuple[list[list[tuple[str, list[Step]]]], list[tuple[int, int, int]]]
) -> None:
    shards, batches = history
    # Each example has documents of its own in the same store.
    example = f"{next(_examples):05}"
    for shard, first, end in batches:
        changes: dict[str, list[tuple[int, tuple[Change, ...]]]] = defaultdict(list)
        for position, (id, steps) in enumerate(shards[shard][first:end], start=first + 1):
            changes[id].append((position, tuple(_change(step) for step in steps)))
        await documents.apply(STATE, [Doc(example + id, shard, tuple(own)) for id, own in changes.items()])
    found = await documents.get(STATE, [example + id for id in ("p", "q")])
    assert found == {example + id: model for id, model in _expected(shards).items()}

"""Every fold takes every event, redacted ones too, and a redacted one gives what a purge would have left."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.events import REGISTRY, Event
from projections.families import ALL
from projections.folding import Family
from tests.unit.folded import folded, happened

KINDS = sorted(REGISTRY.values(), key=lambda kind: (kind.name, kind.schema_version))


def events(kind: type[Event], *, redacted: bool) -> st.SearchStrategy[Event]:
    """Any event of a kind, with everything that was typed or with nothing of it."""

    def field(info: msgspec.inspect.Field) -> st.SearchStrategy[Any]:
        if info.encode_name == "private" and redacted:
            return st.none()
        return _values(info.type)

    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    return st.builds(kind, **{own.name: field(own) for own in info.fields})


PLAIN: dict[type[msgspec.inspect.Type], st.SearchStrategy[Any]] = {
    msgspec.inspect.StrType: st.sampled_from(["a", "b", "c", "PUBLIC", "DIRECT"]),
    msgspec.inspect.IntType: st.integers(0, 2**50),
    msgspec.inspect.BoolType: st.booleans(),
    msgspec.inspect.NoneType: st.none(),
}


def _values(kind: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case msgspec.inspect.IntType(ge=int(least)):
            return st.integers(least, 2**50)
        case msgspec.inspect.UnionType(types=types):
            return st.one_of(*map(_values, types))
        case msgspec.inspect.VarTupleType(item_type=item):
            return st.lists(_values(item), max_size=3, unique=True).map(tuple)
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{own.name: _values(own.type) for own in fields})
    return PLAIN[type(kind)]


def any_event(*, redacted: bool) -> st.SearchStrategy[Event]:
    return st.one_of([events(kind, redacted=redacted) for kind in KINDS])


@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
@given(log=st.lists(st.one_of(any_event(redacted=True), any_event(redacted=False)), max_size=12))
def test_every_fold_takes_every_event(family: Family, log: list[Event]) -> None:
    first, second = folded(family, happened(*log)), folded(family, happened(*log))
    assert first == second


@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
@given(event=any_event(redacted=False))
def test_what_was_typed_stands_in_its_own_family_alone(family: Family, event: Event) -> None:
    private = getattr(event, "private", None)
    if private is None or family.name in {"accounts", "posts", "search", "sessions"}:
        return
    typed = msgspec.structs.replace(event, private=None)
    assert folded(family, happened(event)) == folded(family, happened(typed))


@pytest.mark.parametrize("family", ALL, ids=lambda family: family.name)
def test_families_are_whole(family: Family) -> None:
    assert all(collection.family == family.name for collection in family.collections)
    assert len({collection.name for collection in family.collections}) == len(family.collections)
    assert set(family.follows) <= {other.name for other in ALL}
    assert family.folds

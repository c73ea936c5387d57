"""The codec: rows, what is sealed in them, and what was stored long ago."""

import random
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import events
from domain.envelope import Metadata, Recorded
from domain.errors import Code, LogError, Refusal, UnknownEventError
from domain.events import REGISTRY, Event, event
from domain.log.codec import COLUMNS, StoredEvent, decode, encode
from domain.upcasters import UPCASTERS, Raw, chain

KEY = bytes(range(32))
ID = "a" * 26


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    mood: str = "even"


@event("test.remarked", 3)
class Remarked(Event, frozen=True, kw_only=True):
    """v1 had ``body`` in the open, v2 sealed it as ``text``, v3 has ``about`` for v2's ``topic``."""

    about: str
    tags: tuple[str, ...] = ()
    private: Secret | None = None


@pytest.fixture(autouse=True)
def upcasters() -> Iterator[None]:
    def to_2(raw: Raw) -> Raw:
        return {"topic": raw["topic"], "tags": [], "private": {"text": raw["body"]}}

    def to_3(raw: Raw) -> Raw:
        return {"about": raw.pop("topic"), **raw}

    UPCASTERS["test.remarked", 1] = to_2
    UPCASTERS["test.remarked", 2] = to_3
    yield
    del UPCASTERS["test.remarked", 1], UPCASTERS["test.remarked", 2]


def recorded(what: Event, **changes: object) -> Recorded:
    base = Recorded(
        event_id="attempt-0",
        stream=f"post-{ID}",
        version=1,
        event=what,
        metadata=Metadata(command_id="c", actor=ID),
        occurred_at=5,
        recorded_at=6,
        attempt_id="attempt",
        generation=1,
        shard=0,
        position=9,
    )
    return msgspec.structs.replace(base, **changes)


def stored(what: Event) -> StoredEvent:
    return encode(recorded(what), subject=ID, key=KEY)


POST = events.PostCreated(
    post=ID,
    author=ID,
    root=ID,
    facets=(events.Facet(kind="tag", byte_start=0, byte_end=4, grapheme_start=0, grapheme_end=4, target="tag"),),
    tags=("tag",),
    private=events.PostPrivate(text="#tag and then some"),
)


def test_a_row_gives_back_the_event() -> None:
    assert decode(stored(POST), {ID: KEY}) == recorded(POST)


def test_what_is_private_stands_nowhere_in_the_row_but_sealed() -> None:
    row = stored(POST)
    assert b"then some" not in b"".join((row.payload, row.metadata, row.sealed or b""))
    assert b"private" not in row.payload
    assert (row.subject, row.type, row.schema_version) == (ID, "post.created", 1)


@pytest.mark.parametrize("keys", [{}, {ID: None}, {"another": KEY}])
def test_without_its_key_the_private_part_is_none(keys: dict[str, bytes | None]) -> None:
    assert decode(stored(POST), keys) == recorded(msgspec.structs.replace(POST, private=None), redacted=True)


def test_what_does_not_open_under_a_live_key_is_an_error_not_a_redaction() -> None:
    with pytest.raises(LogError):
        decode(stored(POST), {ID: b"x" * 32})
    moved = msgspec.structs.replace(stored(POST), event_id="attempt-1")
    with pytest.raises(LogError):
        decode(moved, {ID: KEY})


def test_an_event_without_a_private_part_names_no_subject() -> None:
    for what in (msgspec.structs.replace(POST, private=None), events.PostLiked(post=ID, author=ID, actor=ID)):
        row = stored(what)
        assert (row.sealed, row.subject) == (None, None)
        assert decode(row, {}) == recorded(what)


def test_sealing_needs_a_subject_and_a_live_key() -> None:
    with pytest.raises(ValueError, match="names no subject"):
        encode(recorded(POST), subject=None, key=None)
    with pytest.raises(Refusal) as refused:
        encode(recorded(POST), subject=ID, key=None)
    assert refused.value.code == Code.FORBIDDEN


def test_a_row_keeps_its_columns_in_order() -> None:
    row = stored(POST)
    assert StoredEvent(*msgspec.structs.astuple(row)) == row
    assert COLUMNS[:3] == ("generation", "shard", "position")


def test_a_rows_size_grows_with_what_it_holds() -> None:
    longer = msgspec.structs.replace(POST, private=events.PostPrivate(text="x" * 1_000), tags=("y" * 500,))
    assert stored(longer).size - stored(POST).size > 1_400
    assert stored(POST).size > sum(len(part) for part in (stored(POST).payload, stored(POST).metadata))


@given(
    st.builds(
        Recorded,
        event_id=st.text(),
        stream=st.text(),
        version=st.integers(1, 2**40),
        event=st.builds(
            Remarked,
            about=st.text(),
            tags=st.lists(st.text()).map(tuple),
            private=st.none() | st.builds(Secret, text=st.text(), mood=st.text()),
        ),
        metadata=st.builds(Metadata, command_id=st.text(), actor=st.none() | st.text(), correlation_id=st.text()),
        occurred_at=st.integers(0, 2**53),
        recorded_at=st.integers(0, 2**53),
        attempt_id=st.text(),
        generation=st.integers(1, 100),
        shard=st.integers(0, 1023),
        position=st.integers(1, 2**44),
    )
)
def test_any_event_survives_the_row(anything: Recorded) -> None:
    assert decode(encode(anything, subject="ada", key=KEY), {"ada": KEY}) == anything


def old(schema_version: int, payload: bytes, **changes: object) -> StoredEvent:
    row = encode(recorded(Remarked(about="x")), subject=None, key=None)
    return msgspec.structs.replace(row, schema_version=schema_version, payload=payload, **changes)


def test_old_versions_are_brought_up_step_by_step() -> None:
    first = old(1, b'{"topic":"tea","body":"hot"}')
    assert decode(first, {}).event == Remarked(about="tea", private=Secret(text="hot"))


def test_upcasters_get_what_was_sealed() -> None:
    sealed = encode(recorded(Remarked(about="x", private=Secret(text="hot", mood="odd"))), subject=ID, key=KEY)
    second = msgspec.structs.replace(sealed, schema_version=2, payload=b'{"topic":"tea","tags":["a"]}')
    expected = Remarked(about="tea", tags=("a",), private=Secret(text="hot", mood="odd"))
    assert decode(second, {ID: KEY}).event == expected
    assert decode(second, {}).event == msgspec.structs.replace(expected, private=None)


def test_unknown_types_and_newer_versions_halt() -> None:
    with pytest.raises(UnknownEventError, match=r"test\.unheard_of"):
        decode(msgspec.structs.replace(stored(POST), type="test.unheard_of"), {})
    with pytest.raises(UnknownEventError, match="newer"):
        decode(old(4, b"{}"), {})


def test_a_missing_step_halts() -> None:
    with pytest.raises(UnknownEventError, match="no step from v2"):
        chain("x", 1, 3, {("x", 1): dict})
    assert chain("x", 3, 3, {}) == ()


def test_every_older_version_has_its_steps() -> None:
    for name, version in REGISTRY:
        chain(name, 1, version, UPCASTERS)


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"{}", b'{"about":3}', b'{"about":"x","tags":"y"}'])
def test_a_damaged_payload_is_the_logs_error(payload: bytes) -> None:
    with pytest.raises(LogError, match="cannot be read"):
        decode(old(3, payload), {})


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"topic":"tea"}', b'{"topic":3,"body":"x"}'])
def test_a_damaged_old_payload_is_the_logs_error(payload: bytes) -> None:
    with pytest.raises(LogError, match="cannot be read"):
        decode(old(1, payload), {})


def test_random_bytes_never_raise_anything_else() -> None:
    source = random.Random(3)
    for _ in range(300):
        for column in ("payload", "metadata", "sealed"):
            changed = msgspec.structs.replace(stored(POST), **{column: source.randbytes(source.randrange(40))})
            with pytest.raises(LogError):
                decode(changed, {ID: KEY})

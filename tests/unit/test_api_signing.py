"""Tokens verify where they were made to, and nowhere else."""

import base64
import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.signing import MAX_TOKEN, Purpose, Signer
from domain.errors import Code, Refusal

KEYS = [b"k" * 32, b"l" * 32]
SIGNER = Signer(KEYS, "log")
names = st.text(max_size=20)
sorts = st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20)
vectors = st.dictionaries(st.integers(0, 1023), st.integers(0, 2**64 - 1), max_size=12)


def refused(read: Callable[..., object], *arguments: object) -> None:
    with pytest.raises(Refusal) as refusal:
        read(*arguments)
    assert refusal.value.code == Code.CURSOR_INVALID


@given(names, sorts, names)
def test_cursor_gives_back_what_was_signed(name: str, sort: str | int, id_: str) -> None:
    assert SIGNER.read_cursor(name, SIGNER.sign_cursor(name, sort, id_)) == (sort, id_)


@given(st.sampled_from(Purpose), vectors, names)
def test_vector_gives_back_what_was_signed(purpose: Purpose, positions: dict[int, int], subject: str) -> None:
    assert SIGNER.read_vector(purpose, SIGNER.sign_vector(purpose, positions, subject), subject) == positions


@given(names, names, sorts, names)
def test_cursor_is_good_in_its_own_list_alone(name: str, other: str, sort: str | int, id_: str) -> None:
    token = SIGNER.sign_cursor(name, sort, id_)
    if name != other:
        refused(SIGNER.read_cursor, other, token)
    for purpose in Purpose:
        refused(SIGNER.read_vector, purpose, token, name)


@given(vectors, names, names)
def test_vector_is_good_for_its_purpose_subject_and_log_alone(
    positions: dict[int, int], subject: str, other: str
) -> None:
    token = SIGNER.sign_vector(Purpose.LIVE, positions, subject)
    refused(SIGNER.read_vector, Purpose.CONSISTENCY, token, subject)
    refused(Signer(KEYS, "other log").read_vector, Purpose.LIVE, token, subject)
    refused(SIGNER.read_cursor, subject, token)
    if subject != other:
        refused(SIGNER.read_vector, Purpose.LIVE, token, other)


@given(st.text(max_size=200))
def test_any_text_is_refused_and_raises_nothing_else(text: str) -> None:
    refused(SIGNER.read_cursor, "posts", text)
    refused(SIGNER.read_vector, Purpose.LIVE, text)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    text = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    refused(SIGNER.read_cursor, "posts", text)


@given(names, sorts, names, st.data())
def test_any_change_of_a_cursor_is_refused(name: str, sort: str | int, id_: str, data: st.DataObject) -> None:
    token = SIGNER.sign_cursor(name, sort, id_)
    at = data.draw(st.integers(0, len(token) - 1))
    char = data.draw(st.sampled_from("ABab01-_=+/ \n").filter(lambda char: char != token[at]))
    refused(SIGNER.read_cursor, name, token[:at] + char + token[at + 1 :])
    refused(SIGNER.read_cursor, name, token[:at])
    refused(SIGNER.read_cursor, name, token + char)


def test_key_is_retired_by_moving_it_back_and_then_out() -> None:
    token = Signer([b"old" * 12], "log").sign_cursor("posts", 1, "a")
    assert Signer([b"new" * 12, b"old" * 12], "log").read_cursor("posts", token) == (1, "a")
    refused(Signer([b"new" * 12], "log").read_cursor, "posts", token)
    assert Signer([b"new" * 12], "log").read_cursor(
        "posts", Signer([b"new" * 12, b"old" * 12], "log").sign_cursor("posts", 1, "a")
    )


def test_tokens_are_short_and_long_ones_are_not_read() -> None:
    assert len(SIGNER.sign_cursor("posts/abc", 1_795_239_356_000_000, "a" * 26)) <= 72
    assert len(SIGNER.sign_vector(Purpose.CONSISTENCY, dict.fromkeys(range(8), 1 << 44 | 10**9))) <= 132
    assert len(SIGNER.sign_vector(Purpose.LIVE, dict.fromkeys(range(1024), 2**64 - 1))) <= MAX_TOKEN
    refused(SIGNER.read_cursor, "posts", "A" * (MAX_TOKEN + 1))


def test_what_a_token_is_bound_to_does_not_stand_in_it() -> None:
    secret = os.urandom(8).hex()
    token = SIGNER.sign_vector(Purpose.LIVE, {1: 1}, secret)
    assert secret.encode() not in base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))

"""Handles and addresses."""

import pytest

from domain.errors import Code
from domain.limits import DEFAULT_LIMITS
from domain.names import email_problems, fold_email, fold_handle, handle_problems, handle_skeleton


@pytest.mark.parametrize(("one", "other"), [("bob10", "bobl0"), ("b0b", "bob"), ("modern", "rnodern")])
def test_look_alikes_have_one_skeleton(one: str, other: str) -> None:
    assert handle_skeleton(one) == handle_skeleton(other)


@pytest.mark.parametrize(
    ("handle", "code"),
    [
        ("ab", Code.TOO_SHORT),
        ("a" * 31, Code.TOO_LONG),
        ("a-b-c", Code.INVALID),
        ("аda", Code.INVALID),
        ("a b c", Code.INVALID),
        ("ada\n", Code.INVALID),
    ],
)
def test_bad_handles(handle: str, code: Code) -> None:
    assert [problem.code for problem in handle_problems(handle, DEFAULT_LIMITS)] == [code]


def test_a_handle_is_folded() -> None:
    assert fold_handle(" @Ada_1 ") == "ada_1"
    assert handle_problems("ada_1", DEFAULT_LIMITS) == []


@pytest.mark.parametrize("email", ["", "@", "a@", "@b", "ab", "a b@c.d", "a\x00@c.d"])
def test_bad_addresses(email: str) -> None:
    assert [problem.code for problem in email_problems(fold_email(email), DEFAULT_LIMITS)] == [Code.INVALID]


def test_addresses_differ_not_by_case() -> None:
    assert fold_email(" Ada@Example.ORG ") == "ada@example.org"

"""Passwords, access tokens and refresh tokens."""

import asyncio
import base64
import json
import os
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from api.auth.access import AccessTokens, Viewer, bearer
from api.auth.passwords import Passwords
from api.auth.refresh import mint_refresh, read_refresh
from api.signing import derive_key
from domain.errors import Code, Refusal
from domain.ids import mint_id
from tests.edge_kit import eventually

KEY = b"k" * 32
ACCOUNT, SESSION = (mint_id(slot, os.urandom) for slot in (1, 2))
NOW = 1_795_000_000_000_000


def tokens(*keys: bytes, now: int = NOW) -> AccessTokens:
    return AccessTokens(keys or (KEY,), life=600, now=lambda: now)


def code_of(read: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(Refusal) as refusal:
        read(*arguments)
    return refusal.value.code


def test_token_names_its_account_and_session_until_it_expires() -> None:
    token, expires = tokens().mint(ACCOUNT, SESSION)
    assert expires == NOW + 600_000_000
    assert tokens(now=expires - 1).verify(token) == Viewer(ACCOUNT, SESSION, expires)
    assert code_of(tokens(now=expires).verify, token) == Code.EXPIRED


def test_token_of_another_key_is_forged_and_one_of_a_retired_key_is_not() -> None:
    token, _ = tokens(b"o" * 32).mint(ACCOUNT, SESSION)
    assert code_of(tokens().verify, token) == Code.UNAUTHENTICATED
    assert tokens(KEY, b"o" * 32).verify(token).account == ACCOUNT


def test_expired_token_of_another_key_is_forged() -> None:
    """Whoever has no key learns nothing, not even that a token was once good."""
    token, expires = tokens(b"o" * 32).mint(ACCOUNT, SESSION)
    assert code_of(tokens(now=expires + 1).verify, token) == Code.UNAUTHENTICATED


def forged() -> Iterator[tuple[str, str]]:
    def plain(part: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()

    claims = {"sub": ACCOUNT, "sid": SESSION, "exp": NOW // 1_000_000 + 600}
    key = OctKey.import_key(derive_key(KEY, "access"))
    for algorithm in ("none", "NONE", "None"):
        yield f"algorithm {algorithm}", f"{plain({'alg': algorithm, 'typ': 'JWT'})}.{plain(claims)}."
    yield "another algorithm", jwt.encode({"alg": "HS512"}, claims, key, algorithms=["HS512"])
    yield "the undivided key", jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(KEY))
    changes: dict[str, dict[str, object]] = {
        "no account": {"sub": None},
        "an account that is no id": {"sub": "../../etc"},
        "a session that is no id": {"sid": 7},
        "no end": {"exp": None},
        "an end that is no number": {"exp": "soon"},
    }
    for name, change in changes.items():
        changed = {claim: value for claim, value in {**claims, **change}.items() if value is not None}
        yield name, jwt.encode({"alg": "HS256"}, changed, key)


@pytest.mark.parametrize("token", [token for _, token in forged()], ids=[name for name, _ in forged()])
def test_forged_token_is_refused(token: str) -> None:
    assert code_of(tokens().verify, token) == Code.UNAUTHENTICATED


@given(st.text(max_size=300))
def test_any_text_is_no_token_and_raises_nothing_else(text: str) -> None:
    assert code_of(tokens().verify, text) == Code.UNAUTHENTICATED
    assert code_of(read_refresh, text) == Code.UNAUTHENTICATED


@given(st.data())
def test_any_change_of_a_token_is_refused(data: st.DataObject) -> None:
    token, _ = tokens().mint(ACCOUNT, SESSION)
    at = data.draw(st.integers(0, len(token) - 1))
    char = data.draw(st.sampled_from("ABab01-_=.").filter(lambda char: char != token[at]))
    assert code_of(tokens().verify, token[:at] + char + token[at + 1 :]) == Code.UNAUTHENTICATED
    assert code_of(tokens().verify, token[:at]) == Code.UNAUTHENTICATED


def test_authorization_header() -> None:
    assert bearer(None) is None
    assert bearer("") is None
    assert bearer("Bearer abc") == bearer("bearer  abc ") == "abc"
    for header in ("abc", "Basic abc", "Bearer", "Bearer  "):
        assert code_of(bearer, header) == Code.UNAUTHENTICATED


def test_refresh_token_is_read_back_and_its_secret_is_not_in_the_hash() -> None:
    token = mint_refresh(SESSION, os.urandom)
    assert read_refresh(token.text) == token
    assert token.text.partition(".")[2] not in token.hash
    assert mint_refresh(SESSION, os.urandom).hash != token.hash
    for text in (token.text + "A", token.text[:-1], token.text + "=", "x" + token.text, token.text.replace(".", ":")):
        assert code_of(read_refresh, text) == Code.UNAUTHENTICATED


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(time_cost=1, memory_kib=8, workers=2)
    yield made
    made.close()


async def test_password_fits_its_own_hash_alone(passwords: Passwords) -> None:
    hashed = await passwords.hash("correct horse")
    assert await passwords.verify(hashed, "correct horse")
    assert not await passwords.verify(hashed, "correct horsf")
    assert hashed != await passwords.hash("correct horse")
    assert "argon2id" in hashed


async def test_nothing_fits_where_there_is_no_hash(passwords: Passwords) -> None:
    for missing in (None, "", "not a hash", "$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAA"):
        assert not await passwords.verify(missing, "nobody has this password")


async def test_any_text_is_a_password(passwords: Passwords) -> None:
    for text in ("", "\0", "\ud800", "é" * 500):
        assert await passwords.verify(await passwords.hash(text), text)


async def test_an_unknown_name_is_given_the_same_work(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not its time but what it is made of: one verification with the same parameters."""
    seen: list[str] = []
    verify = passwords._hasher.verify

    def counted(hashed: str, password: bytes) -> bool:
        seen.append(hashed)
        return bool(verify(hashed, password))

    monkeypatch.setattr(passwords, "_hasher", type("Counted", (), {"verify": staticmethod(counted)}))
    real = await Passwords(time_cost=1, memory_kib=8, workers=1).hash("x")
    for stored in (None, real):
        await passwords.verify(stored, "wrong")
    assert len(seen) == 2
    assert [hashed.split("$")[1:4] for hashed in seen] == [real.split("$")[1:4]] * 2


async def test_hashing_leaves_the_loop_and_is_bounded(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    working: set[int] = set()
    most = 0
    leave = threading.Event()

    def hashing(_: bytes) -> str:
        nonlocal most
        working.add(threading.get_ident())
        most = max(most, len(working))
        leave.wait(10)
        return ""

    monkeypatch.setattr(passwords, "_hasher", type("Slow", (), {"hash": staticmethod(hashing)}))
    tasks = [asyncio.create_task(passwords.hash("x")) for _ in range(6)]
    # The loop is free while hashes are made.
    await eventually(lambda: len(working) == 2)
    leave.set()
    await asyncio.gather(*tasks)
    assert most <= 2
    assert threading.get_ident() not in working

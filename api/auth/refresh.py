"""Refresh tokens: a session's id and a secret, of which the log keeps only the hash."""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from domain.errors import Code, Refusal, refuse
from domain.ids import Entropy, is_id

SECRET_BYTES: Final = 32
MAX_TOKEN: Final = 128


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """``text`` goes to the client, ``hash`` (SHA-256 of the secret, hex) into the session's events."""

    session: str
    hash: str
    text: str


def mint_refresh(session: str, entropy: Entropy) -> RefreshToken:
    return _token(session, entropy(SECRET_BYTES))


def read_refresh(text: str) -> RefreshToken:
    """The token that ``text`` spells, known or not; raises Refusal UNAUTHENTICATED where it spells none."""
    session, _, secret = text.partition(".")
    if len(text) > MAX_TOKEN or not text.isascii() or not is_id(session):
        raise _invalid()
    try:
        token = _token(session, base64.b64decode(secret + "=" * (-len(secret) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        raise _invalid() from None
    if token.text != text:
        raise _invalid()
    return token


def _token(session: str, secret: bytes) -> RefreshToken:
    if len(secret) != SECRET_BYTES:
        raise _invalid()
    spelled = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
    return RefreshToken(session, hashlib.sha256(secret).hexdigest(), f"{session}.{spelled}")


def _invalid() -> Refusal:
    return refuse(Code.UNAUTHENTICATED, "This refresh token is not valid; sign in again.", "refreshToken")

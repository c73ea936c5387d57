"""Opaque signed tokens: page cursors bound to their list, and vectors of positions bound to their log and purpose.

A token is base64url(MAC ‖ MessagePack body). The MAC (HMAC-SHA256, 128 bits kept) covers the kind and what the token is bound to, neither of which
stands in the token. Whatever does not verify is refused as CURSOR_INVALID, in constant time, before anything of it is decoded.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from domain.errors import Code, Refusal, refuse

MAC_BYTES: Final = 16
MAX_TOKEN: Final = 16_384
"""Characters: room for the vector of 1,024 shards."""

T = TypeVar("T")


class Purpose(StrEnum):
    """What a vector is good for. A token of one purpose is no token of another."""

    CONSISTENCY = "consistency"
    LIVE = "live"


def derive_key(key: bytes, use: str) -> bytes:
    """A key of its own for each use, so that no token can be taken for one of another kind."""
    return hmac.digest(key, b"tidings/" + use.encode(), hashlib.sha256)


class Signer:
    """Signs with the first of ``keys`` and verifies with any: a key is retired by moving it behind a new one first."""

    def __init__(self, keys: Sequence[bytes], log_id: str) -> None:
        self._keys = tuple(derive_key(key, "tokens") for key in keys)
        self._log_id = log_id

    def sign_cursor(self, list_name: str, sort: str | int, id: str) -> str:
        """A cursor past (sort, id) in one list. ``list_name`` names the list with its arguments (``posts/<user>``), not just its kind."""
        return self._sign(("cursor", list_name), msgspec.msgpack.encode((sort, id)))

    def read_cursor(self, list_name: str, token: str) -> tuple[str | int, str]:
        """(sort, id) of a cursor of this very list; raises Refusal CURSOR_INVALID."""
        return self._decode(self._verify(("cursor", list_name), token), tuple[str | int, str])

    def sign_vector(self, purpose: Purpose, positions: Mapping[int, int], subject: str = "") -> str:
        """A token of {shard: sequence} in this log. ``subject`` binds it further, to a stream or a person."""
        flat = [number for shard in sorted(positions) for number in (shard, positions[shard])]
        return self._sign((purpose, self._log_id, subject), msgspec.msgpack.encode(flat))

    def read_vector(self, purpose: Purpose, token: str, subject: str = "") -> dict[int, int]:
        """{shard: sequence} as signed; raises Refusal CURSOR_INVALID, also for a token of another log."""
        flat = self._decode(self._verify((purpose, self._log_id, subject), token), list[int])
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def _sign(self, bound: tuple[str, ...], body: bytes) -> str:
        return base64.urlsafe_b64encode(_mac(self._keys[0], bound, body) + body).rstrip(b"=").decode()

    def _verify(self, bound: tuple[str, ...], token: str) -> bytes:
        raw = _unwrap(token)
        mac, body = raw[:MAC_BYTES], raw[MAC_BYTES:]
        # Every key is tried, also after a match, so that the time says nothing about which one signed.
        matches = [hmac.compare_digest(_mac(key, bound, body), mac) for key in self._keys]
        if True not in matches:
            raise _invalid()
        return body

    @staticmethod
    def _decode(body: bytes, kind: type[T]) -> T:
        try:
            return msgspec.msgpack.decode(body, type=kind)
        except msgspec.MsgspecError:
            raise _invalid() from None


def _mac(key: bytes, bound: tuple[str, ...], body: bytes) -> bytes:
    # Length prefixes keep ("ab", "c") and ("a", "bc") apart.
    parts = [part.encode(errors="surrogatepass") for part in bound]
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts) + body
    return hmac.digest(key, message, hashlib.sha256)[:MAC_BYTES]


def _unwrap(token: str) -> bytes:
    if len(token) > MAX_TOKEN or not token.isascii():
        raise _invalid()
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise _invalid() from None
    # One spelling a token: stray bits after the last byte would make many.
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != token:
        raise _invalid()
    return raw


def _invalid() -> Refusal:
    return refuse(Code.CURSOR_INVALID, "this cursor or token is not one that was given out for this use")

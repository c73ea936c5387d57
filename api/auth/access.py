"""Access tokens: short-lived JWTs that name the account and its session."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from api.signing import derive_key
from domain.errors import Code, Refusal, refuse
from domain.ids import is_id

ALGORITHM: Final = "HS256"
MAX_TOKEN: Final = 2_048


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks. ``expires_at``: microseconds since the epoch, when the access token stops."""

    account: str
    session: str
    expires_at: int


class AccessTokens:
    """Mints with the first of ``keys``, accepts any. ``now`` gives microseconds, ``life`` is in seconds."""

    def __init__(self, keys: Sequence[bytes], *, life: int, now: Callable[[], int]) -> None:
        self._keys = [OctKey.import_key(derive_key(key, "access")) for key in keys]
        self._life = life
        self._now = now

    def mint(self, account: str, session: str) -> tuple[str, int]:
        """(token, the microsecond when it expires)."""
        expires = self._now() // 1_000_000 + self._life
        token = jwt.encode(
            {"alg": ALGORITHM}, {"sub": account, "sid": session, "exp": expires}, self._keys[0], algorithms=[ALGORITHM]
        )
        return token, expires * 1_000_000

    def verify(self, token: str) -> Viewer:
        """Raises Refusal: EXPIRED for a token of ours past its time, UNAUTHENTICATED for any other that is not good."""
        claims = self._claims(token)
        account, session, expires = claims.get("sub"), claims.get("sid"), claims.get("exp")
        if not (
            isinstance(account, str)
            and is_id(account)
            and isinstance(session, str)
            and is_id(session)
            and isinstance(expires, int)
        ):
            raise _forged()
        if expires * 1_000_000 <= self._now():
            raise refuse(Code.EXPIRED, "this access token has expired: ask for another with refreshSession")
        return Viewer(account, session, expires * 1_000_000)

    def _claims(self, token: str) -> dict[str, object]:
        if len(token) > MAX_TOKEN or not token.isascii():
            raise _forged()
        for key in self._keys:
            try:
                return dict(jwt.decode(token, key, algorithms=[ALGORITHM]).claims)
            except (JoseError, ValueError):
                continue
        raise _forged()


def _forged() -> Refusal:
    return refuse(Code.UNAUTHENTICATED, "this access token is not valid: sign in again")


def bearer(authorization: str | None) -> str | None:
    """The token of an Authorization header, None where there is none; Refusal UNAUTHENTICATED where it is of another scheme."""
    if not authorization:
        return None
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise refuse(Code.UNAUTHENTICATED, "Authorization must be: Bearer <accessToken>")
    return token.strip()

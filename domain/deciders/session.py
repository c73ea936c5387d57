"""Sessions: refresh tokens as hashes, rotated at each use; a rotated one that comes back ends the session (RFC 9700 §4.14.2)."""

from typing import Final

import msgspec

from domain.deciders.account import Account
from domain.envelope import Recorded
from domain.errors import Code, refuse
from domain.events import SessionOpened, SessionRefreshed, SessionRevoked

ROTATED_KEPT: Final = 1_000
"""Of the tokens that were rotated away: a week of them where a client refreshes every ten minutes. All of a year's made each refresh copy 50,000, and
folding them took 20 seconds. An older one is refused like any unknown token."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """``opened`` is the sequence at which it was: what ends an account's sessions together compares with it. ``rotated`` are hashes, the newest last."""

    account: str = ""
    opened: int = 0
    token_hash: str = ""
    expires_at: int = 0
    revoked: bool = False
    rotated: tuple[str, ...] = ()


def evolve(state: Session, recorded: Recorded) -> Session:
    match recorded.event:
        case SessionOpened() as e:
            return Session(
                account=e.account, opened=recorded.sequence, token_hash=e.token_hash, expires_at=e.expires_at
            )
        case SessionRefreshed() as e:
            rotated = (*state.rotated[1 - ROTATED_KEPT :], state.token_hash)
            return msgspec.structs.replace(state, token_hash=e.token_hash, expires_at=e.expires_at, rotated=rotated)
        case SessionRevoked():
            return msgspec.structs.replace(state, revoked=True)
    return state


def refresh(
    state: Session, owner: Account, session: str, presented: str, token_hash: str, now: int, lifetime: int
) -> tuple[SessionRefreshed | SessionRevoked, ...]:
    """Rotates, or revokes when a token that was rotated away is presented (the caller then answers UNAUTHENTICATED). ``owner`` is the session's account.

    UNAUTHENTICATED for an unknown, foreign or ended session, EXPIRED for one that is over.
    """
    if not is_open(state, owner, session):
        raise refuse(Code.UNAUTHENTICATED, "This session has ended; sign in again.", "refreshToken")
    if presented in state.rotated:
        return (SessionRevoked(session=session, account=state.account, reason="reuse"),)
    if presented != state.token_hash:
        raise refuse(Code.UNAUTHENTICATED, "This is not a refresh token of this session.", "refreshToken")
    if now >= state.expires_at:
        raise refuse(Code.EXPIRED, "This session has expired; sign in again.", "refreshToken")
    return (SessionRefreshed(session=session, account=state.account, token_hash=token_hash, expires_at=now + lifetime),)


def is_open(state: Session, owner: Account, session: str) -> bool:
    """Whether it was opened and has not ended, by itself or with others of its account."""
    return bool(state.account) and not state.revoked and not owner.has_ended(session, state.opened)


def sign_out(state: Session, session: str, account: str) -> tuple[SessionRevoked, ...]:
    return end(state, session, "signed_out") if state.account == account else ()


def revoke(state: Session, session: str, account: str) -> tuple[SessionRevoked, ...]:
    """By its owner, from another session; NOT_FOUND for anybody else's. Ended already: nothing changes."""
    if state.account != account:
        raise refuse(Code.NOT_FOUND, "There is no such session.", "sessionId")
    return end(state, session, "revoked")


def end(state: Session, session: str, reason: str) -> tuple[SessionRevoked, ...]:
    """Ends it once."""
    if not state.account or state.revoked:
        return ()
    return (SessionRevoked(session=session, account=state.account, reason=reason),)

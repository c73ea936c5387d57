"""Accounts: who exists, and which claims they name."""

import msgspec

from domain.envelope import Recorded
from domain.errors import Code, Refusal, refuse
from domain.events import AccountPrivate, AccountRegistered, ClaimVoided


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """``private`` is None before registration and once the key is destroyed; ``id`` is empty before registration."""

    id: str = ""
    private: AccountPrivate | None = None
    handle_claim: str = ""
    email_claim: str = ""
    voided: frozenset[str] = frozenset()
    registered_at: int = 0

    @property
    def active(self) -> bool:
        return bool(self.id)

    def names(self, claim_id: str) -> bool:
        """Whether this account's stream names the claim: then nobody can take it over."""
        return claim_id in (self.handle_claim, self.email_claim)


def evolve(state: Account, recorded: Recorded) -> Account:
    match recorded.event:
        case AccountRegistered() as e:
            return msgspec.structs.replace(
                state,
                id=e.account,
                private=e.private,
                handle_claim=e.handle_claim,
                email_claim=e.email_claim,
                registered_at=recorded.occurred_at,
            )
        case ClaimVoided() as e:
            return msgspec.structs.replace(state, voided=state.voided | {e.claim_id})
    return state


def register(state: Account, registered: AccountRegistered) -> tuple[AccountRegistered, ...]:
    """Nothing if it is registered already (a repeat). CONFLICT where its e-mail claim was voided meanwhile: the caller was slower than a takeover."""
    if state.active:
        return ()
    if registered.email_claim in state.voided:
        raise refuse(Code.CONFLICT, "The registration took too long; please try again.")
    return (registered,)


def void_claim(state: Account, account: str, claim_id: str) -> tuple[ClaimVoided, ...]:
    """The fence before a takeover. DUPLICATE where the account names the claim after all."""
    if state.names(claim_id):
        raise taken("email")
    return () if claim_id in state.voided else (ClaimVoided(account=account, claim_id=claim_id),)


def require_active(state: Account) -> None:
    """The actor's standing; a signed token may outlive the account by its own life (10 minutes)."""
    if not state.active:
        raise refuse(Code.UNAUTHENTICATED, "This account does not exist any more; sign in again.")


def taken(field: str) -> Refusal:
    """DUPLICATE for a handle or an e-mail address that somebody holds."""
    what = {"handle": "handle", "email": "e-mail address"}[field]
    return refuse(Code.DUPLICATE, f"This {what} is taken.", field)

"""Accounts: who exists and how they stand, which claims they name, and since when their sessions count."""

from enum import StrEnum

import msgspec

from domain.envelope import Recorded
from domain.errors import Code, Refusal, refuse
from domain.events import (
    AccountBeganBlocking,
    AccountDeactivated,
    AccountDeleted,
    AccountHandleChanged,
    AccountLocked,
    AccountPasswordChanged,
    AccountPrivate,
    AccountProfileChanged,
    AccountReactivated,
    AccountRegistered,
    AccountSessionsEnded,
    AccountUnlocked,
    ClaimVoided,
    Event,
    Facet,
    NamePrivate,
    PasswordPrivate,
    ProfilePrivate,
    SubjectForgotten,
)


class Standing(StrEnum):
    NONE = ""
    ACTIVE = "ACTIVE"
    DEACTIVATED = "DEACTIVATED"
    DELETED = "DELETED"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """``private`` and ``profile`` are None before registration and once the key is destroyed; ``id`` is empty before registration. ``given_up`` are
    claims of former handles, which a reactor releases, ``renamed`` when that was (microseconds). ``ended`` is the sequence at which the sessions of the time, but ``kept``, ended: sessions
    lie in their account's shard."""

    id: str = ""
    standing: Standing = Standing.NONE
    private: AccountPrivate | None = None
    profile: ProfilePrivate | None = None
    bio_facets: tuple[Facet, ...] = ()
    handle_claim: str = ""
    email_claim: str = ""
    email_claim_stream: str = ""
    given_up: frozenset[str] = frozenset()
    renamed: tuple[int, ...] = ()
    voided: frozenset[str] = frozenset()
    registered_at: int = 0
    locked: bool = False
    blocking: bool = False
    ended: int = 0
    kept: str = ""
    forgotten: bool = False

    @property
    def active(self) -> bool:
        return self.standing is Standing.ACTIVE

    @property
    def exists(self) -> bool:
        """Active or deactivated."""
        return self.standing in (Standing.ACTIVE, Standing.DEACTIVATED)

    @property
    def deleted(self) -> bool:
        return self.standing is Standing.DELETED

    def names(self, claim_id: str) -> bool:
        """Whether this account's stream names the claim, or will have it released: then nobody can take it over."""
        return claim_id in (self.handle_claim, self.email_claim) or claim_id in self.given_up

    def has_ended(self, session: str, opened: int) -> bool:
        """Whether a session that was opened at the sequence ``opened`` ended together with others."""
        return not self.exists or (opened < self.ended and session != self.kept)


def evolve(state: Account, recorded: Recorded) -> Account:  # noqa: C901, PLR0911 -- one flat case an event
    match recorded.event:
        case AccountRegistered() as e:
            return msgspec.structs.replace(
                state,
                id=e.account,
                standing=Standing.ACTIVE,
                private=e.private,
                profile=e.private and ProfilePrivate(display_name=e.private.display_name, bio=e.private.bio),
                handle_claim=e.handle_claim,
                email_claim=e.email_claim,
                email_claim_stream=e.email_claim_stream,
                registered_at=recorded.occurred_at,
            )
        case AccountLocked() | AccountUnlocked():
            return msgspec.structs.replace(state, locked=isinstance(recorded.event, AccountLocked))
        case AccountBeganBlocking():
            return msgspec.structs.replace(state, blocking=True)
        case ClaimVoided() as e:
            return msgspec.structs.replace(state, voided=state.voided | {e.claim_id})
        case AccountHandleChanged() as e:
            return _renamed(state, e, recorded.recorded_at)
        case AccountPasswordChanged() as e:
            return _sealed(state, e.private)
        case AccountSessionsEnded() as e:
            return msgspec.structs.replace(state, ended=recorded.sequence, kept=e.kept or "")
        case AccountProfileChanged() as e:
            return msgspec.structs.replace(state, profile=e.private, bio_facets=e.bio_facets)
        case AccountDeactivated():
            return msgspec.structs.replace(state, standing=Standing.DEACTIVATED)
        case AccountReactivated():
            return msgspec.structs.replace(state, standing=Standing.ACTIVE)
        case AccountDeleted():
            return msgspec.structs.replace(state, standing=Standing.DELETED)
        case SubjectForgotten():
            return msgspec.structs.replace(state, forgotten=True)
    return state


def _renamed(state: Account, event: AccountHandleChanged, at: int) -> Account:
    if event.claim_id != event.former_claim:
        given_up = state.given_up | {event.former_claim}
        state = msgspec.structs.replace(
            state, handle_claim=event.claim_id, given_up=given_up, renamed=(*state.renamed, at)
        )
    return _sealed(state, event.private)


def _sealed(state: Account, changed: NamePrivate | PasswordPrivate | None) -> Account:
    """With another handle or password; what is sealed is redacted as a whole."""
    if state.private is None or changed is None:
        return state
    private = msgspec.structs.replace(state.private, **msgspec.structs.asdict(changed))
    return msgspec.structs.replace(state, private=private)


def register(state: Account, registered: AccountRegistered) -> tuple[AccountRegistered, ...]:
    """Nothing if it is registered already (a repeat). CONFLICT where its e-mail claim was voided meanwhile: the caller was slower than a takeover;
    or where the account of a repeated registration was deleted meanwhile."""
    if state.exists:
        return ()
    if state.deleted or registered.email_claim in state.voided:
        raise refuse(Code.CONFLICT, "The registration took too long; please try again.")
    return (registered,)


def change_handle(state: Account, changed: AccountHandleChanged) -> tuple[AccountHandleChanged, ...]:
    """Nothing where the handle is the same. CONFLICT where the new claim was voided or given up meanwhile."""
    require_active(state)
    if changed.private is not None and state.private is not None and changed.private.handle == state.private.handle:
        return ()
    if changed.claim_id in state.voided or changed.claim_id in state.given_up:
        raise refuse(Code.CONFLICT, "The handle was changed at the same time; please try again.")
    return (changed,)


def require_few_changes(state: Account, since: int, most: int) -> None:
    """LIMIT_REACHED where the account has given up ``most`` handles since then: each of them rests, and nobody else can have it."""
    if sum(at >= since for at in state.renamed) >= most:
        raise refuse(Code.LIMIT_REACHED, f"A handle can be changed {most} times a month.", "handle")


def change_password(state: Account, changed: AccountPasswordChanged, verified: str, kept: str) -> tuple[Event, ...]:
    """Ends all sessions but ``kept``. CONFLICT where the password is not any more the one that was ``verified`` (its hash)."""
    require_standing(state)
    require_verified(state, verified)
    return (changed, *end_sessions(state, kept, "password_changed"))


def end_sessions(state: Account, kept: str, reason: str) -> tuple[AccountSessionsEnded, ...]:
    return (AccountSessionsEnded(account=state.id, kept=kept or None, reason=reason),)


def change_profile(state: Account, changed: AccountProfileChanged) -> tuple[AccountProfileChanged, ...]:
    """``changed`` has the whole new profile; the same as before is no change."""
    return () if changed.private == state.profile else (changed,)


def deactivate(state: Account) -> tuple[AccountDeactivated, ...]:
    require_standing(state)
    return (AccountDeactivated(account=state.id),) if state.active else ()


def reactivate(state: Account) -> tuple[AccountReactivated, ...]:
    require_standing(state)
    return () if state.active else (AccountReactivated(account=state.id),)


def delete(state: Account, handle_claim_stream: str, verified: str) -> tuple[AccountDeleted, ...]:
    """Nothing if it is deleted already. CONFLICT as of ``change_password``."""
    if state.deleted:
        return ()
    require_standing(state)
    require_verified(state, verified)
    deleted = AccountDeleted(
        account=state.id,
        handle_claim=state.handle_claim,
        handle_claim_stream=handle_claim_stream,
        email_claim=state.email_claim,
        email_claim_stream=state.email_claim_stream,
    )
    return (deleted,)


def forget(state: Account) -> tuple[SubjectForgotten, ...]:
    """Of a deleted account, once."""
    return (SubjectForgotten(account=state.id),) if state.deleted and not state.forgotten else ()


def require_verified(state: Account, verified: str) -> None:
    if state.private is None or state.private.password_hash != verified:
        raise refuse(Code.CONFLICT, "The password was changed at the same time; please try again.")


def void_claim(state: Account, account: str, claim_id: str, field: str = "email") -> tuple[ClaimVoided, ...]:
    """The fence before a takeover. DUPLICATE at ``field`` where the account names the claim after all."""
    if state.names(claim_id):
        raise taken(field)
    return () if claim_id in state.voided else (ClaimVoided(account=account, claim_id=claim_id),)


def lock(state: Account, locked: bool) -> tuple[AccountLocked | AccountUnlocked, ...]:
    """Whether who wants to follow must ask first; nothing where it is so already."""
    if state.locked == locked:
        return ()
    return (AccountLocked(account=state.id) if locked else AccountUnlocked(account=state.id),)


def begin_blocking(state: Account) -> tuple[AccountBeganBlocking, ...]:
    """Once. An account that never blocked anybody has no blocks to be read, and that is most of them."""
    return () if state.blocking else (AccountBeganBlocking(account=state.id),)


def require_active(state: Account) -> None:
    """The actor's standing; a signed token may outlive the account by its own life (10 minutes). FORBIDDEN for who has deactivated it."""
    require_standing(state)
    if not state.active:
        raise refuse(Code.FORBIDDEN, "This account is deactivated; reactivate it first.")


def require_standing(state: Account) -> None:
    """Active or deactivated, else UNAUTHENTICATED."""
    if not state.exists:
        raise refuse(Code.UNAUTHENTICATED, "This account does not exist any more; sign in again.")


def require_user(state: Account) -> None:
    """NOT_FOUND for somebody else who is not there, or not at the moment."""
    if not state.active:
        raise refuse(Code.NOT_FOUND, "There is no such user.", "userId")


def taken(field: str) -> Refusal:
    """DUPLICATE for a handle or an e-mail address that somebody holds."""
    what = {"handle": "handle", "email": "e-mail address"}[field]
    return refuse(Code.DUPLICATE, f"This {what} is taken.", field)

"""Registration with its claims, and sessions."""

from dataclasses import dataclass, replace

from domain.commands import ConfirmClaim, OpenSession, RefreshSession, RegisterAccount, SignOut
from domain.context import Context
from domain.deciders import account as accounts
from domain.deciders import claim as claims
from domain.deciders import session as sessions
from domain.deciders.account import Account
from domain.deciders.claim import Claim
from domain.deciders.session import Session
from domain.errors import Code, Problem, Refusal, refuse
from domain.events import AccountPrivate, AccountRegistered, ClaimHeld, SessionOpened, SessionRevoked
from domain.handlers.result import Result, confirm, key_problems, require_actor, require_id, shard, state_of
from domain.ids import account_stream, claim_stream, is_id, session_stream, slot_of
from domain.log.port import Draft, EventLog, Execution, View
from domain.names import email_problems, fold_email, fold_handle, handle_problems, handle_skeleton
from domain.text import forbidden, graphemes, normalise


@dataclass(frozen=True, slots=True)
class _Registration:
    """A checked registration and the ids that it will use."""

    handle: str
    email: str
    display_name: str
    password_hash: str
    handle_claim: str
    email_claim: str
    request: str | None
    input_hmac: str | None
    account: str
    holding: str


async def register_account(log: EventLog, command: RegisterAccount, context: Context) -> Result:
    """Holds the e-mail's claim, then in one batch the handle's claim and the account that names both.

    A crash between the two leaves an e-mail claim that no account names: the same request goes on with it, anyone else may take it over after
    ``limits.claim_takeover`` seconds. DUPLICATE for a taken handle or address; IDEMPOTENCY_MISMATCH for other input under the same key.
    ``repeat``: the account stood already; the edge must then check the password before it opens a session.
    """
    wanted = _check(command, context)
    wanted, repeat = await _hold_email(log, wanted, context)
    if repeat:
        return Result(wanted.account, await confirm(log, account_stream(wanted.account), context), repeat=True)
    try:
        outcome = await log.execute(_registration(log, wanted, context))
    except Refusal:
        await _release_email(log, wanted, context)
        raise
    return Result(wanted.account, outcome, repeat=not outcome.events)


def _check(command: RegisterAccount, context: Context) -> _Registration:
    limits, namer = context.limits, context.namer
    handle, email, name = fold_handle(command.handle), fold_email(command.email), normalise(command.display_name)
    problems = handle_problems(handle, limits) + email_problems(email, limits)
    if graphemes(name) > limits.display_name_graphemes or len(name.encode()) > limits.display_name_bytes:
        problems.append(
            Problem(
                Code.TOO_LONG,
                f"A display name has at most {limits.display_name_graphemes} characters.",
                ("displayName",),
            )
        )
    if forbidden(name) or "\n" in name:
        problems.append(Problem(Code.INVALID, "A display name has no control characters.", ("displayName",)))
    problems += key_problems(command.idempotency_key, context)
    if problems:
        raise Refusal(problems)
    handle_claim = namer.claim_id("handle", handle_skeleton(handle))
    email_claim = namer.claim_id("email", email)
    slot, request, input_hmac = slot_of(handle_claim), None, None
    if command.idempotency_key is not None:
        # The actor of a registration is the e-mail claim: an HMAC of the address, known before there is an account.
        request = namer.idempotent_id(slot_of(email_claim), email_claim, "registerAccount", command.idempotency_key)
        input_hmac = namer.input_hmac(handle, email, name)
    return _Registration(
        handle=handle,
        email=email,
        display_name=name,
        password_hash=command.password_hash,
        handle_claim=handle_claim,
        email_claim=email_claim,
        request=request,
        input_hmac=input_hmac,
        account=context.mint(slot) if request is None else namer.idempotent_id(slot, email_claim, "account", request),
        holding=context.mint(slot_of(email_claim)),
    )


async def _hold_email(log: EventLog, wanted: _Registration, context: Context) -> tuple[_Registration, bool]:
    """The registration with the account and holding that it shall use, and whether it had been completed before."""
    stream = claim_stream(wanted.email_claim)
    standing = await state_of(log, stream, Claim)
    voided = ""
    if standing.held:
        owner = await state_of(log, account_stream(standing.owner), Account)
        if wanted.request is not None and standing.request == wanted.request:
            if standing.input_hmac != wanted.input_hmac:
                raise refuse(
                    Code.IDEMPOTENCY_MISMATCH, "This idempotency key was used with other input.", "idempotencyKey"
                )
            return _resumed(wanted, standing), owner.names(standing.claim_id)
        if owner.names(standing.claim_id) or context.now - standing.held_at < context.limits.claim_takeover * 1_000_000:
            raise accounts.taken("email")
        await _void(log, standing, context)
        voided = standing.claim_id
    await _require_free_handle(log, wanted, context)

    def decide(view: View) -> tuple[Draft, ...]:
        state = view.state(stream, Claim)
        if state.held and state.claim_id != voided:
            if wanted.request is not None and state.request == wanted.request and state.input_hmac == wanted.input_hmac:
                return ()
            raise accounts.taken("email")
        held = ClaimHeld(kind="email", owner=wanted.account, claim_id=wanted.holding, request=wanted.request)
        return context.drafts(stream, [held])

    outcome = await log.execute(
        Execution(shard(log, wanted.email_claim), (stream,), decide, context.metadata(wanted.input_hmac))
    )
    return _resumed(wanted, View(outcome.states).state(stream, Claim)), False


async def _require_free_handle(log: EventLog, wanted: _Registration, context: Context) -> None:
    """DUPLICATE for a taken handle, before anything is appended; one that is taken from here on is met where the account is recorded."""
    stream = claim_stream(wanted.handle_claim)
    if (await state_of(log, stream, Claim)).held:
        outcome = await confirm(log, stream, context)
        if View(outcome.states).state(stream, Claim).held:
            raise accounts.taken("handle")


def _resumed(wanted: _Registration, state: Claim) -> _Registration:
    """Goes on with the account and the holding that the claim names, which an earlier try of the same request may have chosen."""
    return replace(wanted, account=state.owner, holding=state.claim_id)


async def _void(log: EventLog, standing: Claim, context: Context) -> None:
    """The fence on the owner's stream: from here on the slow registration can not name this claim any more."""
    stream = account_stream(standing.owner)

    def decide(view: View) -> tuple[Draft, ...]:
        return context.drafts(
            stream, accounts.void_claim(view.state(stream, Account), standing.owner, standing.claim_id)
        )

    await log.execute(Execution(shard(log, standing.owner), (stream,), decide, context.metadata()))


def _registration(log: EventLog, wanted: _Registration, context: Context) -> Execution:
    handle_stream, stream = claim_stream(wanted.handle_claim), account_stream(wanted.account)
    holding = context.mint(slot_of(wanted.handle_claim))

    def decide(view: View) -> tuple[Draft, ...]:
        registered = AccountRegistered(
            account=wanted.account,
            handle_claim=holding,
            email_claim=wanted.holding,
            email_claim_stream=wanted.email_claim,
            private=AccountPrivate(
                handle=wanted.handle,
                email=wanted.email,
                password_hash=wanted.password_hash,
                display_name=wanted.display_name,
            ),
        )
        events = accounts.register(view.state(stream, Account), registered)
        if events and view.state(handle_stream, Claim).held:
            raise accounts.taken("handle")
        held = ClaimHeld(kind="handle", owner=wanted.account, claim_id=holding)
        return context.drafts(handle_stream, [held]) + context.drafts(stream, events) if events else ()

    # Not fresh even where the id is random: a slower try of the same claim may have been voided on this very stream.
    return Execution(
        shard(log, wanted.account),
        (handle_stream, stream),
        decide,
        context.metadata(wanted.input_hmac),
        subject=wanted.account,
        new_subject=True,
    )


async def _release_email(log: EventLog, wanted: _Registration, context: Context) -> None:
    stream = claim_stream(wanted.email_claim)

    def decide(view: View) -> tuple[Draft, ...]:
        return context.drafts(stream, claims.release(view.state(stream, Claim), wanted.account, wanted.holding))

    await log.execute(Execution(shard(log, wanted.email_claim), (stream,), decide, context.metadata()))


async def confirm_claim(log: EventLog, command: ConfirmClaim, context: Context) -> Result:
    """The reactor's step after a registration."""
    stream = claim_stream(command.claim_stream)

    def decide(view: View) -> tuple[Draft, ...]:
        return context.drafts(stream, claims.confirm(view.state(stream, Claim), command.owner, command.claim_id))

    execution = Execution(shard(log, command.claim_stream), (stream,), decide, context.metadata())
    return Result(command.owner, await log.execute(execution))


async def find_account(log: EventLog, handle_or_email: str, context: Context) -> Account | None:
    """The account behind a handle or an e-mail address, from the log alone, so that sign-in needs no documents."""
    if "@" in handle_or_email.strip().removeprefix("@"):
        kind, name = "email", fold_email(handle_or_email)
        claim_id = context.namer.claim_id(kind, name)
    else:
        kind, name = "handle", fold_handle(handle_or_email)
        claim_id = context.namer.claim_id(kind, handle_skeleton(name))
    claim = await state_of(log, claim_stream(claim_id), Claim)
    if not claim.held:
        return None
    owner = await state_of(log, account_stream(claim.owner), Account)
    if not owner.names(claim.claim_id) or owner.private is None:
        return None
    # A look-alike of the handle finds the claim, but is not the handle.
    return owner if getattr(owner.private, kind) == name else None


async def open_session(log: EventLog, command: OpenSession, context: Context) -> Result:
    """The password was verified at the edge; the account is checked once more where the session is recorded."""
    session = context.mint(slot_of(command.account))
    stream, owner_stream = session_stream(session), account_stream(command.account)

    def decide(view: View) -> tuple[Draft, ...]:
        accounts.require_active(view.state(owner_stream, Account))
        expires = context.now + context.limits.session_lifetime * 1_000_000
        opened = SessionOpened(
            session=session, account=command.account, token_hash=command.token_hash, expires_at=expires
        )
        return context.drafts(stream, [opened])

    execution = Execution(
        shard(log, session), (stream, owner_stream), decide, context.metadata(), fresh=frozenset({stream})
    )
    return Result(session, await log.execute(execution))


async def refresh_session(log: EventLog, command: RefreshSession, context: Context) -> Result:
    """Rotates the refresh token. A token that was rotated before revokes the session and is UNAUTHENTICATED."""
    if not is_id(command.session):
        raise refuse(Code.UNAUTHENTICATED, "This is not a refresh token.", "refreshToken")
    stream = session_stream(command.session)
    lifetime = context.limits.session_lifetime * 1_000_000

    def decide(view: View) -> tuple[Draft, ...]:
        state = view.state(stream, Session)
        events = sessions.refresh(
            state, command.session, command.presented_hash, command.token_hash, context.now, lifetime
        )
        return context.drafts(stream, events)

    outcome = await log.execute(Execution(shard(log, command.session), (stream,), decide, context.metadata()))
    if any(isinstance(recorded.event, SessionRevoked) for recorded in outcome.events):
        raise refuse(
            Code.UNAUTHENTICATED, "This refresh token was used before; the session has been ended.", "refreshToken"
        )
    return Result(command.session, outcome)


async def sign_out(log: EventLog, command: SignOut, context: Context) -> Result:
    """Ends a session of the actor's; ended already: nothing changes."""
    actor = require_actor(context)
    stream = session_stream(require_id(command.session, "session", "sessionId"))

    def decide(view: View) -> tuple[Draft, ...]:
        return context.drafts(stream, sessions.sign_out(view.state(stream, Session), command.session, actor))

    outcome = await log.execute(Execution(shard(log, command.session), (stream,), decide, context.metadata()))
    return Result(command.session, outcome)

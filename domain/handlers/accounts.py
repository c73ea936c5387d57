"""Registration with its claims, and who is behind a name."""

from dataclasses import dataclass, replace

from domain.commands import RegisterAccount
from domain.context import Context
from domain.deciders import account as accounts
from domain.deciders import claim as claims
from domain.deciders.account import Account
from domain.deciders.claim import Claim
from domain.errors import Code, Refusal, refuse
from domain.events import AccountPrivate, AccountRegistered, ClaimHeld
from domain.handlers.claims import abandon, vacate
from domain.handlers.profiles import display_name_problems
from domain.handlers.result import Result, confirm, key_problems, shard, state_of
from domain.ids import account_stream, claim_stream, slot_of
from domain.log.port import Draft, EventLog, Execution, View
from domain.names import email_problems, fold_email, fold_handle, handle_claim, handle_problems
from domain.text import normalise


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
    wanted = await _unless_deleted(log, _check(command, context), context)
    repeated = await _repeated(log, wanted, context)
    if repeated is not None:
        return repeated
    in_place_of = await vacate(log, wanted.handle_claim, "handle", wanted.account, context)
    wanted = await _hold_email(log, wanted, context)
    try:
        outcome = await log.execute(_registration(log, wanted, in_place_of, context))
    except Refusal:
        await abandon(log, wanted.email_claim, "email", wanted.account, wanted.holding, context)
        raise
    return Result(wanted.account, outcome, repeat=not outcome.events)


def account_of(command: RegisterAccount, context: Context) -> str:
    """The account that a request with an idempotency key made when it was first sent. Raises Refusal for what is malformed."""
    return _check(command, context).account


def _check(command: RegisterAccount, context: Context) -> _Registration:
    limits, namer = context.limits, context.namer
    handle, email, name = fold_handle(command.handle), fold_email(command.email), normalise(command.display_name)
    problems = handle_problems(handle, limits) + email_problems(email, limits)
    problems += display_name_problems(name, limits)
    problems += key_problems(command.idempotency_key, context)
    if problems:
        raise Refusal(problems)
    claim = handle_claim(namer, handle)
    email_claim = namer.claim_id("email", email)
    slot, request, input_hmac = slot_of(claim), None, None
    if command.idempotency_key is not None:
        # The actor of a registration is the e-mail claim: an HMAC of the address, known before there is an account.
        request = namer.idempotent_id(slot_of(email_claim), email_claim, "registerAccount", command.idempotency_key)
        input_hmac = namer.input_hmac(handle, email, name)
    return _Registration(
        handle=handle,
        email=email,
        display_name=name,
        password_hash=command.password_hash,
        handle_claim=claim,
        email_claim=email_claim,
        request=request,
        input_hmac=input_hmac,
        account=context.mint(slot) if request is None else namer.idempotent_id(slot, email_claim, "account", request),
        holding=context.mint(slot_of(email_claim)),
    )


async def _unless_deleted(log: EventLog, wanted: _Registration, context: Context) -> _Registration:
    """A deleted account's request makes another account when it is repeated: its id is not given twice."""
    if wanted.request is not None and (await state_of(log, account_stream(wanted.account), Account)).deleted:
        return replace(wanted, account=context.mint(slot_of(wanted.handle_claim)))
    return wanted


async def _repeated(log: EventLog, wanted: _Registration, context: Context) -> Result | None:
    """The answer to a request that had been completed before."""
    claim = await state_of(log, claim_stream(wanted.email_claim), Claim)
    if wanted.request is None or claim.request != wanted.request:
        return None
    if claim.input_hmac != wanted.input_hmac:
        raise refuse(Code.IDEMPOTENCY_MISMATCH, "This idempotency key was used with other input.", "idempotencyKey")
    owner = await state_of(log, account_stream(claim.owner), Account)
    if owner.deleted or not owner.names(claim.claim_id):
        return None
    return Result(claim.owner, await confirm(log, account_stream(claim.owner), context), repeat=True)


async def _hold_email(log: EventLog, wanted: _Registration, context: Context) -> _Registration:
    """The registration with the account and holding that it shall use: those of an earlier try of the same request, where there was one."""
    stream = claim_stream(wanted.email_claim)
    in_place_of = ""
    if not _ours(await state_of(log, stream, Claim), wanted):
        in_place_of = await vacate(log, wanted.email_claim, "email", wanted.account, context)

    def decide(view: View) -> tuple[Draft, ...]:
        state = view.state(stream, Claim)
        if _ours(state, wanted) and state.claim_id != in_place_of:
            return ()
        held = ClaimHeld(kind="email", owner=wanted.account, claim_id=wanted.holding, request=wanted.request)
        return context.drafts(stream, claims.hold(state, held, context.now, in_place_of))

    outcome = await log.execute(
        Execution(shard(log, wanted.email_claim), (stream,), decide, context.metadata(wanted.input_hmac))
    )
    state = View(outcome.states).state(stream, Claim)
    return replace(wanted, account=state.owner, holding=state.claim_id)


def _ours(state: Claim, wanted: _Registration) -> bool:
    """Whether an earlier try of the same request holds the name."""
    return wanted.request is not None and state.request == wanted.request and state.input_hmac == wanted.input_hmac


def _registration(log: EventLog, wanted: _Registration, in_place_of: str, context: Context) -> Execution:
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
        if not events:
            return ()
        held = ClaimHeld(kind="handle", owner=wanted.account, claim_id=holding, confirmed=True)
        taken = claims.hold(view.state(handle_stream, Claim), held, context.now, in_place_of)
        return context.drafts(handle_stream, taken) + context.drafts(stream, events)

    # Not fresh even where the id is random: a slower try of the same claim may have been voided on this very stream.
    return Execution(
        shard(log, wanted.account),
        (handle_stream, stream),
        decide,
        context.metadata(wanted.input_hmac),
        subject=wanted.account,
        new_subject=True,
    )


async def find_account(log: EventLog, handle_or_email: str, context: Context) -> Account | None:
    """The account behind a handle or an e-mail address, from the log alone, so that sign-in needs no documents."""
    if "@" in handle_or_email.strip().removeprefix("@"):
        kind, name = "email", fold_email(handle_or_email)
        claim_id = context.namer.claim_id(kind, name)
    else:
        kind, name = "handle", fold_handle(handle_or_email)
        claim_id = handle_claim(context.namer, name)
    claim = await state_of(log, claim_stream(claim_id), Claim)
    if not claim.held:
        return None
    owner = await state_of(log, account_stream(claim.owner), Account)
    if not owner.exists or not owner.names(claim.claim_id) or owner.private is None:
        return None
    # A look-alike of the handle finds the claim, but is not the handle.
    return owner if getattr(owner.private, kind) == name else None

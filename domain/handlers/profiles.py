"""What an account says of itself: its handle, with the claim that makes it unique, and its profile."""

from collections.abc import Sequence

import msgspec

from domain.addresses import is_web_address
from domain.commands import ChangeHandle, UpdateProfile
from domain.context import Context
from domain.deciders import account as accounts
from domain.deciders import claim as claims
from domain.deciders.account import Account
from domain.deciders.claim import Claim
from domain.errors import Code, Problem, Refusal
from domain.events import (
    AccountHandleChanged,
    AccountProfileChanged,
    ClaimHeld,
    NamePrivate,
    ProfileField,
    ProfilePrivate,
)
from domain.handlers.claims import abandon, vacate
from domain.handlers.mentions import claims_on, holders
from domain.handlers.result import Result, confirm, require_actor, shard, state_of
from domain.ids import account_stream, claim_stream, slot_of
from domain.limits import Limits
from domain.log.port import Draft, EventLog, Execution, View
from domain.names import fold_handle, handle_claim, handle_problems
from domain.text import blank, facets, flaw, graphemes, mentions_of, normalise, spans


async def change_handle(log: EventLog, command: ChangeHandle, context: Context) -> Result:
    """Holds the new handle's claim, then names it in the account's stream; reactors confirm it and release the old one, which then rests.

    A crash between the two leaves a claim that the account does not name: the same account goes on with it, anyone else may take it over after
    ``limits.claim_takeover`` seconds. DUPLICATE for a handle that is taken or rests, its look-alikes included; LIMIT_REACHED for who has given up
    too many.
    """
    actor, handle = require_actor(context), fold_handle(command.handle)
    problems = handle_problems(handle, context.limits)
    if problems:
        raise Refusal(problems)
    stream, claim = account_stream(actor), handle_claim(context.namer, handle)
    known = View((await confirm(log, stream, context)).states).state(stream, Account)
    accounts.require_active(known)
    if known.private is None or claim == handle_claim(context.namer, known.private.handle):
        return Result(actor, await log.execute(_naming(log, actor, handle, claim, known.handle_claim, context)))
    accounts.require_few_changes(
        known, context.now - context.limits.handle_rest * 1_000_000, context.limits.handle_changes
    )
    holding = await _hold(log, claim, known, context)
    try:
        outcome = await log.execute(_naming(log, actor, handle, claim, holding, context))
    except Refusal:
        await abandon(log, claim, "handle", actor, holding, context)
        raise
    return Result(actor, outcome)


async def _hold(log: EventLog, claim: str, owner: Account, context: Context) -> str:
    """The account's holding of the name: a new one, or that of a try that broke off."""
    stream = claim_stream(claim)
    standing = await state_of(log, stream, Claim)
    in_place_of = ""
    if standing.owner != owner.id:
        in_place_of = await vacate(log, claim, "handle", owner.id, context)
    elif standing.claim_id in owner.given_up or standing.claim_id in owner.voided:
        # Not released yet, or fenced off by somebody who did not come to hold it.
        in_place_of = standing.claim_id
    holding = context.mint(slot_of(claim))

    def decide(view: View) -> tuple[Draft, ...]:
        state = view.state(stream, Claim)
        if state.owner == owner.id and state.claim_id != in_place_of:
            return ()
        held = ClaimHeld(kind="handle", owner=owner.id, claim_id=holding)
        return context.drafts(stream, claims.hold(state, held, context.now, in_place_of))

    outcome = await log.execute(Execution(shard(log, claim), (stream,), decide, context.metadata()))
    return View(outcome.states).state(stream, Claim).claim_id


def _naming(log: EventLog, actor: str, handle: str, claim: str, holding: str, context: Context) -> Execution:
    stream = account_stream(actor)

    def decide(view: View) -> tuple[Draft, ...]:
        state = view.state(stream, Account)
        former = handle_claim(context.namer, state.private.handle) if state.private is not None else ""
        changed = AccountHandleChanged(
            account=actor,
            claim_id=holding,
            claim_stream=claim,
            former_claim=state.handle_claim,
            former_claim_stream=former,
            private=NamePrivate(handle=handle),
        )
        return context.drafts(stream, accounts.change_handle(state, changed))

    return Execution(shard(log, actor), (stream,), decide, context.metadata(), subject=actor)


async def update_profile(log: EventLog, command: UpdateProfile, context: Context) -> Result:
    """Changes what the command names; the rest stays. Locking is an event of its own."""
    actor = require_actor(context)
    wanted = _normalised(command)
    problems = _problems(wanted, context.limits)
    if problems:
        raise Refusal(problems)
    stream = account_stream(actor)
    found = spans(wanted.bio or "")
    named = claims_on(mentions_of(found), context.namer)

    def decide(view: View) -> tuple[Draft, ...]:
        state = view.state(stream, Account)
        accounts.require_active(state)
        bio_facets = state.bio_facets
        if wanted.bio is not None:
            bio_facets = facets(wanted.bio, found, holders(named, view))
        changed = AccountProfileChanged(
            account=actor, bio_facets=bio_facets, private=_merged(state.profile or ProfilePrivate(), wanted)
        )
        events = accounts.change_profile(state, changed)
        locking = () if wanted.locked is None else accounts.lock(state, wanted.locked)
        return context.drafts(stream, (*events, *locking))

    given = tuple(dict.fromkeys(named.values()))
    execution = Execution(shard(log, actor), (stream,), decide, context.metadata(), given=given, subject=actor)
    return Result(actor, await log.execute(execution))


def _merged(profile: ProfilePrivate, wanted: UpdateProfile) -> ProfilePrivate:
    changed = {name: value for name in ProfilePrivate.__struct_fields__ if (value := getattr(wanted, name)) is not None}
    return msgspec.structs.replace(profile, **changed)


def _normalised(command: UpdateProfile) -> UpdateProfile:
    def text(value: str | None) -> str | None:
        return None if value is None else normalise(value)

    fields = command.fields
    if fields is not None:
        fields = tuple(ProfileField(name=normalise(one.name), value=normalise(one.value)) for one in fields)
    return msgspec.structs.replace(
        command, display_name=text(command.display_name), bio=text(command.bio), fields=fields
    )


def _problems(wanted: UpdateProfile, limits: Limits) -> list[Problem]:
    problems = display_name_problems(wanted.display_name or "", limits)
    problems += _text_problems(wanted.bio or "", ("bio",), "A bio", limits.bio_graphemes, limits.bio_bytes)
    if not problems and len(mentions_of(spans(wanted.bio or ""))) > limits.mentions:
        problems.append(Problem(Code.TOO_MANY, f"A bio mentions at most {limits.mentions} people.", ("bio",)))
    problems += _field_problems(wanted.fields or (), limits)
    for name in ("avatar", "banner"):
        address = getattr(wanted, name)
        if not address or is_web_address(address, limits.media_url_bytes):
            continue
        if len(address.encode(errors="surrogatepass")) > limits.media_url_bytes:
            problems.append(Problem(Code.TOO_LONG, f"An address has at most {limits.media_url_bytes} bytes.", (name,)))
        else:
            problems.append(Problem(Code.INVALID, "An address is absolute and begins with https://.", (name,)))
    return problems


def display_name_problems(name: str, limits: Limits) -> list[Problem]:
    """What is wrong with a normalised display name, which is one line."""
    at, what = ("displayName",), "A display name"
    problems = _text_problems(name, at, what, limits.display_name_graphemes, limits.display_name_bytes)
    if not problems and any(break_ in name for break_ in "\n\t\u2028\u2029"):
        problems.append(Problem(Code.INVALID, "A display name is one line without tabs.", at))
    if not problems and name and blank(name):
        problems.append(Problem(Code.INVALID, "A display name has something to be seen; leave it empty for none.", at))
    return problems


def _field_problems(fields: Sequence[ProfileField], limits: Limits) -> list[Problem]:
    if len(fields) > limits.profile_fields:
        return [Problem(Code.TOO_MANY, f"A profile has at most {limits.profile_fields} fields.", ("fields",))]
    problems: list[Problem] = []
    most, most_bytes = limits.profile_field_graphemes, limits.profile_field_bytes
    for place, field in enumerate(fields):
        if blank(field.name):
            problems.append(Problem(Code.TOO_SHORT, "A field has a name.", ("fields", str(place), "name")))
        for part in ("name", "value"):
            at = ("fields", str(place), part)
            problems += _text_problems(getattr(field, part), at, "This", most, most_bytes)
    return problems


def _text_problems(text: str, at: tuple[str, ...], what: str, most: int, most_bytes: int) -> list[Problem]:
    # The size in bytes bounds the counting of graphemes; a lone surrogate has no UTF-8 and is refused below as a control.
    if len(text.encode(errors="surrogatepass")) > most_bytes:
        return [Problem(Code.TOO_LONG, f"{what} has at most {most_bytes} bytes.", at)]
    if fault := flaw(text):
        return [Problem(Code.INVALID, f"{what} may not have {fault}: take them out.", at)]
    if graphemes(text) > most:
        return [Problem(Code.TOO_LONG, f"{what} has at most {most} characters.", at)]
    return []

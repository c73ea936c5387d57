"""Claims on names: taken where they are free, taken over where somebody broke off, given back by reactors."""

from domain.commands import ConfirmClaim, ReleaseClaim
from domain.context import Context
from domain.deciders import account as accounts
from domain.deciders import claim as claims
from domain.deciders.account import Account
from domain.deciders.claim import Claim
from domain.errors import Refusal
from domain.handlers.result import Result, confirm, shard, state_of
from domain.ids import account_stream, claim_stream
from domain.log.port import Draft, EventLog, Execution, View


async def vacate(log: EventLog, claim: str, kind: str, taker: str, context: Context) -> str:
    """The holding in whose place ``taker`` may put another, empty where nobody holds the name.

    A holding that its owner does not name is given up on after ``limits.claim_takeover`` seconds, once the fence stands in the owner's stream. DUPLICATE
    for a name that somebody holds, or that rests.
    """
    stream = claim_stream(claim)
    standing = await state_of(log, stream, Claim)
    if not standing.held and not standing.rests(context.now, taker):
        return ""
    standing = View((await confirm(log, stream, context)).states).state(stream, Claim)
    if standing.rests(context.now, taker):
        raise accounts.taken(kind)
    if not standing.held or standing.owner == taker:
        # Another try of the taker's own: the decision on the claim knows what to make of it.
        return ""
    if standing.confirmed or context.now - standing.held_at < context.limits.claim_takeover * 1_000_000:
        raise accounts.taken(kind)
    await _void(log, standing.owner, standing.claim_id, kind, context)
    return standing.claim_id


async def abandon(log: EventLog, claim: str, kind: str, owner: str, holding: str, context: Context) -> None:
    """Gives up a holding that came to nothing. The fence comes first, for another try of the same request may be about to name it."""
    try:
        await _void(log, owner, holding, kind, context)
    except Refusal:
        return
    await _release(log, claim, owner, holding, 0, context)


async def _void(log: EventLog, owner: str, holding: str, kind: str, context: Context) -> None:
    """From here on the slow one can not name this holding any more; DUPLICATE where it has named it."""
    stream = account_stream(owner)

    def decide(view: View) -> tuple[Draft, ...]:
        return context.drafts(stream, accounts.void_claim(view.state(stream, Account), owner, holding, kind))

    await log.execute(Execution(shard(log, owner), (stream,), decide, context.metadata()))


async def confirm_claim(log: EventLog, command: ConfirmClaim, context: Context) -> Result:
    """The reactor's step after a registration or a change of handle."""
    stream = claim_stream(command.claim_stream)

    def decide(view: View) -> tuple[Draft, ...]:
        return context.drafts(stream, claims.confirm(view.state(stream, Claim), command.owner, command.claim_id))

    execution = Execution(shard(log, command.claim_stream), (stream,), decide, context.metadata())
    return Result(command.owner, await log.execute(execution))


async def release_claim(log: EventLog, command: ReleaseClaim, context: Context) -> Result:
    """The reactor's step after a change of handle or a deletion; a handle then rests."""
    rests_until = command.given_up_at + context.limits.handle_rest * 1_000_000 if command.rests else 0
    return await _release(log, command.claim_stream, command.owner, command.claim_id, rests_until, context)


async def _release(log: EventLog, claim: str, owner: str, holding: str, rests_until: int, context: Context) -> Result:
    stream = claim_stream(claim)

    def decide(view: View) -> tuple[Draft, ...]:
        return context.drafts(stream, claims.release(view.state(stream, Claim), owner, holding, rests_until))

    return Result(owner, await log.execute(Execution(shard(log, claim), (stream,), decide, context.metadata())))

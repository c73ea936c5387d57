"""What follows from an event in streams without number: what a deleted account did is taken back, sessions that ended together get their ends."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from domain.commands import AcceptPendingFollow, EndSession, ForgetSubject, ReleaseClaim, Withdraw
from domain.envelope import Recorded
from domain.errors import UnavailableError
from domain.events import AccountDeleted, AccountSessionsEnded, AccountUnlocked
from domain.log.port import EventLog
from domain.policies import POLICIES
from projections import footprints, relations, viewer_edges
from projections.documents.port import Documents
from projections.footprints import streams_of
from projections.relations import RelationKind
from projections.runtime.reactors import Cascade, Page

PATIENCE: Final = 5.0
LOOK: Final = 0.05
"""Seconds: how long a cascade waits for what it goes through to be folded before it is asked again later, and between two looks."""
SESSION: Final = "session"


async def _end_sessions(recorded: Recorded, _: EventLog, documents: Documents) -> AsyncGenerator[Page, None]:
    event = recorded.event
    if isinstance(event, AccountSessionsEnded):
        async for streams in streams_of(documents, event.account, SESSION):
            sessions = [stream.partition("-")[2] for stream in streams]
            yield [(one, EndSession(session=one, account=event.account, reason=event.reason)) for one in sessions]


async def _end_account(recorded: Recorded, log: EventLog, documents: Documents) -> AsyncGenerator[Page, None]:
    """All that it did, then its names, then its key: in this order, however often it is begun anew.

    Goes through the footprints until there are none, each time after everything that had been recorded was folded: so nothing that was under way in
    another shard while the account was deleted stays behind.
    """
    event = recorded.event
    if not isinstance(event, AccountDeleted):
        return
    some = True
    while some:
        some = False
        await _caught_up(log, documents)
        for category in (SESSION, ""):
            async for streams in streams_of(documents, event.account, category):
                some = True
                yield [(stream, Withdraw(account=event.account, stream=stream)) for stream in streams]
    yield [
        ("handle", _release(recorded, event, event.handle_claim_stream, event.handle_claim, rests=True)),
        ("email", _release(recorded, event, event.email_claim_stream, event.email_claim, rests=False)),
    ]
    yield [("key", ForgetSubject(account=event.account))]


def _release(recorded: Recorded, event: AccountDeleted, claim: str, claim_id: str, *, rests: bool) -> ReleaseClaim:
    return ReleaseClaim(
        claim_stream=claim, owner=event.account, claim_id=claim_id, given_up_at=recorded.recorded_at, rests=rests
    )


async def _accept_pending(recorded: Recorded, _: EventLog, documents: Documents) -> AsyncGenerator[Page, None]:
    """Who asked before the unlocking; who asks a later lock stands in the same list, and is left there by the decider."""
    event = recorded.event
    if isinstance(event, AccountUnlocked):
        async for some in relations.everyone(documents, RelationKind.REQUEST, event.account):
            yield [
                (one.other, AcceptPendingFollow(follower=one.other, followee=event.account, unlocked=recorded.sequence))
                for one in some
            ]


async def _caught_up(log: EventLog, documents: Documents) -> None:
    """Returns when the footprints have come to where every shard's head is now. Raises UnavailableError where that takes too long."""
    heads = await asyncio.gather(*(log.head(shard) for shard in range(log.identity.shards)))
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                saved = await documents.load_checkpoints(footprints.FAMILY.name)
                if all(saved.get(shard, 0) >= head for shard, head in enumerate(heads)):
                    return
                await asyncio.sleep(LOOK)
    except TimeoutError:
        raise UnavailableError("what a deleted account did is not all folded yet") from None


CASCADES: Final = (
    Cascade("end-sessions", (AccountSessionsEnded,), _end_sessions, (footprints.FAMILY.name,)),
    Cascade("accept-pending-follows", (AccountUnlocked,), _accept_pending, (viewer_edges.FAMILY.name,)),
    Cascade("end-account", (AccountDeleted,), _end_account, (footprints.FAMILY.name,)),
)
REACTORS: Final = (*POLICIES, *CASCADES)
"""All that ``work`` runs besides the families."""

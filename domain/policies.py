"""Policies of the reactors: event → commands, pure. They do what needs a second shard; redelivered, their commands change nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from domain.commands import Command, ConfirmClaim, EndBlockersFollow, ReleaseClaim
from domain.envelope import Recorded
from domain.events import AccountBlocked, AccountHandleChanged, AccountRegistered


@dataclass(frozen=True, slots=True)
class Policy:
    """``name`` is stable: the reactor's checkpoint and its commands' ids bear it."""

    name: str
    react: Callable[[Recorded], Sequence[Command]]


def confirm_email_claim(recorded: Recorded) -> Sequence[Command]:
    """An account that names its e-mail claim holds it for good: no takeover needs to ask again."""
    match recorded.event:
        case AccountRegistered() as e:
            return (ConfirmClaim(claim_stream=e.email_claim_stream, owner=e.account, claim_id=e.email_claim),)
    return ()


def settle_handle_claims(recorded: Recorded) -> Sequence[Command]:
    """An account that names its new handle's claim holds it for good, and its old handle rests."""
    match recorded.event:
        case AccountHandleChanged() as e if e.claim_id != e.former_claim:
            return (
                ConfirmClaim(claim_stream=e.claim_stream, owner=e.account, claim_id=e.claim_id),
                ReleaseClaim(
                    claim_stream=e.former_claim_stream,
                    owner=e.account,
                    claim_id=e.former_claim,
                    given_up_at=recorded.recorded_at,
                    rests=True,
                ),
            )
    return ()


def end_blockers_follow(recorded: Recorded) -> Sequence[Command]:
    """Who blocks somebody follows them no more; that follow is filed under the other."""
    match recorded.event:
        case AccountBlocked() as e:
            return (EndBlockersFollow(follower=e.actor, followee=e.target, block=recorded.event_id),)
    return ()


POLICIES: Final = (
    Policy("confirm-email-claim", confirm_email_claim),
    Policy("settle-handle-claims", settle_handle_claims),
    Policy("end-blockers-follow", end_blockers_follow),
)

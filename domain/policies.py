"""Policies of the reactors: event → commands, pure. They do what needs a second shard; redelivered, their commands change nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from domain.commands import Command, ConfirmClaim
from domain.envelope import Recorded
from domain.events import AccountRegistered


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


POLICIES: Final = (Policy("confirm-email-claim", confirm_email_claim),)

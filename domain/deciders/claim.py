"""Claims: uniqueness of names across shards without documents. One stream a name, one holder at a time."""

import msgspec

from domain.envelope import Recorded
from domain.events import ClaimConfirmed, ClaimHeld, ClaimReleased


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """``owner`` is empty while nobody holds the name. ``request``, ``result_hmac``: the idempotent registration that holds it."""

    owner: str = ""
    claim_id: str = ""
    kind: str = ""
    held_at: int = 0
    confirmed: bool = False
    request: str | None = None
    input_hmac: str | None = None

    @property
    def held(self) -> bool:
        return bool(self.owner)


def evolve(state: Claim, recorded: Recorded) -> Claim:
    match recorded.event:
        case ClaimHeld() as e:
            return Claim(
                owner=e.owner,
                claim_id=e.claim_id,
                kind=e.kind,
                held_at=recorded.recorded_at,
                request=e.request,
                input_hmac=recorded.metadata.input_hmac,
            )
        case ClaimConfirmed():
            return msgspec.structs.replace(state, confirmed=True)
        case ClaimReleased():
            return Claim()
    return state


def confirm(state: Claim, owner: str, claim_id: str) -> tuple[ClaimConfirmed, ...]:
    """Does nothing when the cause no longer holds (another holding) or was confirmed before: a late redelivery changes nothing."""
    if state.owner != owner or state.claim_id != claim_id or state.confirmed:
        return ()
    return (ClaimConfirmed(owner=owner, claim_id=claim_id),)


def release(state: Claim, owner: str, claim_id: str) -> tuple[ClaimReleased, ...]:
    """Only the holding that is named is released."""
    if state.owner != owner or state.claim_id != claim_id:
        return ()
    return (ClaimReleased(owner=owner, claim_id=claim_id),)

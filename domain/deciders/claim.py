"""Claims: uniqueness of names across shards without documents. One stream a name, one holder at a time."""

import msgspec

from domain.deciders.account import taken
from domain.envelope import Recorded
from domain.events import ClaimConfirmed, ClaimHeld, ClaimReleased


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """``owner`` is empty while nobody holds the name. ``request``, ``input_hmac``: the idempotent registration that holds it. Until ``rests_until``
    (microseconds) only ``former`` can hold a name that was released."""

    owner: str = ""
    claim_id: str = ""
    kind: str = ""
    held_at: int = 0
    confirmed: bool = False
    request: str | None = None
    input_hmac: str | None = None
    former: str = ""
    rests_until: int = 0

    @property
    def held(self) -> bool:
        return bool(self.owner)

    def rests(self, now: int, taker: str) -> bool:
        """Whether nobody holds the name and ``taker`` can not either, not yet."""
        return not self.held and self.former != taker and now < self.rests_until


def evolve(state: Claim, recorded: Recorded) -> Claim:
    match recorded.event:
        case ClaimHeld() as e:
            return Claim(
                owner=e.owner,
                claim_id=e.claim_id,
                kind=e.kind,
                held_at=recorded.recorded_at,
                confirmed=e.confirmed,
                request=e.request,
                input_hmac=recorded.metadata.input_hmac,
            )
        case ClaimConfirmed():
            return msgspec.structs.replace(state, confirmed=True)
        case ClaimReleased() as e:
            return Claim(former=e.owner, rests_until=e.rests_until)
    return state


def hold(state: Claim, held: ClaimHeld, now: int, in_place_of: str = "") -> tuple[ClaimHeld, ...]:
    """DUPLICATE while somebody holds the name, unless by the holding ``in_place_of``, which was fenced off; or while it rests."""
    if (state.held and state.claim_id != in_place_of) or state.rests(now, held.owner):
        raise taken(held.kind)
    return (held,)


def confirm(state: Claim, owner: str, claim_id: str) -> tuple[ClaimConfirmed, ...]:
    """Does nothing when the cause no longer holds (another holding) or was confirmed before: a late redelivery changes nothing."""
    if state.owner != owner or state.claim_id != claim_id or state.confirmed:
        return ()
    return (ClaimConfirmed(owner=owner, claim_id=claim_id),)


def release(state: Claim, owner: str, claim_id: str, rests_until: int = 0) -> tuple[ClaimReleased, ...]:
    """Only the holding that is named is released."""
    if state.owner != owner or state.claim_id != claim_id:
        return ()
    return (ClaimReleased(owner=owner, claim_id=claim_id, rests_until=rests_until),)

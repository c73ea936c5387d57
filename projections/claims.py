"""Claims on names, as far as ``handleAvailable`` needs them: who holds a name, and which one rests. Ids are claims' ids, so that no name stands here."""

from collections.abc import Iterable

from domain.envelope import Recorded
from domain.events import ClaimConfirmed, ClaimHeld, ClaimReleased
from domain.names import handle_skeleton
from projections.accounts import get_profiles
from projections.documents.port import Change, Collection, Document, Documents, Fidelity, Shape, Value
from projections.folding import Alter, Family, Operation, on

CLAIMS = Collection("claims", "claims", Shape.STATE, Fidelity.EXACT)


def _alter(recorded: Recorded, change: Change) -> Iterable[Operation]:
    yield Alter(CLAIMS, recorded.stream.partition("-")[2], change)


def _held(recorded: Recorded, event: ClaimHeld) -> Iterable[Operation]:
    fields: dict[str, Value] = {"owner": event.owner, "heldAt": recorded.recorded_at, "confirmed": event.confirmed}
    return _alter(recorded, Change(set=fields, unset=("former", "restsUntil")))


def _confirmed(recorded: Recorded, _: ClaimConfirmed) -> Iterable[Operation]:
    return _alter(recorded, Change(set={"confirmed": True}))


def _released(recorded: Recorded, event: ClaimReleased) -> Iterable[Operation]:
    fields: dict[str, Value] = {"former": event.owner, "restsUntil": event.rests_until}
    return _alter(recorded, Change(set=fields, unset=("owner", "heldAt", "confirmed")))


FAMILY = Family(
    "claims", (CLAIMS,), dict((on(ClaimHeld, _held), on(ClaimConfirmed, _confirmed), on(ClaimReleased, _released)))
)


async def handle_is_free(
    documents: Documents, claim: str, handle: str, viewer: str | None, now: int, takeover: int
) -> bool:
    """Whether ``viewer`` (None: a newcomer) could take the folded ``handle``, whose claim this is, as a command would decide it; ``now`` and
    ``takeover`` in microseconds. One find, two where the name is held."""
    document = (await documents.get(CLAIMS, [claim])).get(claim)
    if document is None:
        return True
    owner = document.get("owner")
    if not isinstance(owner, str):
        return document.get("former") == viewer or _number(document, "restsUntil") <= now
    if owner != viewer and (document.get("confirmed") is True or now - _number(document, "heldAt") < takeover):
        return False
    profile = (await get_profiles(documents, [owner])).get(owner)
    borne = profile.handle if profile is not None else None
    if owner == viewer:
        return borne != handle
    return borne is None or handle_skeleton(borne) != handle_skeleton(handle)


def _number(document: Document, name: str) -> int:
    value = document.get(name)
    return value if isinstance(value, int) else 0

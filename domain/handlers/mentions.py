"""Handles that a text mentions, and who holds them."""

from collections.abc import Iterable, Mapping

from domain.deciders.claim import Claim
from domain.ids import Namer, claim_stream
from domain.log.port import View
from domain.names import handle_claim


def claims_on(handles: Iterable[str], namer: Namer) -> dict[str, str]:
    """Handle → stream of the claim on it."""
    return {handle: claim_stream(handle_claim(namer, handle)) for handle in handles}


def holders(claims: Mapping[str, str], view: View) -> dict[str, str]:
    """Handle → account, of those handles that somebody holds."""
    owners = {handle: view.state(stream, Claim).owner for handle, stream in claims.items()}
    return {handle: owner for handle, owner in owners.items() if owner}

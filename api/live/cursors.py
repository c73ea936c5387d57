"""Live cursors: how far a subscription has come in every shard, signed and bound to its list and its viewer."""

import asyncio
from collections.abc import Mapping

from api.services import Services
from api.signing import Purpose
from domain.errors import Code, Refusal, refuse
from projections.signals import signal_floors
from projections.trends import TrendKind, TrendWindow

HOME = "homeFeed"
NOTIFICATIONS = "notifications"
PUBLIC = "publicFeed"


def hashtag(tag: str) -> str:
    """The name of a folded tag's list."""
    return f"hashtagFeed {tag}"


def post(id_: str) -> str:
    return f"post {id_}"


def trends(kind: TrendKind, window: TrendWindow) -> str:
    return f"trends {kind} {window}"


def subject(list_name: str, viewer: str | None) -> str:
    return f"{list_name}\n{viewer or ''}"


def sign_live(services: Services, bound_to: str, positions: Mapping[int, int]) -> str:
    return services.signer.sign_vector(Purpose.LIVE, positions, bound_to)


async def live_cursor(services: Services, list_name: str, family: str, viewer: str | None) -> str:
    """For a page that is read after this: a stream from here on brings whatever the page, which reads ``family``, does not have."""
    signalled, folded = await asyncio.gather(services.live.checkpoints(), services.documents.load_checkpoints(family))
    positions = {shard: min(position, folded.get(shard, 0)) for shard, position in signalled.items()}
    return sign_live(services, subject(list_name, viewer), positions)


async def read_live(services: Services, bound_to: str, cursor: str, current: Mapping[int, int]) -> dict[int, int]:
    """{shard: sequence} of a cursor of this list.

    Refusal CURSOR_INVALID for any other, and for one ahead of the signals; CURSOR_TOO_OLD where what came after it is not kept any more.
    """
    try:
        positions = services.signer.read_vector(Purpose.LIVE, cursor, bound_to)
    except Refusal as refusal:
        message = (
            "This is no cursor of this stream: it is good for the stream, its arguments and the person it was given to."
        )
        raise refuse(refusal.problems[0].code, message, "after") from None
    if _ahead(positions, current) and _ahead(positions, await services.live.checkpoints()):
        raise refuse(Code.CURSOR_INVALID, "This cursor is ahead of the stream.", "after")
    await require_kept(services, positions)
    return {shard: positions.get(shard, 0) for shard in current}


async def require_kept(services: Services, positions: Mapping[int, int]) -> None:
    """Refusal CURSOR_TOO_OLD where signals above these positions have been swept away."""
    floors = await signal_floors(services.live.looks.documents, list(positions))
    if any(positions[shard] < floor for shard, floor in floors.items()):
        raise too_old()


def too_old() -> Refusal:
    return refuse(Code.CURSOR_TOO_OLD, "What came after this cursor is not kept any more: read the page anew.", "after")


def _ahead(positions: Mapping[int, int], current: Mapping[int, int]) -> bool:
    return any(position > current.get(shard, 0) for shard, position in positions.items())

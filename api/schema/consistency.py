"""Reading no earlier than what the client has seen: waits for the families that a resolver reads, two seconds in all for one operation."""

import time
from typing import Final

import strawberry

from api.context import RequestContext
from projections.runtime.waiting import TIMEOUT

Info = strawberry.Info[RequestContext, None]
"""What a resolver is given by strawberry."""

# The families behind what is shown of posts and people, whatever list they stand in.
SHOWN: Final = ("accounts", "posts", "viewer_edges")
HOME: Final = ("home", *SHOWN)
HASHTAG: Final = ("hashtag_feed", *SHOWN)
NOTIFICATIONS: Final = ("notifications", *SHOWN)
SEARCH: Final = ("search", "home", "hashtag_feed", *SHOWN)
TRENDS: Final = ("trends",)
SESSIONS: Final = ("sessions",)
NAMES: Final = ("accounts", "claims")

_DEADLINE: Final = "consistency deadline"


async def consistent(context: RequestContext, families: tuple[str, ...], most: float = TIMEOUT) -> None:
    """Returns when ``families`` have folded what the client's token asks for, or the time for that is up, ``most`` seconds and two in all for one
    operation: the answer then says so in ``extensions.consistency``."""
    if not context.seen:
        return
    now = time.monotonic()
    deadline = context.loaders.setdefault(_DEADLINE, now + TIMEOUT)
    left = deadline - now if isinstance(deadline, float) else 0.0
    reached = left > 0 and await context.services.waiting.reached(families, context.seen, min(left, most))
    if not reached or "consistency" not in context.extensions:
        context.extensions["consistency"] = {"reached": reached}

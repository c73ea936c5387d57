"""Following a command: each state that it comes to, up to the last."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Final

from api.context import RequestContext
from api.schema.enums import ReceiptStatus
from api.schema.progress import command_status
from api.schema.receipts import CommandReceipt

FIRST: Final = 0.02
LONGEST: Final = 1.0
"""Seconds between two looks, each pause twice the last: mostly a command is projected within the first few."""
UNKNOWN_FOR: Final = 30.0
ACCEPTED_FOR: Final = 300.0
"""Seconds that a command is waited for which nothing is known of, and one whose projection stands still."""


async def follow_command(context: RequestContext, command_id: str) -> AsyncGenerator[CommandReceipt, None]:
    """Ends behind PROJECTED, at once for what is no command's id, and where nothing has come for too long."""
    told: ReceiptStatus | None = None
    # Of what is live: a command may be followed for longer than a version lasts.
    documents = context.services.live.looks.documents
    with context.services.commands_followed.taken():
        for waited, pause in _looks():
            receipt = await command_status(context, command_id, documents)
            if receipt is None:
                return
            if receipt.status is not told:
                told = receipt.status
                yield receipt
            patience = UNKNOWN_FOR if told is ReceiptStatus.UNKNOWN else ACCEPTED_FOR
            if told is ReceiptStatus.PROJECTED or waited > patience:
                return
            await asyncio.sleep(pause)


def _looks() -> Iterator[tuple[float, float]]:
    """Seconds that the pauses have come to, and the next pause."""
    waited, pause = 0.0, FIRST
    while True:
        yield waited, pause
        waited, pause = waited + pause, min(2 * pause, LONGEST)

"""Receipts: what a client keeps of a mutation, to read its own writes and to ask what became of it."""

from collections.abc import Mapping

import strawberry

from api.context import RequestContext
from api.schema.enums import ReceiptStatus
from api.schema.ids import Kind, global_id
from api.schema.scalars import Timestamp
from api.signing import Purpose
from api.vectors import merged


@strawberry.type(description="That a command was recorded, and where.")
class CommandReceipt:
    command_id: strawberry.ID = strawberry.field(description="Names the command: `commandStatus` tells how far it is.")
    position: str = strawberry.field(
        description="Consistency token: whoever sends it along (header X-Consistency-Token) reads no earlier state. It includes the token that came with the mutation."
    )
    status: ReceiptStatus = strawberry.field(description="How far the command has come.")
    accepted_at: Timestamp | None = strawberry.field(description="When it was recorded, as far as that is known.")


def receipt(
    context: RequestContext, command: str, positions: Mapping[int, int], status: ReceiptStatus, at: int | None
) -> CommandReceipt:
    token = context.services.signer.sign_vector(Purpose.CONSISTENCY, merged(context.seen, positions))
    return CommandReceipt(
        command_id=strawberry.ID(global_id(Kind.COMMAND, command)),
        position=token,
        status=status,
        accepted_at=None if at is None else Timestamp(at),
    )

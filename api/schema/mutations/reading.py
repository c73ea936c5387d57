"""Marking what has been read."""

import strawberry

from api.schema import notifications
from api.schema.consistency import Info
from api.schema.fields import mutation, resolved
from api.schema.mutations.running import CLIENT_MUTATION_ID, Input, MutationPayload, Ran, run
from api.schema.scalars import Timestamp
from domain import commands
from domain.errors import UnavailableError


@strawberry.input(description="How far the viewer has read.")
class MarkNotificationsReadInput:
    up_to: Timestamp | None = strawberry.field(
        default=None, description="`latestAt` of the latest that was seen. Null: all that there are by now."
    )
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.type(description="What became of `markNotificationsRead`.")
class MarkNotificationsReadPayload(MutationPayload):
    ran: strawberry.Private[Ran]

    @resolved("How many are unread now; null where nothing was done or lists cannot be read at the moment.")
    async def unread_count(self, info: Info) -> int | None:
        if self.ran.result is None:
            return None
        info.context.seen = {**info.context.seen, **self.ran.result.outcome.positions}
        try:
            return await notifications.unread_count(info.context)
        except UnavailableError:
            return None


@strawberry.type
class ReadingMutations:
    @mutation("Marks notifications as read up to a time. Read already: nothing changes.")
    async def mark_notifications_read(
        self, info: Info, input: Input[MarkNotificationsReadInput]
    ) -> MarkNotificationsReadPayload:
        ran = await run(info.context, lambda: commands.MarkNotificationsRead(up_to=input.up_to))
        return MarkNotificationsReadPayload(ran=ran, **ran.common(input.client_mutation_id))

"""What can be followed live."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import strawberry

from api.live import home
from api.schema.consistency import Info
from api.schema.fields import subscription
from api.schema.following import follow_command
from api.schema.queries import CommandId
from api.schema.receipts import CommandReceipt
from api.schema.scalars import Timestamp
from api.schema.social import FeedItem, item_id, present_item, present_post

LiveAfter = Annotated[
    str | None,
    strawberry.argument(
        description="A `liveCursor`, or the cursor of the last item that was received: what came since is brought first, up to 36 hours of it. Null: from now on."
    ),
]


@strawberry.type(description="An item has come into the feed.")
class FeedItemAdded:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this event.")
    item: FeedItem = strawberry.field(description="The item.")


@strawberry.type(description="An item of the feed has changed: its post was edited.")
class FeedItemUpdated:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this event.")
    item: FeedItem = strawberry.field(description="The item as it is now.")


@strawberry.type(description="An item has gone from the feed: its post was deleted, or the repost undone.")
class FeedItemRemoved:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this event.")
    item: FeedItem = strawberry.field(
        description="The item that went: its id as it was, `sortAt` when it went, `post` as it is now."
    )


@strawberry.type(description="The stream ends here, for it could not keep up. Subscribe anew with the cursor.")
class Lagged:
    cursor: str = strawberry.field(description="Give it as `after` to miss nothing.")
    count: int = strawberry.field(description="Events that were not delivered, as far as they were counted.")


FeedEvent = Annotated[
    FeedItemAdded | FeedItemUpdated | FeedItemRemoved | Lagged,
    strawberry.union("FeedEvent", description="What happens in a feed."),
]


@strawberry.type(description="What can be followed live.")
class Subscription:
    @subscription(
        "What comes into, changes in and goes from the viewer's home, as it happens. Each event comes at least once; items have ids to tell."
    )
    async def home_feed(self, info: Info, after: LiveAfter = None) -> AsyncGenerator[FeedEvent, None]:
        viewer = info.context.require_viewer()
        async with aclosing(home.home_stream(info.context.services, viewer, after)) as events:
            async for event in events:
                yield present_event(viewer.account, event)

    @subscription(
        "How far a command has come: what is known now and each change, up to `PROJECTED`. It ends there, after 30 seconds in which nothing is known of the command, and after five minutes in which its events are not projected."
    )
    async def command_status(self, info: Info, command_id: CommandId) -> AsyncGenerator[CommandReceipt, None]:
        async with aclosing(follow_command(info.context, command_id)) as receipts:
            async for receipt in receipts:
                yield receipt


def present_event(viewer: str, event: home.HomeEvent) -> FeedEvent:
    match event:
        case home.Added(cursor, item):
            return FeedItemAdded(cursor=cursor, item=present_item(viewer, item))
        case home.Updated(cursor, item):
            return FeedItemUpdated(cursor=cursor, item=present_item(viewer, item))
        case home.Removed(cursor, gone, post, at):
            tombstone = FeedItem(id=item_id(gone), post=present_post(viewer, post), reason=None, sort_at=Timestamp(at))
            return FeedItemRemoved(cursor=cursor, item=tombstone)
        case home.Lagged(cursor, count):
            return Lagged(cursor=cursor, count=count)

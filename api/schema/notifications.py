"""What the viewer was told: by whom, about what, and what is unread of it."""

from functools import partial
from typing import Annotated

import strawberry

from api.context import RequestContext
from api.live import cursors
from api.schema.consistency import NOTIFICATIONS, Info, consistent
from api.schema.enums import NotificationType
from api.schema.fields import resolved
from api.schema.pages import AfterCursor, BeforeCursor, Connection, First, Last, connection, list_name, window
from api.schema.scalars import Timestamp
from api.schema.social import PostResult, User, present_post, present_user
from projections import notes, notified

TypesArgument = Annotated[
    list[NotificationType] | None, strawberry.argument(description="Only these kinds. Null: all.")
]
GroupedArgument = Annotated[
    bool,
    strawberry.argument(
        description="Whether likes and reposts of a post, and follows, stand together when they came within the same 12 hours."
    ),
]


@strawberry.type(
    description="What others did that concerns the viewer: one thing, or several of a kind about the same."
)
class NotificationGroup:
    view: strawberry.Private[notified.NotificationView]
    id: strawberry.ID = strawberry.field(description="Stays the same when more comes to the group.")
    type: NotificationType = strawberry.field(description="What was done.")
    count: int = strawberry.field(description="How many did it: 1,000 at most.")
    sample_actors: list[User] = strawberry.field(description="Some of those who did it, the latest first: 8 at most.")
    post: PostResult | None = strawberry.field(
        description="The post that it is about: the viewer's own that was liked or reposted, the one that mentions or answers. Null for follows."
    )
    latest_at: Timestamp = strawberry.field(description="When the latest was done.")
    unread: bool = strawberry.field(
        description="Whether the latest came after what `markNotificationsRead` was last told."
    )

    @resolved("All who did it, the latest first.")
    async def actors(
        self,
        info: Info,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> Connection[User]:
        context, viewer = info.context, info.context.require_viewer().account
        name = list_name(viewer, "actors", self.view.id)
        asked = window(context.services.signer, name, first=first, after=after, last=last, before=before)
        await consistent(context, NOTIFICATIONS)
        services = context.services
        page = await notified.actors_page(services.documents, viewer, self.view, asked, services.now())
        return connection(services.signer, name, page, partial(present_user, viewer))


@strawberry.type(description="A page of notifications.")
class NotificationConnection(Connection[NotificationGroup]):
    live_cursor: str = strawberry.field(
        description="Give it as `after` to the subscription `notifications`: it then brings whatever is not on a first page, without a gap."
    )


async def read(
    context: RequestContext,
    types: list[NotificationType] | None,
    grouped: bool,
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
    *,
    live: bool,
) -> NotificationConnection:
    """``live``: whether the live cursor is asked for, which costs two finds."""
    services, viewer = context.services, context.require_viewer().account
    chosen = sorted({kind.name for kind in types or ()})
    name = list_name(viewer, "notifications", str(grouped), *chosen)
    asked = window(services.signer, name, first=first, after=after, last=last, before=before)
    await consistent(context, NOTIFICATIONS)
    # Before the page: what comes into being between the two is on both rather than on neither.
    live_cursor = ""
    if live:
        live_cursor = await cursors.live_cursor(services, cursors.NOTIFICATIONS, NOTIFICATIONS[0], viewer)
    reader = await notified.reader(services.documents, viewer, services.now())
    kinds = [notes.NotificationType[kind] for kind in chosen]
    found = await notified.notifications_page(services.documents, reader, asked, kinds, grouped=grouped)
    page = connection(services.signer, name, found, partial(present, viewer))
    return NotificationConnection(edges=page.edges, nodes=page.nodes, page_info=page.page_info, live_cursor=live_cursor)


async def unread_count(context: RequestContext) -> int:
    services, viewer = context.services, context.require_viewer().account
    await consistent(context, NOTIFICATIONS)
    reader = await notified.reader(services.documents, viewer, services.now())
    return await notified.unread_count(services.documents, reader)


def notification_id(group: str) -> strawberry.ID:
    return strawberry.ID(f"n_{group}")


def present(viewer: str, view: notified.NotificationView) -> NotificationGroup:
    return NotificationGroup(
        id=notification_id(view.id),
        type=NotificationType[view.type.name],
        count=view.count,
        sample_actors=[present_user(viewer, person) for person in view.people],
        post=None if view.post is None else present_post(viewer, view.post),
        view=view,
        latest_at=Timestamp(view.at),
        unread=view.unread,
    )

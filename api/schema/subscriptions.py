"""What can be followed live."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Annotated

import strawberry

from api.live import home, items, stream
from api.live import notifications as notes
from api.live import post as posts
from api.live import trends as rankings
from api.schema.consistency import Info
from api.schema.enums import TrendKind, TrendWindow
from api.schema.feeds import hashtag
from api.schema.fields import subscription
from api.schema.following import follow_command
from api.schema.ids import Kind, bare_id
from api.schema.notifications import NotificationGroup, notification_id, present
from api.schema.queries import CommandId, Id, KindArgument, TagName, WindowArgument
from api.schema.receipts import CommandReceipt
from api.schema.scalars import Timestamp
from api.schema.social import FeedItem, Post, PostResult, item_id, present_item, present_post, viewer_of
from api.schema.trending import Trend, present_trend, trend_id
from projections import trends
from projections.rules import PostView

LiveAfter = Annotated[
    str | None,
    strawberry.argument(
        description="A `liveCursor`, or the cursor of the last item that was received: what came since is brought first, up to 36 hours of it. Null: from now on, also for who comes back before anything was received. The header Last-Event-ID of who comes back to server-sent events goes before it; events have ids where the field `cursor` is asked for under that name."
    ),
]
RankingAfter = Annotated[
    str | None,
    strawberry.argument(
        description="A `liveCursor`, or the cursor of the last event that was received, up to seven days old: what is different now is brought first, not what came and went in between. Null: from now on. Of Last-Event-ID as in the other subscriptions."
    ),
]


@strawberry.type(description="An item has come into the feed.")
class FeedItemAdded:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this event.")
    item: FeedItem = strawberry.field(description="The item.")


@strawberry.type(
    description="An item of the feed has changed: its post was edited. With a hashtag that the edit brought, it is new in that feed."
)
class FeedItemUpdated:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this event.")
    item: FeedItem = strawberry.field(description="The item as it is now.")


@strawberry.type(
    description="An item has gone from the feed: its post was deleted, or lost the hashtag, or the repost was undone."
)
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


@strawberry.type(description="Somebody is told of something.")
class NotificationAdded:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this event.")
    notification: NotificationGroup = strawberry.field(description="The notification.")


@strawberry.type(
    description="More came to a group, or some of it was taken back. One that is not known yet is to be taken as added."
)
class NotificationUpdated:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this event.")
    notification: NotificationGroup = strawberry.field(description="The group as it is now.")


@strawberry.type(description="All of a notification was taken back.")
class NotificationRemoved:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this event.")
    id: strawberry.ID = strawberry.field(description="The notification that went.")


NotificationEvent = Annotated[
    NotificationAdded | NotificationUpdated | NotificationRemoved | Lagged,
    strawberry.union("NotificationEvent", description="What happens to the viewer's notifications."),
]


@strawberry.type(description="The post, or how often it was liked, reposted, quoted or answered, has changed.")
class PostUpdated:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this event.")
    post: PostResult = strawberry.field(description="The post as it is now, or what stands in its place.")


@strawberry.type(description="Somebody answered the post.")
class ReplyAdded:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this event.")
    post: PostResult = strawberry.field(description="The answer.")


PostEvent = Annotated[
    PostUpdated | ReplyAdded | Lagged,
    strawberry.union("PostEvent", description="What happens to a post."),
]


@strawberry.type(description="Something has begun to trend.")
class TrendAdded:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this event.")
    trend: Trend = strawberry.field(description="The trend.")


@strawberry.type(
    description="A trend has another rank, previous rank, beginning, or number of uses or authors; score and history alone, which change with time, are not told. One that is not known yet is to be taken as added."
)
class TrendUpdated:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this event.")
    trend: Trend = strawberry.field(description="The trend as it is now.")


@strawberry.type(description="Something trends no more, or its post was deleted.")
class TrendRemoved:
    cursor: str = strawberry.field(description="Give it as `after` to go on behind this event.")
    id: strawberry.ID = strawberry.field(description="The trend that went.")


TrendEvent = Annotated[
    TrendAdded | TrendUpdated | TrendRemoved | Lagged,
    strawberry.union("TrendEvent", description="What happens in a ranking."),
]


@strawberry.type(description="What can be followed live.")
class Subscription:
    @subscription(
        "What comes into, changes in and goes from the viewer's home, as it happens. Each event comes at least once; items have ids to tell."
    )
    async def home_feed(self, info: Info, after: LiveAfter = None) -> AsyncGenerator[FeedEvent, None]:
        viewer = info.context.require_viewer()
        present = partial(present_event, viewer.account)
        async with aclosing(home.home_stream(info.context.services, viewer, resumed(info, after), present)) as events:
            async for event in events:
                yield event

    @subscription(
        "Public posts of everybody that answer nothing: what comes, changes and goes. Each event comes at least once; items have ids to tell."
    )
    async def public_feed(self, info: Info, after: LiveAfter = None) -> AsyncGenerator[FeedEvent, None]:
        context = info.context
        present = partial(present_event, viewer_of(context))
        async with aclosing(
            items.public_stream(context.services, context.viewer, resumed(info, after), present)
        ) as events:
            async for event in events:
                yield event

    @subscription(
        "Public posts with a hashtag: what comes, changes and goes, a post too whose edit lacks it. Each event comes at least once; items have ids to tell."
    )
    async def hashtag_feed(self, info: Info, name: TagName, after: LiveAfter = None) -> AsyncGenerator[FeedEvent, None]:
        context, tag = info.context, hashtag(name)
        present = partial(present_event, viewer_of(context))
        async with aclosing(
            items.hashtag_stream(context.services, context.viewer, tag, resumed(info, after), present)
        ) as events:
            async for event in events:
                yield event

    @subscription(
        "What the viewer is told, and what of it is taken back within 36 hours, in groups. What goes as the post that it is about goes, goes from the page alone. Each event comes at least once."
    )
    async def notifications(self, info: Info, after: LiveAfter = None) -> AsyncGenerator[NotificationEvent, None]:
        viewer = info.context.require_viewer()
        present = partial(present_note, viewer.account)
        async with aclosing(
            notes.notifications_stream(info.context.services, viewer, resumed(info, after), present)
        ) as events:
            async for event in events:
                yield event

    @subscription(
        "How a post and its counts change, and the direct answers that the viewer may see. Nothing comes of a post that is not there, or not for the viewer. Each event comes at least once."
    )
    async def post(self, info: Info, id: Id, after: LiveAfter = None) -> AsyncGenerator[PostEvent, None]:
        context, bare = info.context, bare_id(Kind.POST, id, "id")
        present = partial(present_change, viewer_of(context))
        async with aclosing(
            posts.post_stream(context.services, context.viewer, bare, resumed(info, after), present)
        ) as events:
            async for event in events:
                yield event

    @subscription(
        "What begins to trend, moves and trends no more, as the ranking is made anew each minute: first what goes, then the rest by rank. Each event comes at least once; trends have ids to tell."
    )
    async def trends(
        self,
        info: Info,
        kind: KindArgument = TrendKind.TAG,
        window: WindowArgument = TrendWindow.H24,
        after: RankingAfter = None,
    ) -> AsyncGenerator[TrendEvent, None]:
        context = info.context
        ranking = trends.TrendKind(kind.name), trends.TrendWindow(window.name)
        async with aclosing(
            rankings.trends_stream(context.services, context.viewer, *ranking, resumed(info, after))
        ) as events:
            async for event in events:
                yield present_move(viewer_of(context), kind, window, event)

    @subscription(
        "How far a command has come: what is known now and each change, up to `PROJECTED`. It ends there, after 30 seconds in which nothing is known of the command, and after five minutes in which its events are not projected."
    )
    async def command_status(self, info: Info, command_id: CommandId) -> AsyncGenerator[CommandReceipt, None]:
        async with aclosing(follow_command(info.context, command_id)) as receipts:
            async for receipt in receipts:
                yield receipt


def resumed(info: Info, after: str | None) -> str | None:
    """Where the stream is to go on: who comes back repeats the operation with the cursor that it first had."""
    return info.context.last_event_id or after


def present_event(viewer: str | None, event: items.ItemEvent | stream.Lagged) -> FeedEvent:
    match event:
        case items.Added(cursor, item):
            return FeedItemAdded(cursor=cursor, item=present_item(viewer, item))
        case items.Updated(cursor, item):
            return FeedItemUpdated(cursor=cursor, item=present_item(viewer, item))
        case items.Removed(cursor, gone, post, at):
            tombstone = FeedItem(id=item_id(gone), post=present_post(viewer, post), reason=None, sort_at=Timestamp(at))
            return FeedItemRemoved(cursor=cursor, item=tombstone)
        case stream.Lagged(cursor, count):
            return Lagged(cursor=cursor, count=count)


def present_note(viewer: str, event: notes.NoteEvent | stream.Lagged) -> NotificationEvent:
    match event:
        case notes.Added(cursor, view):
            return NotificationAdded(cursor=cursor, notification=present(viewer, view))
        case notes.Updated(cursor, view):
            return NotificationUpdated(cursor=cursor, notification=present(viewer, view))
        case notes.Removed(cursor, group):
            return NotificationRemoved(cursor=cursor, id=notification_id(group))
        case stream.Lagged(cursor, count):
            return Lagged(cursor=cursor, count=count)


def present_change(viewer: str | None, event: posts.PostEvent | stream.Lagged) -> PostEvent:
    match event:
        case posts.Updated(cursor, view):
            return PostUpdated(cursor=cursor, post=present_post(viewer, view))
        case posts.Answered(cursor, reply):
            return ReplyAdded(cursor=cursor, post=present_post(viewer, reply))
        case stream.Lagged(cursor, count):
            return Lagged(cursor=cursor, count=count)


def present_move(
    viewer: str | None, kind: TrendKind, window: TrendWindow, event: rankings.TrendEvent | stream.Lagged
) -> TrendEvent:
    match event:
        case rankings.Added(cursor, trend, view):
            return TrendAdded(cursor=cursor, trend=present_trend(kind, window, trend, _open(viewer, view)))
        case rankings.Updated(cursor, trend, view):
            return TrendUpdated(cursor=cursor, trend=present_trend(kind, window, trend, _open(viewer, view)))
        case rankings.Removed(cursor, subject):
            return TrendRemoved(cursor=cursor, id=trend_id(kind, window, subject))
        case stream.Lagged(cursor, count):
            return Lagged(cursor=cursor, count=count)


def _open(viewer: str | None, view: PostView | None) -> Post | None:
    post = None if view is None else present_post(viewer, view)
    return post if isinstance(post, Post) else None

"""Whoever is signed in, with the lists that are theirs alone."""

import strawberry

from api.schema import feeds, notifications, relations
from api.schema.consistency import Info
from api.schema.fields import asks_for, resolved
from api.schema.finding import find_user
from api.schema.ids import Kind, global_id
from api.schema.node import Node
from api.schema.pages import AfterCursor, BeforeCursor, Connection, First, Last
from api.schema.sessions import ActiveSession, active_sessions
from api.schema.social import FeedItem, User


@strawberry.type(
    description="Whoever is signed in. Another thing than the person, with an id of its own; nobody else finds it."
)
class Viewer(Node):
    account: strawberry.Private[str]

    @resolved("The viewer as a person; null while a new account has not come to the lists yet.")
    async def user(self, info: Info) -> User | None:
        return await find_user(info.context, self.account)

    @resolved(
        "Posts and reposts of those whom the viewer follows, and the viewer's own, newest first. Replies only among people whom the viewer follows. No repost of what stands among the next 40 items below it: a post comes by who brought it first."
    )
    async def home_feed(self, info: Info, first: First = None, after: AfterCursor = None) -> feeds.HomeFeedConnection:
        return await feeds.home_feed(info.context, first, after, live=asks_for(info, "liveCursor"))

    @resolved("Where the account is in use: the open sessions, the newest first.")
    async def sessions(
        self,
        info: Info,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> Connection[ActiveSession]:
        return await active_sessions(info.context, first, after, last, before)

    @resolved("What the viewer was told, the latest first; nothing from those whom the viewer mutes or blocks.")
    async def notifications(
        self,
        info: Info,
        types: notifications.TypesArgument = None,
        grouped: notifications.GroupedArgument = True,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> notifications.NotificationConnection:
        live = asks_for(info, "liveCursor")
        return await notifications.read(info.context, types, grouped, first, after, last, before, live=live)

    @resolved("How many notifications are unread: 100 means that or more.")
    async def unread_count(self, info: Info) -> int:
        return await notifications.unread_count(info.context)

    @resolved("Posts that the viewer has bookmarked, the latest first; nobody else sees them.")
    async def bookmarks(
        self,
        info: Info,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> Connection[FeedItem]:
        return await feeds.bookmarks(info.context, first, after, last, before)

    @resolved("Posts that the viewer likes, the latest first; nobody else sees this list.")
    async def likes(
        self,
        info: Info,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> Connection[FeedItem]:
        return await feeds.likes(info.context, first, after, last, before)

    @resolved("Whom the viewer blocks, the latest first.")
    async def blocks(
        self,
        info: Info,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> Connection[User]:
        return await relations.blocks(info.context, first, after, last, before)

    @resolved("Whom the viewer mutes, the latest first; without those whose mute has ended.")
    async def mutes(
        self,
        info: Info,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> Connection[User]:
        return await relations.mutes(info.context, first, after, last, before)

    @resolved("Who has asked to follow the viewer and waits for `acceptFollow` or `rejectFollow`, the latest first.")
    async def follow_requests(
        self,
        info: Info,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> Connection[User]:
        return await relations.follow_requests(info.context, first, after, last, before)


def present_viewer(account: str) -> Viewer:
    return Viewer(id=strawberry.ID(global_id(Kind.VIEWER, account)), account=account)

"""Feeds: the viewer's home and hashtags, and what happens in a home."""

from functools import partial
from typing import Final

import strawberry

from api.context import RequestContext
from api.live import cursors
from api.schema.consistency import HASHTAG, HOME, SHOWN, consistent
from api.schema.enums import FeedState
from api.schema.own_lists import own_list
from api.schema.pages import Connection, connection, list_name, window
from api.schema.social import FeedItem, present_item, viewer_of
from api.services import Services
from domain.errors import Code, refuse
from domain.text import MAX_MARKS, MAX_TAG_GRAPHEMES, fold_tag, spans
from projections import homefeed, kept, reading, rules
from projections.paging import Page

MAX_NAME: Final = MAX_TAG_GRAPHEMES * (MAX_MARKS + 1)
"""Characters of a hashtag that is asked for, before it is folded."""


@strawberry.type(description="A page of the viewer's home.")
class HomeFeedConnection(Connection[FeedItem]):
    state: FeedState = strawberry.field(description="How the page was read; it is complete either way.")
    live_cursor: str = strawberry.field(
        description="Give it as `after` to the subscription `homeFeed`: it then brings whatever is not on a first page, without a gap."
    )


@strawberry.type(description="A page of a feed that can be followed live.")
class FeedConnection(Connection[FeedItem]):
    live_cursor: str = strawberry.field(
        description="Give it as `after` to the subscription of the same name: it then brings whatever is not on a first page, without a gap."
    )


async def home_feed(context: RequestContext, first: int | None, after: str | None, *, live: bool) -> HomeFeedConnection:
    """``live``: whether the live cursor is asked for, which costs two finds."""
    services, viewer = context.services, context.require_viewer().account
    name = list_name(viewer, "homeFeed")
    asked = window(services.signer, name, first=first, after=after)
    await consistent(context, HOME)
    # Before the page: what comes into being between the two is on both rather than on neither.
    live_cursor = await cursors.live_cursor(services, cursors.HOME, HOME[0], viewer) if live else ""
    home = await homefeed.home_page(services.documents, viewer, asked, services.now())
    if home.tend:
        tend = partial(homefeed.tend_home, services.documents, viewer, context.request_id, services.now())
        services.errands.start(f"home of {viewer}", tend)
    page = connection(services.signer, name, home.page, partial(present_item, viewer))
    return HomeFeedConnection(
        edges=page.edges,
        nodes=page.nodes,
        page_info=page.page_info,
        state=FeedState(home.state.value),
        live_cursor=live_cursor,
    )


def hashtag(name: str) -> str:
    """The folded tag. Refusal INVALID for what no text could hold as a hashtag, which has no posts and never will."""
    tag = fold_tag(name.strip()) if len(name) <= MAX_NAME else ""
    if not tag or [span.value for span in spans(f"#{tag}") if span.kind == "tag"] != [tag]:
        raise refuse(Code.INVALID, "This is not a hashtag.", "name")
    return tag


async def hashtag_feed(
    context: RequestContext,
    name: str,
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
    *,
    live: bool,
) -> FeedConnection:
    services, viewer = context.services, viewer_of(context)
    tag = hashtag(name)
    list_ = list_name(viewer, "hashtagFeed", tag)
    asked = window(services.signer, list_, first=first, after=after, last=last, before=before)
    await consistent(context, HASHTAG)
    live_cursor = await cursors.live_cursor(services, cursors.hashtag(tag), HASHTAG[0], viewer) if live else ""
    page = await reading.hashtag_page(services.documents, viewer, tag, asked, services.now())
    return _followed(services, viewer, list_, page, live_cursor)


async def public_feed(
    context: RequestContext, first: int | None, after: str | None, last: int | None, before: str | None, *, live: bool
) -> FeedConnection:
    services, viewer = context.services, viewer_of(context)
    list_ = list_name(viewer, "publicFeed")
    asked = window(services.signer, list_, first=first, after=after, last=last, before=before)
    await consistent(context, SHOWN)
    live_cursor = await cursors.live_cursor(services, cursors.PUBLIC, "posts", viewer) if live else ""
    page = await reading.public_page(services.documents, viewer, asked, services.now())
    return _followed(services, viewer, list_, page, live_cursor)


def _followed(
    services: Services, viewer: str | None, name: str, found: Page[rules.FeedItem], live_cursor: str
) -> FeedConnection:
    page = connection(services.signer, name, found, partial(present_item, viewer))
    return FeedConnection(edges=page.edges, nodes=page.nodes, page_info=page.page_info, live_cursor=live_cursor)


async def bookmarks(
    context: RequestContext, first: int | None, after: str | None, last: int | None, before: str | None
) -> Connection[FeedItem]:
    return await own_list(
        context, "bookmarks", kept.bookmarks_page, partial(present_item, kept="bookmark"), first, after, last, before
    )


async def likes(
    context: RequestContext, first: int | None, after: str | None, last: int | None, before: str | None
) -> Connection[FeedItem]:
    return await own_list(
        context, "likes", kept.likes_page, partial(present_item, kept="like"), first, after, last, before
    )

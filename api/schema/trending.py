"""Trends, ranked within one snapshot a page after the other."""

from collections.abc import Mapping, Sequence

import msgspec
import strawberry

from api.context import RequestContext
from api.live.trends import sign_trends
from api.schema.consistency import SHOWN, TRENDS, consistent
from api.schema.enums import TrendKind, TrendWindow
from api.schema.ids import Kind, global_id
from api.schema.pages import Connection, connection, list_name, window
from api.schema.scalars import Timestamp
from api.schema.social import Post, present_post, viewer_of
from domain.errors import Code, refuse
from projections import reading, trends


@strawberry.type(description="How much something was used in the 24 hours up to a moment.")
class TrendDay:
    at: Timestamp = strawberry.field(description="When the day ends.")
    uses: int = strawberry.field(description="How often it was used: an account counts once an hour.")
    authors: int = strawberry.field(description="How many accounts used it.")


@strawberry.type(description="Something that more people than usual speak of, or like and repost.")
class Trend:
    id: strawberry.ID = strawberry.field(description="Of the subject within its kind and window.")
    kind: TrendKind = strawberry.field(description="What it is.")
    subject: str = strawberry.field(description="Of a hashtag: its folded name, without #. Of a post: its id.")
    post: Post | None = strawberry.field(description="The post that trends; null for hashtags.")
    window: TrendWindow = strawberry.field(description="The time over which uses are counted.")
    rank: int = strawberry.field(description="Its place, from 1.")
    previous_rank: int | None = strawberry.field(description="Its place a minute earlier; null where it had none.")
    score: float = strawberry.field(
        description="How unusual its use is, and how recent; falls by half every 4 hours, of posts every hour."
    )
    started_at: Timestamp = strawberry.field(description="When the rise began that made it trend.")
    uses: int = strawberry.field(
        description="Uses within the window: posts with a hashtag, likes and reposts of a post."
    )
    authors: int = strawberry.field(description="Accounts that used it within the window.")
    history: list[TrendDay] = strawberry.field(description="The last seven days, the newest first.")


@strawberry.type(description="A page of a ranking.")
class TrendConnection(Connection[Trend]):
    live_cursor: str = strawberry.field(
        description="Give it as `after` to the subscription `trends`: it then brings what has changed since this ranking, without a gap."
    )


async def trends_connection(
    context: RequestContext,
    kind: TrendKind,
    span: TrendWindow,
    at: Timestamp | None,
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
) -> TrendConnection:
    services = context.services
    now = services.now()
    if at is not None and at < now - trends.KEPT:
        raise refuse(Code.INVALID, "Trends go back seven days.", "at")
    # The same for everybody, so that its cursors are no one's own.
    name = list_name(None, "trends", kind.name, span.name, "" if at is None else str(at))
    asked = window(services.signer, name, first=first, after=after, last=last, before=before)
    await consistent(context, TRENDS)
    snapshot = await trends.snapshot_of(
        services.documents, trends.TrendKind(kind.name), trends.TrendWindow(span.name), asked, now, at
    )
    page = trends.trends_page(snapshot, asked)
    posts: Mapping[str, Post] = {}
    if kind is TrendKind.POST:
        posts = await _open_posts(context, [item.node.subject for item in page.items])
        # Cursors stay where they are: a page may be short.
        page = msgspec.structs.replace(page, items=[item for item in page.items if item.node.subject in posts])

    def present(trend: trends.Trend) -> Trend:
        return present_trend(kind, span, trend, posts.get(trend.subject))

    found = connection(services.signer, name, page, present)
    return TrendConnection(
        edges=found.edges,
        nodes=found.nodes,
        page_info=found.page_info,
        live_cursor=sign_trends(services, viewer_of(context), snapshot),
    )


async def _open_posts(context: RequestContext, ids: Sequence[str]) -> Mapping[str, Post]:
    """Those that may trend: public ones that answer nothing, of nobody whom the viewer mutes, as far as the viewer may see them."""
    viewer = viewer_of(context)
    await consistent(context, SHOWN)
    shown = await reading.see_open_posts(context.services.documents, viewer, ids, context.services.now())
    posts = {view.id: present_post(viewer, view) for view in shown}
    return {id_: post for id_, post in posts.items() if isinstance(post, Post)}


def trend_id(kind: TrendKind, window: TrendWindow, subject: str) -> strawberry.ID:
    """``subject`` is the bare one."""
    named = global_id(Kind.POST, subject) if kind is TrendKind.POST else subject
    return strawberry.ID(f"t_{kind.name}_{window.name}_{named}")


def present_trend(kind: TrendKind, window: TrendWindow, trend: trends.Trend, post: Post | None) -> Trend:
    return Trend(
        id=trend_id(kind, window, trend.subject),
        kind=kind,
        subject=trend.subject if post is None else str(post.id),
        post=post,
        window=window,
        rank=trend.rank,
        previous_rank=trend.previous_rank,
        score=trend.score,
        started_at=Timestamp(trend.started_at),
        uses=trend.uses,
        authors=trend.authors,
        history=[TrendDay(at=Timestamp(day.at), uses=day.uses, authors=day.authors) for day in trend.history],
    )

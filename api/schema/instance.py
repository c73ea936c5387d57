"""The instance: what runs here, within which limits, and what the client may still spend."""

from dataclasses import fields
from importlib.metadata import version
from typing import Final

import msgspec
import strawberry

from api.context import RequestContext
from api.live.inbox import CAPACITY
from api.schema import searching, threads
from api.schema.pages import MAX_PAGE
from api.schema.scalars import Timestamp
from api.sse import HEARTBEAT_SECONDS
from projections import notes, notified, receipts, signals
from projections.threads import MOST
from projections.timelines import DEFAULT_LIMITS, SECOND
from projections.trend_scores import POST_FORMULA, TAG_FORMULA
from projections.trends import MINUTE, RANKED

MAX_IDS: Final = 100


@strawberry.type(
    description="What is bounded, and where. Lengths are in extended grapheme clusters unless they say bytes, times in seconds."
)
class InstanceLimits:
    text_graphemes: int = strawberry.field(description="Longest text of a post; a link counts 23.")
    text_bytes: int = strawberry.field(description="Longest text of a post in bytes of UTF-8.")
    content_warning_graphemes: int = strawberry.field(description="Longest content warning.")
    content_warning_bytes: int = strawberry.field(description="Longest content warning in bytes of UTF-8.")
    media: int = strawberry.field(description="Most pictures, films and sounds of a post.")
    media_url_bytes: int = strawberry.field(description="Longest address of one in bytes of UTF-8.")
    alt_graphemes: int = strawberry.field(description="Longest description of one, in grapheme clusters.")
    alt_bytes: int = strawberry.field(description="Longest description of one in bytes of UTF-8.")
    pins: int = strawberry.field(description="Most posts that a person pins.")
    edits: int = strawberry.field(description="Most edits of a post.")
    restore_days: int = strawberry.field(description="Days for which a deleted post can be restored.")
    search_bytes: int = strawberry.field(description="Longest query of a search in bytes of UTF-8.")
    suggestions: int = strawberry.field(description="Most suggestions of `typeahead`.")
    thread_depth: int = strawberry.field(description="Most levels of a thread.")
    thread_branching: int = strawberry.field(description="Most replies to each post of a thread.")
    thread_replies: int = strawberry.field(description="Most replies of a thread in all.")
    ancestors: int = strawberry.field(description="Most posts of a thread above the one that is asked for.")
    mentions: int = strawberry.field(description="People that a post can mention.")
    tags: int = strawberry.field(description="Hashtags that a post can have.")
    follows: int = strawberry.field(description="People that one can follow.")
    display_name_graphemes: int = strawberry.field(description="Longest display name.")
    display_name_bytes: int = strawberry.field(description="Longest display name in bytes of UTF-8.")
    bio_graphemes: int = strawberry.field(description="Longest bio.")
    bio_bytes: int = strawberry.field(description="Longest bio in bytes of UTF-8.")
    handle_min: int = strawberry.field(description="Shortest handle.")
    handle_max: int = strawberry.field(description="Longest handle.")
    handle_rest: int = strawberry.field(description="How long a handle that was given up rests.")
    handle_changes: int = strawberry.field(description="Handles that an account can give up within that time.")
    profile_fields: int = strawberry.field(description="Fields of a profile.")
    profile_field_graphemes: int = strawberry.field(description="Longest name or value of such a field.")
    profile_field_bytes: int = strawberry.field(description="The same in bytes of UTF-8.")
    password_min: int = strawberry.field(description="Shortest password.")
    password_bytes: int = strawberry.field(description="Longest password in bytes of UTF-8.")
    idempotency_key_bytes: int = strawberry.field(description="Longest idempotency key in bytes of UTF-8.")
    page: int = strawberry.field(description="Most nodes on a page.")
    ids: int = strawberry.field(description="Most ids given to `nodes`.")
    home_feed: int = strawberry.field(description="Items of a home that are kept ready; older ones are read slower.")
    home_apart: int = strawberry.field(description="A home has no repost of what stands among so many items below it.")
    home_active: int = strawberry.field(
        description="How long a home is kept ready for somebody who does not look at it."
    )
    push_threshold: int = strawberry.field(
        description="Followers up to which a post is written to their homes; of people with more it is read when they look."
    )
    unread: int = strawberry.field(description="Notifications are counted as unread so far.")
    notification_window: int = strawberry.field(
        description="Likes and reposts of a post, and follows, stand together within so long."
    )
    notification_count: int = strawberry.field(description="People of a notification are counted so far.")
    sample_actors: int = strawberry.field(description="Most people whom a notification names at once.")
    trends: int = strawberry.field(description="Most trends of a ranking.")
    trends_refresh: int = strawberry.field(description="How often trends are ranked.")
    trends_authors: int = strawberry.field(
        description="Accounts that must have used something within an hour before it trends."
    )
    tag_half_life: int = strawberry.field(description="Time in which the score of a hashtag falls by half.")
    post_half_life: int = strawberry.field(description="Time in which the score of a post falls by half.")
    replay: int = strawberry.field(description="How long a live cursor stays good.")
    subscription_queue: int = strawberry.field(description="Live items that may wait for a slow client.")
    subscriptions: int = strawberry.field(description="Operations at a time on one WebSocket.")
    heartbeat: int = strawberry.field(description="How often a stream in which nothing happens says that it is there.")
    body_bytes: int = strawberry.field(description="Longest request, in bytes.")
    depth: int = strawberry.field(description="Deepest nesting of fields.")
    aliases: int = strawberry.field(description="Aliases in an operation.")
    tokens: int = strawberry.field(description="Tokens in a document.")
    nodes: int = strawberry.field(description="Most nodes that an operation may ask for.")
    cost_per_hour: int = strawberry.field(description="Points that may be spent in an hour; 0: no limit.")
    sign_ins: int = strawberry.field(
        description="Sign-ins and registrations from one network in 5 minutes; 0: no limit."
    )
    operation: float = strawberry.field(description="How long a query or a mutation may take.")
    access_token: int = strawberry.field(description="Life of an access token.")
    session: int = strawberry.field(description="How long a session lasts without being refreshed.")
    command_status: int = strawberry.field(description="How long `commandStatus` knows a command.")


@strawberry.type(description="What runs here.")
class Instance:
    name: str = strawberry.field(description="The program.")
    version: str = strawberry.field(description="Its version.")
    limits: InstanceLimits = strawberry.field(description="What is bounded, and where.")


@strawberry.type(description="What the client may still spend.")
class RateLimit:
    cost: int = strawberry.field(description="Points that this operation costs.")
    limit: int = strawberry.field(description="Points of an hour; 0: no limit.")
    remaining: int = strawberry.field(description="Points that are left.")
    used: int = strawberry.field(description="Points that are spent, those of this operation included.")
    reset_at: Timestamp = strawberry.field(description="When all points are there again.")
    node_count: int = strawberry.field(description="Nodes that this operation may give at most.")


def describe_instance(context: RequestContext) -> Instance:
    settings, limits = context.services.settings, context.services.limits
    shown = {field.name for field in fields(InstanceLimits)}
    bounds = InstanceLimits(
        **{name: value for name, value in msgspec.structs.asdict(limits).items() if name in shown},
        **_of_reading(),
        restore_days=limits.restore_window // 86_400,
        session=limits.session_lifetime,
        page=MAX_PAGE,
        ids=MAX_IDS,
        suggestions=searching.MAX_SUGGESTIONS,
        subscription_queue=CAPACITY,
        subscriptions=settings.max_subscriptions,
        heartbeat=int(HEARTBEAT_SECONDS),
        body_bytes=settings.body_limit,
        depth=settings.max_depth,
        aliases=settings.max_aliases,
        tokens=settings.max_tokens,
        nodes=settings.max_nodes,
        cost_per_hour=settings.cost_per_hour,
        sign_ins=settings.sign_ins_per_5_minutes,
        operation=settings.operation_timeout,
        access_token=settings.access_token_life,
    )
    return Instance(name="Tidings", version=version("tidings"), limits=bounds)


def _of_reading() -> dict[str, int]:
    """What bounds lists, in seconds where they are times."""
    return {
        "thread_depth": threads.MAX_DEPTH,
        "thread_branching": threads.MAX_BRANCHING,
        "thread_replies": MOST,
        "home_feed": DEFAULT_LIMITS.kept,
        "home_apart": DEFAULT_LIMITS.apart,
        "home_active": DEFAULT_LIMITS.active // SECOND,
        "push_threshold": DEFAULT_LIMITS.push_threshold,
        "unread": notified.UNREAD,
        "notification_window": notes.BUCKET // SECOND,
        "notification_count": notified.COUNTED,
        "sample_actors": notified.SAMPLE,
        "trends": RANKED,
        "trends_refresh": MINUTE // SECOND,
        "trends_authors": TAG_FORMULA.floor,
        "tag_half_life": TAG_FORMULA.half_life // SECOND,
        "post_half_life": POST_FORMULA.half_life // SECOND,
        "replay": signals.KEPT // SECOND,
        "command_status": receipts.KEPT // SECOND,
    }


def describe_standing(context: RequestContext) -> RateLimit:
    standing = context.standing()
    return RateLimit(
        cost=context.cost,
        limit=standing.limit,
        remaining=standing.remaining,
        used=standing.used,
        reset_at=Timestamp(standing.resets_at),
        node_count=context.nodes,
    )

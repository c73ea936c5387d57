"""The instance: what runs here, within which limits, and what the client may still spend."""

from importlib.metadata import version
from typing import Final

import strawberry

from api.context import RequestContext
from api.live.inbox import CAPACITY
from api.schema import threads
from api.schema.pages import MAX_PAGE
from api.schema.scalars import Timestamp
from projections.signals import KEPT
from projections.timelines import DEFAULT_LIMITS

MAX_IDS: Final = 100


@strawberry.type(
    description="What is bounded, and where. Lengths are in extended grapheme clusters unless they say bytes, times in seconds."
)
class InstanceLimits:
    text_graphemes: int = strawberry.field(description="Longest text of a post; a link counts 23.")
    text_bytes: int = strawberry.field(description="Longest text of a post in bytes of UTF-8.")
    content_warning_graphemes: int = strawberry.field(description="Longest content warning.")
    media: int = strawberry.field(description="Most pictures, films and sounds of a post.")
    alt_graphemes: int = strawberry.field(description="Longest description of one, in grapheme clusters.")
    pins: int = strawberry.field(description="Most posts that a person pins.")
    edits: int = strawberry.field(description="Most edits of a post.")
    restore_days: int = strawberry.field(description="Days for which a deleted post can be restored.")
    search_bytes: int = strawberry.field(description="Longest query of a search in bytes of UTF-8.")
    thread_depth: int = strawberry.field(description="Most levels of a thread.")
    thread_branching: int = strawberry.field(description="Most replies to each post of a thread.")
    mentions: int = strawberry.field(description="People that a post can mention.")
    tags: int = strawberry.field(description="Hashtags that a post can have.")
    follows: int = strawberry.field(description="People that one can follow.")
    display_name_graphemes: int = strawberry.field(description="Longest display name.")
    bio_graphemes: int = strawberry.field(description="Longest bio.")
    handle_min: int = strawberry.field(description="Shortest handle.")
    handle_max: int = strawberry.field(description="Longest handle.")
    handle_rest: int = strawberry.field(description="How long a handle that was given up rests.")
    handle_changes: int = strawberry.field(description="Handles that an account can give up within that time.")
    profile_fields: int = strawberry.field(description="Fields of a profile.")
    profile_field_graphemes: int = strawberry.field(description="Longest name or value of such a field.")
    password_min: int = strawberry.field(description="Shortest password.")
    password_bytes: int = strawberry.field(description="Longest password in bytes of UTF-8.")
    idempotency_key_bytes: int = strawberry.field(description="Longest idempotency key in bytes of UTF-8.")
    page: int = strawberry.field(description="Most nodes on a page.")
    ids: int = strawberry.field(description="Most ids given to `nodes`.")
    home_feed: int = strawberry.field(description="Items of a home that are kept ready; older ones are read slower.")
    home_apart: int = strawberry.field(description="A home has no repost of what stands among so many items below it.")
    replay: int = strawberry.field(description="How long a live cursor stays good.")
    subscription_queue: int = strawberry.field(description="Live items that may wait for a slow client.")
    subscriptions: int = strawberry.field(description="Operations at a time on one WebSocket.")
    body_bytes: int = strawberry.field(description="Longest request, in bytes.")
    depth: int = strawberry.field(description="Deepest nesting of fields.")
    aliases: int = strawberry.field(description="Aliases in an operation.")
    tokens: int = strawberry.field(description="Tokens in a document.")
    cost_per_hour: int = strawberry.field(description="Points that may be spent in an hour; 0: no limit.")
    sign_ins: int = strawberry.field(
        description="Sign-ins and registrations from one network in 5 minutes; 0: no limit."
    )
    operation: float = strawberry.field(description="How long a query or a mutation may take.")
    access_token: int = strawberry.field(description="Life of an access token.")


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
    bounds = InstanceLimits(
        text_graphemes=limits.text_graphemes,
        text_bytes=limits.text_bytes,
        content_warning_graphemes=limits.content_warning_graphemes,
        media=limits.media,
        alt_graphemes=limits.alt_graphemes,
        pins=limits.pins,
        edits=limits.edits,
        restore_days=limits.restore_window // 86_400,
        search_bytes=limits.search_bytes,
        thread_depth=threads.MAX_DEPTH,
        thread_branching=threads.MAX_BRANCHING,
        mentions=limits.mentions,
        tags=limits.tags,
        follows=limits.follows,
        display_name_graphemes=limits.display_name_graphemes,
        bio_graphemes=limits.bio_graphemes,
        handle_min=limits.handle_min,
        handle_max=limits.handle_max,
        handle_rest=limits.handle_rest,
        handle_changes=limits.handle_changes,
        profile_fields=limits.profile_fields,
        profile_field_graphemes=limits.profile_field_graphemes,
        password_min=limits.password_min,
        password_bytes=limits.password_bytes,
        idempotency_key_bytes=limits.idempotency_key_bytes,
        page=MAX_PAGE,
        ids=MAX_IDS,
        home_feed=DEFAULT_LIMITS.kept,
        home_apart=DEFAULT_LIMITS.apart,
        replay=KEPT // 1_000_000,
        subscription_queue=CAPACITY,
        subscriptions=settings.max_subscriptions,
        body_bytes=settings.body_limit,
        depth=settings.max_depth,
        aliases=settings.max_aliases,
        tokens=settings.max_tokens,
        cost_per_hour=settings.cost_per_hour,
        sign_ins=settings.sign_ins_per_5_minutes,
        operation=settings.operation_timeout,
        access_token=settings.access_token_life,
    )
    return Instance(name="Tidings", version=version("tidings"), limits=bounds)


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

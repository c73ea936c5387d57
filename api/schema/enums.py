"""The enums of the schema. A member's value is what documents, commands and cursors hold."""

from enum import Enum

import strawberry
from strawberry import enum_value


@strawberry.enum(description="Why something was refused. The names are stable; new ones may be added.")
class ErrorCode(Enum):
    NOT_FOUND = enum_value("NOT_FOUND", description="It does not exist, or not for you: the two cannot be told apart.")
    FORBIDDEN = enum_value("FORBIDDEN", description="You may see it, but not do this to it.")
    UNAUTHENTICATED = enum_value("UNAUTHENTICATED", description="Sign in first, or again.")
    INVALID = enum_value("INVALID", description="The value has not the form that it must have.")
    TOO_LONG = enum_value("TOO_LONG", description="Longer than `instance.limits` allows.")
    TOO_SHORT = enum_value("TOO_SHORT", description="Shorter than it must be, or empty.")
    TOO_MANY = enum_value("TOO_MANY", description="More entries than `instance.limits` allows.")
    BLOCKED = enum_value("BLOCKED", description="One of the two people has blocked the other.")
    LOCKED = enum_value("LOCKED", description="The account decides itself who may do this.")
    DUPLICATE = enum_value("DUPLICATE", description="Somebody has this name already.")
    CONFLICT = enum_value("CONFLICT", description="Something else happened at the same time; try again.")
    IDEMPOTENCY_MISMATCH = enum_value(
        "IDEMPOTENCY_MISMATCH", description="This idempotency key came with other input before."
    )
    RATE_LIMITED = enum_value("RATE_LIMITED", description="Too many requests; try again later.")
    LIMIT_REACHED = enum_value("LIMIT_REACHED", description="You have as many of these as one can have.")
    EXPIRED = enum_value("EXPIRED", description="It was good, but its time is over.")
    CURSOR_INVALID = enum_value("CURSOR_INVALID", description="Not a cursor that was given out for this list.")
    CURSOR_TOO_OLD = enum_value(
        "CURSOR_TOO_OLD", description="What came after this cursor is not kept any more; read the list anew."
    )
    UNAVAILABLE = enum_value(
        "UNAVAILABLE", description="Nothing was done, for a store cannot be reached; try again later."
    )


@strawberry.enum(description="How far a command has come.")
class ReceiptStatus(Enum):
    ACCEPTED = enum_value("ACCEPTED", description="Recorded for good; lists may show it a moment later.")
    PROJECTED = enum_value("PROJECTED", description="Recorded, and every list shows it.")
    UNKNOWN = enum_value("UNKNOWN", description="It may have been recorded; ask `commandStatus` a little later.")


@strawberry.enum(description="Who may see a post.")
class Visibility(Enum):
    PUBLIC = enum_value("PUBLIC", description="Everyone, in every list.")
    UNLISTED = enum_value("UNLISTED", description="Everyone, but in no hashtag feed, trend or public feed.")
    FOLLOWERS = enum_value("FOLLOWERS", description="The author's followers and those mentioned.")
    DIRECT = enum_value("DIRECT", description="Those mentioned.")


@strawberry.enum(description="What a range of a text means.")
class FacetKind(Enum):
    MENTION = enum_value("mention", description="The name of a person.")
    TAG = enum_value("tag", description="A hashtag.")
    LINK = enum_value("link", description="An address on the web.")


@strawberry.enum(description="Why a post is not shown.")
class TombstoneReason(Enum):
    DELETED = enum_value("DELETED", description="Its author deleted it.")
    NOT_FOUND = enum_value("NOT_FOUND", description="There is no such post, or it is not for you.")


@strawberry.enum(description="Which of a person's posts.")
class PostsFilter(Enum):
    POSTS = enum_value("POSTS", description="Posts and reposts, without replies.")
    POSTS_AND_REPLIES = enum_value("POSTS_AND_REPLIES", description="Posts, reposts and replies.")
    MEDIA = enum_value("MEDIA", description="Posts and replies that show pictures, films or sounds.")


@strawberry.enum(description="Which replies of a thread come first.")
class ThreadSort(Enum):
    OLDEST = enum_value("OLDEST", description="The oldest.")
    NEWEST = enum_value("NEWEST", description="The newest.")
    TOP = enum_value("TOP", description="What was answered, reposted, quoted and liked most.")


@strawberry.enum(description="How complete a home feed is.")
class FeedState(Enum):
    READY = enum_value("READY", description="Complete.")
    REBUILDING = enum_value("REBUILDING", description="Complete, though read the slow way while its cache is made.")


@strawberry.enum(description="What a trend is about.")
class TrendKind(Enum):
    TAG = enum_value("TAG", description="A hashtag.")
    POST = enum_value("POST", description="A public post that answers nothing.")


@strawberry.enum(description="The time over which uses are counted.")
class TrendWindow(Enum):
    H1 = enum_value("H1", description="One hour.")
    H24 = enum_value("H24", description="One day.")


@strawberry.enum(description="What an account's standing is.")
class AccountState(Enum):
    ACTIVE = enum_value("ACTIVE", description="In use.")
    DEACTIVATED = enum_value(
        "DEACTIVATED", description="Hidden from everyone else until `reactivateAccount`; only its owner sees this."
    )


@strawberry.enum(description="Whether a projection goes on.")
class ProjectionState(Enum):
    LIVE = enum_value("LIVE", description="It takes in all events.")
    BUILDING = enum_value(
        "BUILDING",
        description="It is being filled for the first time; until that is done, its queries answer UNAVAILABLE.",
    )
    DEGRADED = enum_value(
        "DEGRADED", description="It goes on, without the streams of some events that it could not take in."
    )
    HALTED = enum_value("HALTED", description="It stands before an event, in some shard at least.")


@strawberry.enum(description="What others did that concerns the viewer.")
class NotificationType(Enum):
    MENTION = enum_value("MENTION", description="Mentioned the viewer.")
    REPLY = enum_value("REPLY", description="Answered the viewer's post.")
    QUOTE = enum_value("QUOTE", description="Quoted the viewer's post.")
    REPOST = enum_value("REPOST", description="Reposted the viewer's post.")
    LIKE = enum_value("LIKE", description="Liked the viewer's post.")
    FOLLOW = enum_value("FOLLOW", description="Followed the viewer.")
    FOLLOW_REQUEST = enum_value("FOLLOW_REQUEST", description="Asked to follow the viewer.")
    FOLLOW_ACCEPTED = enum_value("FOLLOW_ACCEPTED", description="Let the viewer follow, who had asked.")
    POST = enum_value("POST", description="Posted, and the viewer follows them with `notify`.")
    POST_EDITED = enum_value(
        "POST_EDITED", description="Edited a post that the viewer had answered, quoted or reposted."
    )


@strawberry.enum(description="What to search for.")
class SearchType(Enum):
    POST = enum_value("POST", description="Posts that the viewer may see.")
    USER = enum_value("USER", description="People.")
    TAG = enum_value("TAG", description="Hashtags of public posts.")

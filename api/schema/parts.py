"""What posts and people are made of."""

import strawberry

from api.schema.consistency import Info
from api.schema.enums import FacetKind, TombstoneReason
from api.schema.fields import resolved
from api.schema.node import Node
from api.schema.scalars import Timestamp
from projections.viewer_edges import ViewerEdge


@strawberry.type(
    description="A range of a text with a meaning. Ranges are half open: their end is the first place behind them."
)
class Facet:
    kind: FacetKind = strawberry.field(description="What the range is.")
    byte_start: int = strawberry.field(description="Where it begins, in bytes of the text in UTF-8.")
    byte_end: int = strawberry.field(description="Where it ends, in bytes of the text in UTF-8.")
    grapheme_start: int = strawberry.field(description="Where it begins, in extended grapheme clusters.")
    grapheme_end: int = strawberry.field(description="Where it ends, in extended grapheme clusters.")
    target: str = strawberry.field(
        description="The id of the person mentioned, the hashtag's folded name without #, or the link's address."
    )


@strawberry.type(description="A line of a profile's table.")
class ProfileField:
    name: str = strawberry.field(description="What it is about.")
    value: str = strawberry.field(description="What there is to say; may be empty.")


@strawberry.type(description="How often others have answered, shared and liked a post.")
class PostCounts:
    replies: int = strawberry.field(description="Direct replies that stand.")
    reposts: int = strawberry.field(description="People who repost it.")
    quotes: int = strawberry.field(description="Posts that quote it.")
    likes: int = strawberry.field(description="People who like it.")
    bookmarks: int = strawberry.field(description="People who have bookmarked it.")


@strawberry.type(description="What the viewer has done with a post, and may do.")
class PostViewerState:
    liked: bool = strawberry.field(description="Whether the viewer likes it.")
    reposted: bool = strawberry.field(description="Whether the viewer reposts it.")
    bookmarked: bool = strawberry.field(description="Whether the viewer has bookmarked it.")
    can_edit: bool = strawberry.field(description="Whether the viewer may `editPost` it.")
    can_delete: bool = strawberry.field(description="Whether the viewer may `deletePost` it.")
    can_repost: bool = strawberry.field(description="Whether the viewer may `repost` it.")
    can_quote: bool = strawberry.field(description="Whether the viewer may quote it.")


@strawberry.type(description="Stands in the place of a post that is not shown.")
class PostTombstone(Node):
    reason: TombstoneReason = strawberry.field(description="Why it is not shown.")


@strawberry.type(description="Stands in the place of a post where its author and the viewer are kept apart by a block.")
class PostBlocked(Node):
    pass


@strawberry.type(description="How many follow a person, are followed by them, and what they have written.")
class UserCounts:
    followers: int = strawberry.field(description="People who follow this person.")
    following: int = strawberry.field(description="People whom this person follows.")
    posts: int = strawberry.field(description="Posts that stand, replies included.")


@strawberry.type(description="What the viewer and a person are to each other.")
class UserViewerState:
    following: bool = strawberry.field(description="Whether the viewer follows this person.")
    followed_by: bool = strawberry.field(description="Whether this person follows the viewer.")
    requested: bool = strawberry.field(description="Whether the viewer has asked to follow this person, and waits.")
    requested_by: bool = strawberry.field(description="Whether this person has asked to follow the viewer, and waits.")
    blocking: bool = strawberry.field(description="Whether the viewer blocks this person.")
    blocked_by: bool = strawberry.field(description="Whether this person blocks the viewer.")
    muted_until: Timestamp | None = strawberry.field(
        description="When the viewer's mute of this person ends, or ended; null where there is none, or none that ends."
    )
    shows_reposts: bool = strawberry.field(description="Whether this person's reposts come into the viewer's home.")
    notifies: bool = strawberry.field(description="Whether the viewer wants to be told of this person's posts.")
    outgoing: strawberry.Private[ViewerEdge]

    @resolved("Whether the viewer mutes this person, at this moment.")
    def muting(self, info: Info) -> bool:
        return self.outgoing.mutes(info.context.services.now())

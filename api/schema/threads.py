"""Threads: a post with what it answers and what answers it."""

from typing import Annotated

import strawberry

from api.context import RequestContext
from api.schema.consistency import SHOWN, consistent
from api.schema.enums import ThreadSort
from api.schema.ids import Kind, global_id, kind_and_bare
from api.schema.social import PostResult, present_post, replies_list, viewer_of
from domain.errors import Code, refuse
from projections import threads
from projections.documents.port import After
from projections.rules import Tombstone

MAX_DEPTH = 20
MAX_BRANCHING = 100
_CURSOR = "Where its `Post.replies` go on behind those that are here: as `after` with OLDEST, as `before` with NEWEST. Null with TOP, and where none are here."

AboveArgument = Annotated[bool, strawberry.argument(description="Whether to read what it answers, too.")]
DepthArgument = Annotated[int, strawberry.argument(description="How many levels of replies, 0 to 20.")]
BranchingArgument = Annotated[
    int, strawberry.argument(description="How many replies to each post, 1 to 100; 400 in all.")
]
SortArgument = Annotated[ThreadSort, strawberry.argument(description="Which replies come first.")]


@strawberry.type(description="A reply in a thread, with its place there.")
class ThreadReply:
    post: PostResult = strawberry.field(description="The reply, or what stands in its place.")
    parent_id: strawberry.ID = strawberry.field(description="The post that it answers.")
    depth: int = strawberry.field(description="1 for an answer to the anchor, 2 for an answer to that, and so on.")
    more_replies: int = strawberry.field(
        description="Answers to it that are not in this thread; `Post.replies` has those that the viewer may see."
    )
    replies_cursor: str | None = strawberry.field(description=_CURSOR)


@strawberry.type(description="A post with what it answers and what answers it.")
class Thread:
    anchor: PostResult = strawberry.field(description="The post that was asked for, or what stands in its place.")
    ancestors: list[PostResult] = strawberry.field(
        description="What it answers, from the farthest to the nearest, 40 at most. Each is there, or what stands in its place."
    )
    more_ancestors: bool = strawberry.field(description="Whether there are more above the first of `ancestors`.")
    replies: list[ThreadReply] = strawberry.field(
        description="Depth first: each stands before what answers it. What is hidden keeps its place while something hangs on it."
    )
    more_replies: int = strawberry.field(
        description="Answers to the anchor that are not among `replies`; `Post.replies` has those that the viewer may see."
    )
    replies_cursor: str | None = strawberry.field(description=_CURSOR)


async def read(
    context: RequestContext, post_id: str, *, above: bool, depth: int, branching: int, sort: ThreadSort
) -> Thread | None:
    """None where there is no such post, or none for the viewer."""
    if not 0 <= depth <= MAX_DEPTH:
        raise refuse(Code.INVALID, f"depth is from 0 to {MAX_DEPTH}.", "depth")
    if not 1 <= branching <= MAX_BRANCHING:
        raise refuse(Code.INVALID, f"branching is from 1 to {MAX_BRANCHING}.", "branching")
    parsed = kind_and_bare(post_id)
    if parsed is None or parsed[0] is not Kind.POST:
        return None
    viewer = viewer_of(context)
    await consistent(context, SHOWN)
    shape = threads.Shape(above=above, depth=depth, branching=branching, sort=threads.ThreadSort[sort.name])
    found = await threads.read_thread(context.services.documents, viewer, parsed[1], shape)
    if isinstance(found.anchor, Tombstone) and not (found.anchor.deleted or found.anchor.blocked):
        return None
    return _present(context, parsed[1], found)


def _present(context: RequestContext, anchor: str, found: threads.Thread) -> Thread:
    viewer, signer = viewer_of(context), context.services.signer

    def cursor(post: str, end: After | None) -> str | None:
        return None if end is None else signer.sign_cursor(replies_list(viewer, post), end.sort, end.id)

    return Thread(
        anchor=present_post(viewer, found.anchor),
        ancestors=[present_post(viewer, view) for view in found.ancestors],
        more_ancestors=found.more_ancestors,
        replies=[
            ThreadReply(
                post=present_post(viewer, reply.post),
                parent_id=strawberry.ID(global_id(Kind.POST, reply.parent)),
                depth=reply.depth,
                more_replies=reply.more,
                replies_cursor=cursor(reply.post.id, reply.end),
            )
            for reply in found.replies
        ],
        more_replies=found.more,
        replies_cursor=cursor(anchor, found.end),
    )

"""Pins: which of their posts people show first."""

from collections.abc import Callable, Sequence

from domain.commands import PinPost, UnpinPost
from domain.context import Context
from domain.deciders import account as accounts
from domain.deciders import pins
from domain.deciders import post as posts
from domain.deciders.account import Account
from domain.deciders.pins import Pins
from domain.deciders.post import Post
from domain.errors import Code, refuse
from domain.events import PostPinned, PostUnpinned
from domain.handlers.result import Result, require_actor, shard
from domain.handlers.seen import known_post
from domain.ids import account_stream, pins_stream, post_stream
from domain.log.port import Draft, EventLog, Execution, View


async def pin_post(log: EventLog, command: PinPost, context: Context) -> Result:
    """Pinned already: nothing changes. FORBIDDEN for the posts of others and for direct ones, LIMIT_REACHED where there are enough."""

    def decide(post: Post, standing: Pins) -> Sequence[PostPinned]:
        if post.visibility == "DIRECT":
            raise refuse(Code.FORBIDDEN, "A direct post cannot be pinned.", "postId")
        return pins.pin(standing, post.author, post.id, context.limits.pins)

    return await _decide(log, command.post, context, decide)


async def unpin_post(log: EventLog, command: UnpinPost, context: Context) -> Result:
    """Not pinned: nothing changes. FORBIDDEN for the posts of others."""

    def decide(post: Post, standing: Pins) -> Sequence[PostUnpinned]:
        return pins.unpin(standing, post.author, post.id)

    return await _decide(log, command.post, context, decide)


async def _decide(
    log: EventLog,
    id_: str,
    context: Context,
    decide: Callable[[Post, Pins], Sequence[PostPinned | PostUnpinned]],
) -> Result:
    """On an own post that stands, and on the author's pins."""
    actor = require_actor(context)
    author = (await known_post(log, id_, "postId", context)).author
    post, pinned, actor_stream = post_stream(id_), pins_stream(author), account_stream(actor)

    def decided(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        state = view.state(post, Post)
        posts.require_own(state, actor)
        return context.drafts(pinned, decide(state, view.state(pinned, Pins)))

    execution = Execution(shard(log, id_), (post, pinned), decided, context.metadata(), given=(actor_stream,))
    return Result(id_, await log.execute(execution))

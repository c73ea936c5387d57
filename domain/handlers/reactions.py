"""Likes, reposts and bookmarks: what people do with posts."""

from collections.abc import Sequence

from domain.commands import BookmarkPost, LikePost, Repost, UnbookmarkPost, UndoRepost, UnlikePost
from domain.context import Context
from domain.deciders import account as accounts
from domain.deciders import bookmark as bookmarks
from domain.deciders import reaction as reactions
from domain.deciders import repost as reposts
from domain.deciders.account import Account
from domain.deciders.bookmark import Bookmark
from domain.deciders.reaction import Reaction
from domain.handlers.result import Result, require_actor, shard
from domain.handlers.seen import known_post, seen_post
from domain.ids import account_stream, bookmark_stream, reaction_stream, repost_stream
from domain.log.port import Draft, EventLog, Execution, View


async def like_post(log: EventLog, command: LikePost, context: Context) -> Result:
    """Like, where the actor may see the post."""
    actor = require_actor(context)
    seen = await seen_post(log, command.post, actor, "postId", context)
    stream, actor_stream = reaction_stream(command.post, actor), account_stream(actor)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        author = seen.require(view, "postId").author
        return context.drafts(stream, reactions.like(view.state(stream, Reaction), command.post, author, actor))

    execution = Execution(
        shard(log, command.post),
        (stream, *seen.at_author),
        decide,
        context.metadata(),
        given=(actor_stream, *seen.at_actor),
    )
    return Result(command.post, await log.execute(execution))


async def unlike_post(log: EventLog, command: UnlikePost, context: Context) -> Result:
    """Takes a like back, of a deleted post too; without a like nothing changes."""
    actor = require_actor(context)
    author = (await known_post(log, command.post, "postId", context)).author
    stream, actor_stream = reaction_stream(command.post, actor), account_stream(actor)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        return context.drafts(stream, reactions.unlike(view.state(stream, Reaction), command.post, author, actor))

    execution = Execution(shard(log, command.post), (stream,), decide, context.metadata(), given=(actor_stream,))
    return Result(command.post, await log.execute(execution))


async def repost(log: EventLog, command: Repost, context: Context) -> Result:
    """Repost to the actor's followers, where the actor may see the post and everyone may."""
    actor = require_actor(context)
    seen = await seen_post(log, command.post, actor, "postId", context)
    stream, actor_stream = repost_stream(actor, command.post), account_stream(actor)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        target = seen.require(view, "postId")
        return context.drafts(stream, reposts.repost(view.state(stream, reposts.Repost), actor, target))

    execution = Execution(
        shard(log, actor),
        (stream, actor_stream, *seen.at_actor),
        decide,
        context.metadata(),
        given=seen.at_author,
    )
    return Result(command.post, await log.execute(execution))


async def undo_repost(log: EventLog, command: UndoRepost, context: Context) -> Result:
    """Takes a repost back; without one nothing changes."""
    actor = require_actor(context)
    await known_post(log, command.post, "postId", context)
    stream, actor_stream = repost_stream(actor, command.post), account_stream(actor)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        return context.drafts(stream, reposts.undo(view.state(stream, reposts.Repost), actor, command.post))

    execution = Execution(shard(log, actor), (stream, actor_stream), decide, context.metadata())
    return Result(command.post, await log.execute(execution))


async def bookmark_post(log: EventLog, command: BookmarkPost, context: Context) -> Result:
    """Keeps a post for the actor alone, where the actor may see it."""
    actor = require_actor(context)
    seen = await seen_post(log, command.post, actor, "postId", context)
    stream, actor_stream = bookmark_stream(actor, command.post), account_stream(actor)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        author = seen.require(view, "postId").author
        return context.drafts(stream, bookmarks.add(view.state(stream, Bookmark), actor, command.post, author))

    execution = Execution(
        shard(log, actor),
        (stream, actor_stream, *seen.at_actor),
        decide,
        context.metadata(),
        given=seen.at_author,
    )
    return Result(command.post, await log.execute(execution))


async def unbookmark_post(log: EventLog, command: UnbookmarkPost, context: Context) -> Result:
    """Keeps a post no longer, a deleted one too; without a bookmark nothing changes."""
    actor = require_actor(context)
    await known_post(log, command.post, "postId", context)
    stream, actor_stream = bookmark_stream(actor, command.post), account_stream(actor)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        return context.drafts(stream, bookmarks.remove(view.state(stream, Bookmark), actor, command.post))

    execution = Execution(shard(log, actor), (stream, actor_stream), decide, context.metadata())
    return Result(command.post, await log.execute(execution))

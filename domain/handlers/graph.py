"""Following."""

from collections.abc import Sequence

from domain.commands import FollowUser, UnfollowUser
from domain.context import Context
from domain.deciders import account as accounts
from domain.deciders import follow as follows
from domain.deciders.account import Account
from domain.deciders.follow import Follow
from domain.errors import Code, refuse
from domain.handlers.result import Result, require_actor, require_id, shard
from domain.ids import account_stream, follow_stream
from domain.log.port import Draft, EventLog, Execution, View


async def follow_user(log: EventLog, command: FollowUser, context: Context) -> Result:
    """Follow, or change the options of a standing follow. INVALID for oneself."""
    actor, user = require_actor(context), require_id(command.user, "user", "userId")
    if user == actor:
        raise refuse(Code.INVALID, "Nobody can follow themselves.", "userId")
    stream, user_stream, actor_stream = follow_stream(actor, user), account_stream(user), account_stream(actor)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        if not view.state(user_stream, Account).active:
            raise refuse(Code.NOT_FOUND, "There is no such user.", "userId")
        state = view.state(stream, Follow)
        return context.drafts(stream, follows.follow(state, actor, user, command.reposts, command.notify))

    execution = Execution(shard(log, user), (stream, user_stream), decide, context.metadata(), given=(actor_stream,))
    return Result(user, await log.execute(execution))


async def unfollow_user(log: EventLog, command: UnfollowUser, context: Context) -> Result:
    """Ends a follow; without one nothing changes."""
    actor, user = require_actor(context), require_id(command.user, "user", "userId")
    if user == actor:
        raise refuse(Code.INVALID, "Nobody can unfollow themselves.", "userId")
    stream, user_stream, actor_stream = follow_stream(actor, user), account_stream(user), account_stream(actor)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        if not view.state(user_stream, Account).active:
            raise refuse(Code.NOT_FOUND, "There is no such user.", "userId")
        return context.drafts(stream, follows.unfollow(view.state(stream, Follow), actor, user))

    execution = Execution(shard(log, user), (stream, user_stream), decide, context.metadata(), given=(actor_stream,))
    return Result(user, await log.execute(execution))

"""Following, and asking a locked account to be let in."""

from collections.abc import Callable, Sequence

from domain.commands import AcceptFollow, AcceptPendingFollow, FollowUser, RejectFollow, RemoveFollower, UnfollowUser
from domain.context import Context
from domain.deciders import account as accounts
from domain.deciders import follow as follows
from domain.deciders.account import Account
from domain.deciders.block import Block
from domain.deciders.follow import Follow
from domain.events import Event
from domain.handlers.between import Between
from domain.handlers.result import Result, require_other, shard
from domain.ids import account_stream, block_stream, follow_stream
from domain.log.port import Draft, EventLog, Execution, View


async def follow_user(log: EventLog, command: FollowUser, context: Context) -> Result:
    """Follow or, where the account is locked, ask to; or change the options of either. INVALID for oneself, BLOCKED where one has blocked the other."""
    actor, user = require_other(context, command.user, "follow")
    stream, user_stream, actor_stream = follow_stream(actor, user), account_stream(user), account_stream(actor)
    between = await Between.of(log, actor, [user])

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        account = view.state(user_stream, Account)
        accounts.require_user(account)
        between.require_none(view, "userId")
        events = follows.follow(
            view.state(stream, Follow), actor, user, command.reposts, command.notify, locked=account.locked
        )
        return context.drafts(stream, events)

    execution = Execution(
        shard(log, user), (stream, *between.theirs), decide, context.metadata(), given=(actor_stream, *between.own)
    )
    return Result(user, await log.execute(execution))


async def unfollow_user(log: EventLog, command: UnfollowUser, context: Context) -> Result:
    """Ends a follow, or withdraws the request; without either nothing changes."""
    actor, user = require_other(context, command.user, "unfollow")
    stream, user_stream, actor_stream = follow_stream(actor, user), account_stream(user), account_stream(actor)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        state = view.state(stream, Follow)
        if not state.begun:
            accounts.require_user(view.state(user_stream, Account))
        return context.drafts(stream, follows.unfollow(state, actor, user))

    execution = Execution(shard(log, user), (stream, user_stream), decide, context.metadata(), given=(actor_stream,))
    return Result(user, await log.execute(execution))


async def remove_follower(log: EventLog, command: RemoveFollower, context: Context) -> Result:
    """Ends somebody's follow of the actor; without one nothing changes."""
    actor, user = require_other(context, command.user, "remove")
    return await _as_followee(log, context, actor, user, follows.remove)


async def reject_follow(log: EventLog, command: RejectFollow, context: Context) -> Result:
    """Turns a request down; without one nothing changes."""
    actor, user = require_other(context, command.user, "reject")
    return await _as_followee(log, context, actor, user, follows.reject)


async def _as_followee(
    log: EventLog,
    context: Context,
    actor: str,
    user: str,
    decision: Callable[[Follow, str, str], Sequence[Event]],
) -> Result:
    """What the actor decides about somebody's follow. One that stands can be ended even if its follower is gone."""
    stream, actor_stream, user_stream = follow_stream(user, actor), account_stream(actor), account_stream(user)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        state = view.state(stream, Follow)
        if not state.begun:
            accounts.require_user(view.state(user_stream, Account))
        return context.drafts(stream, decision(state, user, actor))

    execution = Execution(shard(log, actor), (stream, actor_stream), decide, context.metadata(), given=(user_stream,))
    return Result(user, await log.execute(execution))


async def accept_follow(log: EventLog, command: AcceptFollow, context: Context) -> Result:
    """Lets in who has asked; NOT_FOUND where nobody has, BLOCKED where the other has blocked the actor meanwhile."""
    actor, user = require_other(context, command.user, "accept")
    stream, actor_stream, user_stream = follow_stream(user, actor), account_stream(actor), account_stream(user)
    between = await Between.of(log, actor, [user])

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        accounts.require_user(view.state(user_stream, Account))
        between.require_none(view, "userId")
        return context.drafts(stream, follows.accept(view.state(stream, Follow), user, actor))

    execution = Execution(
        shard(log, actor), (stream, actor_stream, *between.own), decide, context.metadata(), given=between.theirs
    )
    return Result(user, await log.execute(execution))


async def accept_pending_follow(log: EventLog, command: AcceptPendingFollow, context: Context) -> Result:
    """The reactor's step after an unlocking: nothing where the request has gone, was made later, or one of the two is gone or has blocked the other."""
    follower, followee = command.follower, command.followee
    stream, followee_stream, follower_stream = (
        follow_stream(follower, followee),
        account_stream(followee),
        account_stream(follower),
    )
    own, theirs = block_stream(followee, follower), block_stream(follower, followee)

    def decide(view: View) -> Sequence[Draft]:
        standing = view.state(followee_stream, Account).exists and view.state(follower_stream, Account).exists
        if not standing or view.state(own, Block).active or view.state(theirs, Block).active:
            return ()
        events = follows.accept_pending(view.state(stream, Follow), follower, followee, command.unlocked)
        return context.drafts(stream, events)

    execution = Execution(
        shard(log, followee),
        (stream, followee_stream, own),
        decide,
        context.metadata(),
        given=(follower_stream, theirs),
    )
    return Result(follower, await log.execute(execution))

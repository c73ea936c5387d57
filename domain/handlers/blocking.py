"""Blocking and muting."""

from collections.abc import Sequence

from domain.commands import BlockUser, EndBlockersFollow, MuteUser, UnblockUser, UnmuteUser
from domain.context import Context
from domain.deciders import account as accounts
from domain.deciders import block as blocks
from domain.deciders import follow as follows
from domain.deciders import mute as mutes
from domain.deciders.account import Account
from domain.deciders.block import Block
from domain.deciders.follow import Follow
from domain.deciders.mute import Mute
from domain.errors import Code, refuse
from domain.handlers.result import Result, confirm, require_other, shard
from domain.ids import account_stream, block_stream, follow_stream, mute_stream
from domain.log.port import Draft, EventLog, Execution, View


async def block_user(log: EventLog, command: BlockUser, context: Context) -> Result:
    """Keeps two people apart: the target's follow or request ends with it, in one batch; the actor's own is ended by the reactor."""
    actor, user = require_other(context, command.user, "block")
    stream, follow = block_stream(actor, user), follow_stream(user, actor)
    actor_stream, user_stream = account_stream(actor), account_stream(user)

    def decide(view: View) -> Sequence[Draft]:
        account = view.state(actor_stream, Account)
        accounts.require_active(account)
        blocked = blocks.block(view.state(stream, Block), actor, user)
        if not blocked:
            return ()
        accounts.require_user(view.state(user_stream, Account))
        begun = context.drafts(actor_stream, accounts.begin_blocking(account))
        severed = follows.sever(view.state(follow, Follow), user, actor)
        return [*begun, *context.drafts(stream, blocked), *context.drafts(follow, severed)]

    execution = Execution(
        shard(log, actor), (stream, follow, actor_stream), decide, context.metadata(), given=(user_stream,)
    )
    return Result(user, await log.execute(execution))


async def unblock_user(log: EventLog, command: UnblockUser, context: Context) -> Result:
    """Ends a block, of somebody who is gone too. What it severed stays severed."""
    actor, user = require_other(context, command.user, "unblock")
    stream, actor_stream, user_stream = block_stream(actor, user), account_stream(actor), account_stream(user)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        state = view.state(stream, Block)
        if not state.active:
            accounts.require_user(view.state(user_stream, Account))
        return context.drafts(stream, blocks.unblock(state, actor, user))

    execution = Execution(shard(log, actor), (stream, actor_stream), decide, context.metadata(), given=(user_stream,))
    return Result(user, await log.execute(execution))


async def end_blockers_follow(log: EventLog, command: EndBlockersFollow, context: Context) -> Result:
    """The reactor's step after a block. First it looks which follow there is, then whether the very block still stands, and ends that follow alone: what
    was followed after an unblocking is never severed, however late this comes."""
    follower, followee = command.follower, command.followee
    stream, block = follow_stream(follower, followee), block_stream(follower, followee)
    seen = await confirm(log, stream, context)
    begun = View(seen.states).state(stream, Follow).begun
    if not begun:
        return Result(followee, seen)
    caused = await confirm(log, block, context)
    if View(caused.states).state(block, Block).cause != command.block:
        return Result(followee, caused)

    def decide(view: View) -> Sequence[Draft]:
        return context.drafts(stream, follows.end(view.state(stream, Follow), follower, followee, begun))

    execution = Execution(shard(log, followee), (stream,), decide, context.metadata())
    return Result(followee, await log.execute(execution))


async def mute_user(log: EventLog, command: MuteUser, context: Context) -> Result:
    """Hides somebody from the actor's feeds, for good or ``until`` then; INVALID for what is past. Nobody else is told."""
    actor, user = require_other(context, command.user, "mute")
    if command.until is not None and command.until <= context.now:
        raise refuse(Code.INVALID, "A mute ends in the future.", "until")
    stream, actor_stream, user_stream = mute_stream(actor, user), account_stream(actor), account_stream(user)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        accounts.require_user(view.state(user_stream, Account))
        return context.drafts(stream, mutes.mute(view.state(stream, Mute), actor, user, command.until))

    execution = Execution(shard(log, actor), (stream, actor_stream), decide, context.metadata(), given=(user_stream,))
    return Result(user, await log.execute(execution))


async def unmute_user(log: EventLog, command: UnmuteUser, context: Context) -> Result:
    """Ends a mute, of somebody who is gone too."""
    actor, user = require_other(context, command.user, "unmute")
    stream, actor_stream, user_stream = mute_stream(actor, user), account_stream(actor), account_stream(user)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        state = view.state(stream, Mute)
        if not state.active:
            accounts.require_user(view.state(user_stream, Account))
        return context.drafts(stream, mutes.unmute(state, actor, user))

    execution = Execution(shard(log, actor), (stream, actor_stream), decide, context.metadata(), given=(user_stream,))
    return Result(user, await log.execute(execution))

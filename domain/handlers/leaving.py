"""How an account stands: its password, its absence and its end, with what reactors take back of it then."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from domain.commands import (
    ChangePassword,
    DeactivateAccount,
    DeleteAccount,
    ForgetSubject,
    ReactivateAccount,
    Withdraw,
)
from domain.context import Context
from domain.deciders import account as accounts
from domain.deciders import block as blocks
from domain.deciders import bookmark as bookmarks
from domain.deciders import follow as follows
from domain.deciders import mute as mutes
from domain.deciders import pins, reaction, repost
from domain.deciders import post as posts
from domain.deciders import session as sessions
from domain.deciders.account import Account
from domain.errors import Code, refuse
from domain.events import AccountPasswordChanged, Event, PasswordPrivate
from domain.handlers.result import Result, require_actor, require_id, shard
from domain.ids import account_stream, category_of, pins_stream, post_stream, session_stream, stream_shard
from domain.log.port import Draft, EventLog, Execution, View
from domain.names import handle_claim


async def change_password(log: EventLog, command: ChangePassword, context: Context) -> Result:
    """All other sessions end with it. The old password was verified at the edge, against the hash that is compared once more here."""
    actor = require_actor(context)
    stream, kept = account_stream(actor), session_stream(require_id(command.kept, "session", "sessionId"))
    changed = AccountPasswordChanged(account=actor, private=PasswordPrivate(password_hash=command.password_hash))

    def decide(view: View) -> tuple[Draft, ...]:
        state = view.state(stream, Account)
        if not sessions.is_open(view.state(kept, sessions.Session), state, command.kept):
            raise refuse(Code.UNAUTHENTICATED, "This session has ended; sign in again.")
        return context.drafts(stream, accounts.change_password(state, changed, command.verified, command.kept))

    execution = Execution(shard(log, actor), (stream, kept), decide, context.metadata(), subject=actor)
    return Result(actor, await log.execute(execution))


async def deactivate_account(log: EventLog, _: DeactivateAccount, context: Context) -> Result:
    """Hides the account; deactivated already: nothing changes."""
    return await _of_account(log, require_actor(context), accounts.deactivate, context)


async def reactivate_account(log: EventLog, _: ReactivateAccount, context: Context) -> Result:
    """Shows it again; active already: nothing changes."""
    return await _of_account(log, require_actor(context), accounts.reactivate, context)


async def delete_account(log: EventLog, command: DeleteAccount, context: Context) -> Result:
    """The end of the account. It is hidden from this event on, and cannot act; the rest is a reactor's. Deleted already: nothing changes."""

    def decide(state: Account) -> Sequence[Event]:
        handle = state.private.handle if state.private is not None else ""
        return accounts.delete(state, handle_claim(context.namer, handle), command.verified)

    return await _of_account(log, require_actor(context), decide, context)


async def forget_subject(log: EventLog, command: ForgetSubject, context: Context) -> Result:
    """The reactor's last step. The key goes after the event that says so, and again whenever the step is repeated."""

    def decide(state: Account) -> Sequence[Event]:
        if not state.deleted:
            raise refuse(Code.FORBIDDEN, "Only a deleted account is forgotten.")
        return accounts.forget(state)

    result = await _of_account(log, command.account, decide, context)
    await log.destroy_key(command.account)
    return result


async def _of_account(
    log: EventLog, account: str, decide_on: Callable[[Account], Sequence[Event]], context: Context
) -> Result:
    stream = account_stream(account)

    def decide(view: View) -> tuple[Draft, ...]:
        return context.drafts(stream, decide_on(view.state(stream, Account)))

    return Result(account, await log.execute(Execution(shard(log, account), (stream,), decide, context.metadata())))


async def withdraw(log: EventLog, command: Withdraw, context: Context) -> Result:
    """The reactor's step after a deletion, stream by stream; what stands no more is left alone."""
    stream, account_at = command.stream, account_stream(command.account)
    category = category_of(stream)
    beside = _BESIDE.get(category, _nothing)(stream, command.account)

    def decide(view: View) -> tuple[Draft, ...]:
        # As a refusal it rests on a confirmed head of the account's shard.
        if not view.state(account_at, Account).deleted:
            raise refuse(Code.FORBIDDEN, "Only what a deleted account did is taken back.")
        return tuple(
            draft
            for at, events in _ENDINGS[category](view, stream, command.account)
            for draft in context.drafts(at, events)
        )

    execution = Execution(
        stream_shard(stream, log.identity.shards), (stream, *beside), decide, context.metadata(), given=(account_at,)
    )
    return Result(command.account, await log.execute(execution))


Ending = Sequence[tuple[str, Sequence[Event]]]


def _ids(stream: str) -> tuple[str, str]:
    """The two ids of a stream that has two."""
    _, first, second = stream.split("-")
    return first, second


def _follow(view: View, stream: str, account: str) -> Ending:
    follower, followee = _ids(stream)
    ending = follows.unfollow if account == follower else follows.sever
    return [(stream, ending(view.state(stream, follows.Follow), follower, followee))]


def _reaction(view: View, stream: str, account: str) -> Ending:
    post, _ = _ids(stream)
    author = view.state(post_stream(post), posts.Post).author
    return [(stream, reaction.unlike(view.state(stream, reaction.Reaction), post, author, account))]


def _repost(view: View, stream: str, account: str) -> Ending:
    return [(stream, repost.undo(view.state(stream, repost.Repost), account, _ids(stream)[1]))]


def _bookmark(view: View, stream: str, account: str) -> Ending:
    return [(stream, bookmarks.remove(view.state(stream, bookmarks.Bookmark), account, _ids(stream)[1]))]


def _block(view: View, stream: str, account: str) -> Ending:
    return [(stream, blocks.unblock(view.state(stream, blocks.Block), account, _ids(stream)[1]))]


def _mute(view: View, stream: str, account: str) -> Ending:
    return [(stream, mutes.unmute(view.state(stream, mutes.Mute), account, _ids(stream)[1]))]


def _post(view: View, stream: str, account: str) -> Ending:
    state, pinned = view.state(stream, posts.Post), pins_stream(account)
    if not state.exists:
        return ()
    return [
        (stream, posts.delete(state, account)),
        (pinned, pins.unpin(view.state(pinned, pins.Pins), account, state.id)),
    ]


def _session(view: View, stream: str, _: str) -> Ending:
    state = view.state(stream, sessions.Session)
    return [(stream, sessions.end(state, stream.partition("-")[2], "deleted"))]


_ENDINGS: Final[Mapping[str, Callable[[View, str, str], Ending]]] = {
    "follow": _follow,
    "reaction": _reaction,
    "repost": _repost,
    "bookmark": _bookmark,
    "block": _block,
    "mute": _mute,
    "post": _post,
    "session": _session,
}


def _nothing(_: str, __: str) -> tuple[str, ...]:
    return ()


_BESIDE: Final[Mapping[str, Callable[[str, str], tuple[str, ...]]]] = {
    "reaction": lambda stream, _: (post_stream(_ids(stream)[0]),),
    "post": lambda _, account: (pins_stream(account),),
}
"""What an ending reads or changes in the same shard besides its own stream."""

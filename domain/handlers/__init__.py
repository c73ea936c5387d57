"""Handlers: one free function a command. They name the streams, hand the decision to the log, and read no document.

Every handler is ``async (log, command, context) -> Result`` and raises Refusal for an expected failure, UnavailableError or OverloadedError where nothing
was sent, OutcomeUnknownError where it may have been applied.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from domain import commands
from domain.commands import Command
from domain.context import Context
from domain.handlers import accounts, graph, posts
from domain.handlers.result import Result
from domain.log.port import EventLog

HANDLERS: Final[Mapping[type[Command], Callable[[EventLog, Any, Context], Awaitable[Result]]]] = {
    commands.RegisterAccount: accounts.register_account,
    commands.OpenSession: accounts.open_session,
    commands.RefreshSession: accounts.refresh_session,
    commands.SignOut: accounts.sign_out,
    commands.ConfirmClaim: accounts.confirm_claim,
    commands.CreatePost: posts.create_post,
    commands.EditPost: posts.edit_post,
    commands.DeletePost: posts.delete_post,
    commands.LikePost: posts.like_post,
    commands.UnlikePost: posts.unlike_post,
    commands.Repost: posts.repost,
    commands.UndoRepost: posts.undo_repost,
    commands.FollowUser: graph.follow_user,
    commands.UnfollowUser: graph.unfollow_user,
}


async def handle(log: EventLog, command: Command, context: Context) -> Result:
    """The one handler of the command's type."""
    return await HANDLERS[type(command)](log, command, context)


__all__ = ["HANDLERS", "Result", "handle"]

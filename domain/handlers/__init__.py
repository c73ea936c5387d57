"""Handlers: one free function a command. They name the streams, hand the decision to the log, and read no document.

Every handler is ``async (log, command, context) -> Result`` and raises Refusal for an expected failure, UnavailableError or OverloadedError where nothing
was sent, OutcomeUnknownError where it may have been applied.
"""

from collections.abc import Mapping
from typing import Final

from domain import commands
from domain.commands import Command
from domain.context import Context
from domain.handlers import (
    accounts,
    blocking,
    claims,
    graph,
    leaving,
    pinning,
    posts,
    profiles,
    reactions,
    reading,
    sessions,
)
from domain.handlers.forwarding import Forwarding, Handler
from domain.handlers.result import Result
from domain.log.port import EventLog

HANDLERS: Final[Mapping[type[Command], Handler]] = {
    commands.RegisterAccount: accounts.register_account,
    commands.OpenSession: sessions.open_session,
    commands.RefreshSession: sessions.refresh_session,
    commands.SignOut: sessions.sign_out,
    commands.RevokeSession: sessions.revoke_session,
    commands.EndOtherSessions: sessions.end_other_sessions,
    commands.EndSession: sessions.end_session,
    commands.ChangeHandle: profiles.change_handle,
    commands.UpdateProfile: profiles.update_profile,
    commands.ChangePassword: leaving.change_password,
    commands.DeactivateAccount: leaving.deactivate_account,
    commands.ReactivateAccount: leaving.reactivate_account,
    commands.DeleteAccount: leaving.delete_account,
    commands.Withdraw: leaving.withdraw,
    commands.ForgetSubject: leaving.forget_subject,
    commands.ConfirmClaim: claims.confirm_claim,
    commands.ReleaseClaim: claims.release_claim,
    commands.CreatePost: posts.create_post,
    commands.EditPost: posts.edit_post,
    commands.DeletePost: posts.delete_post,
    commands.RestorePost: posts.restore_post,
    commands.PinPost: pinning.pin_post,
    commands.UnpinPost: pinning.unpin_post,
    commands.LikePost: reactions.like_post,
    commands.UnlikePost: reactions.unlike_post,
    commands.Repost: reactions.repost,
    commands.UndoRepost: reactions.undo_repost,
    commands.MarkNotificationsRead: reading.mark_notifications_read,
    commands.BookmarkPost: reactions.bookmark_post,
    commands.UnbookmarkPost: reactions.unbookmark_post,
    commands.FollowUser: graph.follow_user,
    commands.UnfollowUser: graph.unfollow_user,
    commands.RemoveFollower: graph.remove_follower,
    commands.AcceptFollow: graph.accept_follow,
    commands.RejectFollow: graph.reject_follow,
    commands.AcceptPendingFollow: graph.accept_pending_follow,
    commands.BlockUser: blocking.block_user,
    commands.UnblockUser: blocking.unblock_user,
    commands.EndBlockersFollow: blocking.end_blockers_follow,
    commands.MuteUser: blocking.mute_user,
    commands.UnmuteUser: blocking.unmute_user,
}


async def handle(log: EventLog, command: Command, context: Context) -> Result:
    """The one handler of the command's type."""
    handler = HANDLERS[type(command)]
    if isinstance(log, Forwarding):
        return await log.run(handler, command, context)
    return await handler(log, command, context)


__all__ = ["HANDLERS", "Result", "handle"]

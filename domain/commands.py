"""What can be asked for, in the imperative. Ids are bare (26 characters), texts as they were typed."""

import msgspec

from domain.events import Media, ProfileField


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all commands."""


class RegisterAccount(Command, frozen=True, kw_only=True):
    """``password_hash`` is made at the edge (argon2id) or empty: then no password fits. ``idempotency_key`` may be None."""

    handle: str
    email: str
    password_hash: str
    display_name: str = ""
    idempotency_key: str | None = None


class OpenSession(Command, frozen=True, kw_only=True):
    """``user_agent``: what the client calls itself."""

    account: str
    token_hash: str
    user_agent: str = ""


class RefreshSession(Command, frozen=True, kw_only=True):
    session: str
    presented_hash: str
    token_hash: str


class SignOut(Command, frozen=True, kw_only=True):
    session: str


class RevokeSession(Command, frozen=True, kw_only=True):
    session: str


class EndOtherSessions(Command, frozen=True, kw_only=True):
    """``kept`` is the session that asks."""

    kept: str


class ChangeHandle(Command, frozen=True, kw_only=True):
    handle: str


class ChangePassword(Command, frozen=True, kw_only=True):
    """``verified`` is the hash that the old password was seen to fit, ``kept`` the session that asks."""

    password_hash: str
    verified: str
    kept: str


class UpdateProfile(Command, frozen=True, kw_only=True):
    """None leaves as it is, an empty text takes away."""

    display_name: str | None = None
    bio: str | None = None
    fields: tuple[ProfileField, ...] | None = None
    avatar: str | None = None
    banner: str | None = None
    locked: bool | None = None


class DeactivateAccount(Command, frozen=True, kw_only=True):
    pass


class ReactivateAccount(Command, frozen=True, kw_only=True):
    pass


class DeleteAccount(Command, frozen=True, kw_only=True):
    """``verified``: see ChangePassword."""

    verified: str


class CreatePost(Command, frozen=True, kw_only=True):
    text: str
    reply_to: str | None = None
    quote: str | None = None
    language: str | None = None
    visibility: str = "PUBLIC"
    content_warning: str = ""
    media: tuple[Media, ...] = ()
    idempotency_key: str | None = None


class EditPost(Command, frozen=True, kw_only=True):
    """None leaves as it is."""

    post: str
    text: str
    language: str | None = None
    content_warning: str | None = None
    media: tuple[Media, ...] | None = None


class DeletePost(Command, frozen=True, kw_only=True):
    post: str


class RestorePost(Command, frozen=True, kw_only=True):
    post: str


class PinPost(Command, frozen=True, kw_only=True):
    post: str


class UnpinPost(Command, frozen=True, kw_only=True):
    post: str


class BookmarkPost(Command, frozen=True, kw_only=True):
    post: str


class UnbookmarkPost(Command, frozen=True, kw_only=True):
    post: str


class LikePost(Command, frozen=True, kw_only=True):
    post: str


class UnlikePost(Command, frozen=True, kw_only=True):
    post: str


class Repost(Command, frozen=True, kw_only=True):
    post: str


class UndoRepost(Command, frozen=True, kw_only=True):
    post: str


class MarkNotificationsRead(Command, frozen=True, kw_only=True):
    """``up_to`` in microseconds, None: all that there are by now."""

    up_to: int | None = None


class FollowUser(Command, frozen=True, kw_only=True):
    """None leaves an option of a standing follow as it is."""

    user: str
    reposts: bool | None = None
    notify: bool | None = None


class UnfollowUser(Command, frozen=True, kw_only=True):
    user: str


class RemoveFollower(Command, frozen=True, kw_only=True):
    user: str


class AcceptFollow(Command, frozen=True, kw_only=True):
    user: str


class RejectFollow(Command, frozen=True, kw_only=True):
    user: str


class BlockUser(Command, frozen=True, kw_only=True):
    user: str


class UnblockUser(Command, frozen=True, kw_only=True):
    user: str


class MuteUser(Command, frozen=True, kw_only=True):
    """``until`` in microseconds since the epoch; None: for good."""

    user: str
    until: int | None = None


class UnmuteUser(Command, frozen=True, kw_only=True):
    user: str


class EndBlockersFollow(Command, frozen=True, kw_only=True):
    """A reactor's: ``follower`` has blocked ``followee`` by the event ``block``, and follows them no more."""

    follower: str
    followee: str
    block: str


class AcceptPendingFollow(Command, frozen=True, kw_only=True):
    """A reactor's: ``followee`` was unlocked by the event of sequence ``unlocked``, and takes who had asked before."""

    follower: str
    followee: str
    unlocked: int


class ConfirmClaim(Command, frozen=True, kw_only=True):
    """A reactor's: the owner's stream names this claim."""

    claim_stream: str
    owner: str
    claim_id: str


class ReleaseClaim(Command, frozen=True, kw_only=True):
    """A reactor's: the owner gave the claim up at ``given_up_at`` (microseconds); a name that ``rests`` is not free at once."""

    claim_stream: str
    owner: str
    claim_id: str
    given_up_at: int
    rests: bool


class EndSession(Command, frozen=True, kw_only=True):
    """A reactor's: the account's sessions ended together."""

    session: str
    account: str
    reason: str


class Withdraw(Command, frozen=True, kw_only=True):
    """A reactor's: takes back what a deleted account did in one stream."""

    account: str
    stream: str


class ForgetSubject(Command, frozen=True, kw_only=True):
    """A reactor's, and its last: destroys a deleted account's key."""

    account: str

"""Posts: their life from creation over edits to the tombstone."""

import msgspec

from domain.envelope import Recorded
from domain.errors import Code, refuse
from domain.events import PostCreated, PostDeleted, PostEdited, PostPrivate


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """``id`` is empty before creation."""

    id: str = ""
    author: str = ""
    visibility: str = "PUBLIC"
    language: str | None = None
    reply_to: str | None = None
    root: str = ""
    tags: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    private: PostPrivate | None = None
    sort_at: int = 0
    revision: int = 0
    deleted: bool = False
    input_hmac: str | None = None

    @property
    def exists(self) -> bool:
        """Created and not deleted."""
        return bool(self.id) and not self.deleted


def evolve(state: Post, recorded: Recorded) -> Post:
    match recorded.event:
        case PostCreated() as e:
            return Post(
                id=e.post,
                author=e.author,
                visibility=e.visibility,
                language=e.language,
                reply_to=e.reply_to,
                root=e.root,
                tags=e.tags,
                mentions=e.mentions,
                private=e.private,
                sort_at=recorded.sort_at,
                revision=1,
                input_hmac=recorded.metadata.input_hmac,
            )
        case PostEdited() as e:
            return msgspec.structs.replace(
                state, language=e.language, tags=e.tags, mentions=e.mentions, private=e.private, revision=e.revision
            )
        case PostDeleted():
            return msgspec.structs.replace(state, deleted=True)
    return state


def may_see(post: Post, actor: str, follows_author: bool) -> bool:
    """Who may see, and so reply to, like or repost: everyone, the author's followers, or those mentioned."""
    if post.author == actor or post.visibility in ("PUBLIC", "UNLISTED"):
        return True
    return actor in post.mentions or (post.visibility == "FOLLOWERS" and follows_author)


def require_visible(post: Post, actor: str, follows_author: bool, field: str) -> None:
    """NOT_FOUND for what is absent, deleted, or not for this actor's eyes: the three cannot be told apart."""
    if not post.exists or not may_see(post, actor, follows_author):
        raise refuse(Code.NOT_FOUND, "There is no such post.", field)


def create(state: Post, created: PostCreated, input_hmac: str | None) -> tuple[PostCreated, ...]:
    """Nothing if the same request made it before; IDEMPOTENCY_MISMATCH if its key came with other input then."""
    if state.id:
        if state.input_hmac != input_hmac:
            raise refuse(Code.IDEMPOTENCY_MISMATCH, "This idempotency key was used with other input.", "idempotencyKey")
        return ()
    return (created,)


def edit(state: Post, actor: str, edited: PostEdited) -> tuple[PostEdited, ...]:
    """``edited`` has the new content; what the post knows itself is filled in. An edit that changes nothing is none."""
    _require_own(state, actor)
    if (state.private, state.language, state.tags, state.mentions) == (
        edited.private,
        edited.language,
        edited.tags,
        edited.mentions,
    ):
        return ()
    return (
        msgspec.structs.replace(
            edited,
            visibility=state.visibility,
            sort_at=state.sort_at,
            revision=state.revision + 1,
            tags_removed=tuple(tag for tag in state.tags if tag not in edited.tags),
        ),
    )


def delete(state: Post, actor: str) -> tuple[PostDeleted, ...]:
    """Nothing if it is deleted already."""
    if state.author == actor and state.deleted:
        return ()
    _require_own(state, actor)
    return (PostDeleted(post=state.id, author=state.author, reply_to=state.reply_to, tags=state.tags),)


def _require_own(state: Post, actor: str) -> None:
    if not state.exists:
        raise refuse(Code.NOT_FOUND, "There is no such post.", "postId")
    if state.author != actor:
        # Who may not see the post must not learn from the code that it exists.
        if not may_see(state, actor, follows_author=False):
            raise refuse(Code.NOT_FOUND, "There is no such post.", "postId")
        raise refuse(Code.FORBIDDEN, "Only its author can do this.", "postId")

"""Posts: their life from creation over edits to the tombstone."""

import msgspec

from domain.envelope import Recorded
from domain.errors import Code, refuse
from domain.events import Facet, PostContent, PostCreated, PostDeleted, PostEdited, PostPrivate, PostRestored
from domain.words import post_words


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """``id`` is empty before creation. ``written_at`` is when it got its present content, ``words`` the most that any content had. A deleted post keeps what it was, to be
    restored; ``deleted_at`` is 0 while it stands. Times are in microseconds."""

    id: str = ""
    author: str = ""
    visibility: str = "PUBLIC"
    language: str | None = None
    reply_to: str | None = None
    reply_to_author: str | None = None
    root: str = ""
    ancestors: tuple[str, ...] = ()
    quote: str | None = None
    quote_author: str | None = None
    facets: tuple[Facet, ...] = ()
    tags: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    media: int = 0
    private: PostPrivate | None = None
    sort_at: int = 0
    written_at: int = 0
    revision: int = 0
    words: int = 0
    deleted_at: int = 0
    input_hmac: str | None = None

    @property
    def deleted(self) -> bool:
        return self.deleted_at > 0

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
                reply_to_author=e.reply_to_author,
                root=e.root,
                ancestors=e.ancestors,
                quote=e.quote,
                quote_author=e.quote_author,
                facets=e.facets,
                tags=e.tags,
                mentions=e.mentions,
                media=e.media,
                private=e.private,
                sort_at=recorded.sort_at,
                written_at=recorded.sort_at,
                revision=1,
                words=_words(e.private),
                input_hmac=recorded.metadata.input_hmac,
            )
        case PostEdited() as e:
            return msgspec.structs.replace(
                state,
                language=e.language,
                facets=e.facets,
                tags=e.tags,
                mentions=e.mentions,
                media=e.media,
                private=None if e.private is None else msgspec.structs.replace(e.private, before=None),
                written_at=recorded.sort_at,
                revision=e.revision,
                words=max(state.words, _words(e.private)),
            )
        case PostDeleted():
            return msgspec.structs.replace(state, deleted_at=recorded.recorded_at)
        case PostRestored():
            return msgspec.structs.replace(state, deleted_at=0)
    return state


def _words(private: PostPrivate | None) -> int:
    return 0 if private is None else len(post_words(private))


def may_see(post: Post, actor: str, follows_author: bool) -> bool:
    """Who may see, and so reply to, like or repost: everyone, the author's followers, or those mentioned."""
    if post.author == actor or post.visibility in ("PUBLIC", "UNLISTED"):
        return True
    return actor in post.mentions or (post.visibility == "FOLLOWERS" and follows_author)


def may_share(visibility: str, author: str, actor: str) -> bool:
    """Who may repost or quote it: everyone where everyone may see it, and its author what is for followers."""
    return visibility in ("PUBLIC", "UNLISTED") or (visibility == "FOLLOWERS" and author == actor)


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


def edit(state: Post, actor: str, edited: PostEdited, most: int) -> tuple[PostEdited, ...]:
    """``edited`` has the new content; what the post knows itself is filled in. An edit that changes nothing is none; LIMIT_REACHED after ``most`` edits."""
    require_own(state, actor)
    if (state.private, state.language, state.tags, state.mentions) == (
        edited.private,
        edited.language,
        edited.tags,
        edited.mentions,
    ):
        return ()
    if state.revision > most:
        raise refuse(Code.LIMIT_REACHED, f"A post can be edited {most} times.", "postId")
    private = edited.private
    if private is not None and state.private is not None:
        was = state.private
        before = PostContent(text=was.text, content_warning=was.content_warning, media=was.media)
        private = msgspec.structs.replace(private, before=before)
    return (
        msgspec.structs.replace(
            edited,
            private=private,
            before_at=state.written_at,
            before_facets=state.facets,
            visibility=state.visibility,
            sort_at=state.sort_at,
            revision=state.revision + 1,
            tags_added=tuple(tag for tag in edited.tags if tag not in state.tags),
            tags_removed=tuple(tag for tag in state.tags if tag not in edited.tags),
            mentions_added=tuple(person for person in edited.mentions if person not in state.mentions),
        ),
    )


def delete(state: Post, actor: str) -> tuple[PostDeleted, ...]:
    """Nothing if it is deleted already."""
    if state.author == actor and state.deleted:
        return ()
    require_own(state, actor)
    return (
        PostDeleted(
            post=state.id,
            author=state.author,
            visibility=state.visibility,
            reply_to=state.reply_to,
            quote=state.quote,
            tags=state.tags,
            words=state.words,
        ),
    )


def restore(state: Post, actor: str, now: int, window: int) -> tuple[PostRestored, ...]:
    """Nothing where it stands. EXPIRED where it was deleted more than ``window`` seconds before ``now`` (microseconds); NOT_FOUND where its content was
    forgotten."""
    _require_known(state, actor)
    if not state.deleted:
        return ()
    if now - state.deleted_at > window * 1_000_000:
        raise refuse(Code.EXPIRED, f"A post can be restored for {window // 86_400} days only.", "postId")
    if state.private is None:
        raise refuse(Code.NOT_FOUND, "There is no such post.", "postId")
    return (
        PostRestored(
            post=state.id,
            author=state.author,
            visibility=state.visibility,
            sort_at=state.sort_at,
            revision=state.revision,
            language=state.language,
            reply_to=state.reply_to,
            reply_to_author=state.reply_to_author,
            root=state.root,
            ancestors=state.ancestors,
            quote=state.quote,
            quote_author=state.quote_author,
            facets=state.facets,
            mentions=state.mentions,
            tags=state.tags,
            media=state.media,
            private=state.private,
        ),
    )


def require_own(state: Post, actor: str) -> None:
    """FORBIDDEN for the posts of others, NOT_FOUND for what does not stand."""
    if state.deleted:
        raise refuse(Code.NOT_FOUND, "There is no such post.", "postId")
    _require_known(state, actor)


def _require_known(state: Post, actor: str) -> None:
    if not state.id:
        raise refuse(Code.NOT_FOUND, "There is no such post.", "postId")
    if state.author != actor:
        # Who may not see the post must not learn from the code that it exists.
        if not may_see(state, actor, follows_author=False):
            raise refuse(Code.NOT_FOUND, "There is no such post.", "postId")
        raise refuse(Code.FORBIDDEN, "Only its author can do this.", "postId")

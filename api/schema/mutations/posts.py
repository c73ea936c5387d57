"""Writing, editing, deleting, liking and reposting posts."""

from typing import Final

import strawberry

from api.schema.consistency import Info
from api.schema.enums import TombstoneReason, Visibility
from api.schema.fields import mutation, resolved
from api.schema.ids import Kind, bare_id, global_id
from api.schema.media import MediaInput, given_media
from api.schema.mutations.running import CLIENT_MUTATION_ID, Input, MutationPayload, Ran, look_at_post, run
from api.schema.parts import PostTombstone
from api.schema.social import Post, present_post, viewer_of
from domain import commands

_IDEMPOTENCY_KEY: Final = "Repeats with the same key, within a day at least, find the first post instead of making another. Up to 128 printable characters."
_LANGUAGE: Final = "BCP 47 tag of the text's language, such as en or pt-BR."


@strawberry.input(description="A new post.")
class CreatePostInput:
    text: str = strawberry.field(
        description="What it says: up to 500 grapheme clusters, a link counting 23, and 5,000 bytes."
    )
    reply_to: strawberry.ID | None = strawberry.field(default=None, description="The post that it answers.")
    visibility: Visibility = strawberry.field(default=Visibility.PUBLIC, description="Who may see it.")
    language: str | None = strawberry.field(default=None, description=_LANGUAGE)
    quote: strawberry.ID | None = strawberry.field(
        default=None, description="The post that it shows below itself: one that everyone may see."
    )
    content_warning: str | None = strawberry.field(
        default=None, description="To be shown first, with the text behind it."
    )
    media: list[MediaInput] | None = strawberry.field(default=None, description="What it shows, up to four.")
    idempotency_key: str | None = strawberry.field(default=None, description=_IDEMPOTENCY_KEY)
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="New content of an own post.")
class EditPostInput:
    post_id: strawberry.ID = strawberry.field(description="The post.")
    text: str = strawberry.field(description="What it says from now on.")
    language: str | None = strawberry.field(default=None, description=f"{_LANGUAGE} Null: as it is.")
    content_warning: str | None = strawberry.field(default=None, description="Empty: none any more. Null: as it is.")
    media: list[MediaInput] | None = strawberry.field(
        default=None, description="What it shows from now on. Empty: nothing. Null: as it is."
    )
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="An own post that shall go.")
class DeletePostInput:
    post_id: strawberry.ID = strawberry.field(description="The post.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A post to like.")
class LikePostInput:
    post_id: strawberry.ID = strawberry.field(description="The post.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A post to like no more.")
class UnlikePostInput:
    post_id: strawberry.ID = strawberry.field(description="The post.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A post to show to one's followers.")
class RepostInput:
    post_id: strawberry.ID = strawberry.field(description="The post.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A post to show to one's followers no more.")
class UndoRepostInput:
    post_id: strawberry.ID = strawberry.field(description="The post.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.type(description="Of a mutation about a post.")
class PostPayload(MutationPayload):
    ran: strawberry.Private[Ran]

    @resolved("The post as it is now; null where nothing was done or lists cannot be read at the moment.")
    async def post(self, info: Info) -> Post | None:
        result = self.ran.result
        view = None if result is None else await look_at_post(info.context, result, result.id)
        shown = None if view is None else present_post(viewer_of(info.context), view)
        return shown if isinstance(shown, Post) else None


@strawberry.type(description="What became of `createPost`.")
class CreatePostPayload(PostPayload):
    pass


@strawberry.type(description="What became of `editPost`.")
class EditPostPayload(PostPayload):
    pass


@strawberry.type(description="What became of `deletePost`.")
class DeletePostPayload(MutationPayload):
    post: PostTombstone | None = strawberry.field(
        description="What stands in the post's place now; null where nothing was done."
    )


@strawberry.type(description="What became of `likePost`.")
class LikePostPayload(PostPayload):
    pass


@strawberry.type(description="What became of `unlikePost`.")
class UnlikePostPayload(PostPayload):
    pass


@strawberry.type(description="What became of `repost`.")
class RepostPayload(PostPayload):
    pass


@strawberry.type(description="What became of `undoRepost`.")
class UndoRepostPayload(PostPayload):
    pass


@strawberry.type
class PostMutations:
    @mutation("Posts, or answers a post.")
    async def create_post(self, info: Info, input: Input[CreatePostInput]) -> CreatePostPayload:
        def command() -> commands.CreatePost:
            return commands.CreatePost(
                text=input.text,
                reply_to=None if input.reply_to is None else bare_id(Kind.POST, input.reply_to, "replyTo"),
                quote=None if input.quote is None else bare_id(Kind.POST, input.quote, "quote"),
                media=given_media(input.media or []),
                language=input.language,
                visibility=input.visibility.name,
                content_warning=input.content_warning or "",
                idempotency_key=input.idempotency_key,
            )

        ran = await run(info.context, command)
        return CreatePostPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Gives an own post new content. Its replies, likes and place in feeds stay.")
    async def edit_post(self, info: Info, input: Input[EditPostInput]) -> EditPostPayload:
        def command() -> commands.EditPost:
            return commands.EditPost(
                post=bare_id(Kind.POST, input.post_id, "postId"),
                text=input.text,
                language=input.language,
                content_warning=input.content_warning,
                media=None if input.media is None else given_media(input.media),
            )

        ran = await run(info.context, command)
        return EditPostPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Deletes an own post. A tombstone stays where others answered it.")
    async def delete_post(self, info: Info, input: Input[DeletePostInput]) -> DeletePostPayload:
        ran = await run(info.context, lambda: commands.DeletePost(post=bare_id(Kind.POST, input.post_id, "postId")))
        return DeletePostPayload(post=_tombstone(ran), **ran.common(input.client_mutation_id))

    @mutation("Likes a post. Liked already: nothing changes.")
    async def like_post(self, info: Info, input: Input[LikePostInput]) -> LikePostPayload:
        ran = await run(info.context, lambda: commands.LikePost(post=bare_id(Kind.POST, input.post_id, "postId")))
        return LikePostPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Takes a like back. Not liked: nothing changes.")
    async def unlike_post(self, info: Info, input: Input[UnlikePostInput]) -> UnlikePostPayload:
        ran = await run(info.context, lambda: commands.UnlikePost(post=bare_id(Kind.POST, input.post_id, "postId")))
        return UnlikePostPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Shows a post to one's followers. Reposted already: nothing changes.")
    async def repost(self, info: Info, input: Input[RepostInput]) -> RepostPayload:
        ran = await run(info.context, lambda: commands.Repost(post=bare_id(Kind.POST, input.post_id, "postId")))
        return RepostPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Takes a repost back. Not reposted: nothing changes.")
    async def undo_repost(self, info: Info, input: Input[UndoRepostInput]) -> UndoRepostPayload:
        ran = await run(info.context, lambda: commands.UndoRepost(post=bare_id(Kind.POST, input.post_id, "postId")))
        return UndoRepostPayload(ran=ran, **ran.common(input.client_mutation_id))


def _tombstone(ran: Ran) -> PostTombstone | None:
    if ran.result is None:
        return None
    return PostTombstone(id=strawberry.ID(global_id(Kind.POST, ran.result.id)), reason=TombstoneReason.DELETED)

"""What becomes of posts after they were written: restored, pinned, kept."""

import strawberry

from api.schema.consistency import Info
from api.schema.fields import mutation
from api.schema.ids import Kind, bare_id
from api.schema.mutations.posts import PostPayload
from api.schema.mutations.running import CLIENT_MUTATION_ID, Input, run
from domain import commands


@strawberry.input(description="An own post that was deleted.")
class RestorePostInput:
    post_id: strawberry.ID = strawberry.field(description="The post.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="An own post to show first.")
class PinPostInput:
    post_id: strawberry.ID = strawberry.field(description="The post.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="An own post to show first no more.")
class UnpinPostInput:
    post_id: strawberry.ID = strawberry.field(description="The post.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A post to keep.")
class BookmarkPostInput:
    post_id: strawberry.ID = strawberry.field(description="The post.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A post to keep no more.")
class UnbookmarkPostInput:
    post_id: strawberry.ID = strawberry.field(description="The post.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.type(description="What became of `restorePost`.")
class RestorePostPayload(PostPayload):
    pass


@strawberry.type(description="What became of `pinPost`.")
class PinPostPayload(PostPayload):
    pass


@strawberry.type(description="What became of `unpinPost`.")
class UnpinPostPayload(PostPayload):
    pass


@strawberry.type(description="What became of `bookmarkPost`.")
class BookmarkPostPayload(PostPayload):
    pass


@strawberry.type(description="What became of `unbookmarkPost`.")
class UnbookmarkPostPayload(PostPayload):
    pass


@strawberry.type
class KeepingMutations:
    @mutation(
        "Undoes the deletion of an own post, for 30 days. It comes back where it was, with its replies and likes; its earlier revisions are gone. Not deleted: nothing changes."
    )
    async def restore_post(self, info: Info, input: Input[RestorePostInput]) -> RestorePostPayload:
        ran = await run(info.context, lambda: commands.RestorePost(post=bare_id(Kind.POST, input.post_id, "postId")))
        return RestorePostPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Shows an own post first on the own profile; five at most. Pinned already: nothing changes.")
    async def pin_post(self, info: Info, input: Input[PinPostInput]) -> PinPostPayload:
        ran = await run(info.context, lambda: commands.PinPost(post=bare_id(Kind.POST, input.post_id, "postId")))
        return PinPostPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Shows an own post first no more. Not pinned: nothing changes.")
    async def unpin_post(self, info: Info, input: Input[UnpinPostInput]) -> UnpinPostPayload:
        ran = await run(info.context, lambda: commands.UnpinPost(post=bare_id(Kind.POST, input.post_id, "postId")))
        return UnpinPostPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Keeps a post in `viewer.bookmarks`, which only the viewer sees. Kept already: nothing changes.")
    async def bookmark_post(self, info: Info, input: Input[BookmarkPostInput]) -> BookmarkPostPayload:
        ran = await run(info.context, lambda: commands.BookmarkPost(post=bare_id(Kind.POST, input.post_id, "postId")))
        return BookmarkPostPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Keeps a post no more. Not kept: nothing changes.")
    async def unbookmark_post(self, info: Info, input: Input[UnbookmarkPostInput]) -> UnbookmarkPostPayload:
        ran = await run(info.context, lambda: commands.UnbookmarkPost(post=bare_id(Kind.POST, input.post_id, "postId")))
        return UnbookmarkPostPayload(ran=ran, **ran.common(input.client_mutation_id))

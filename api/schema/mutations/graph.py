"""Following and unfollowing."""

import strawberry

from api.schema.consistency import Info
from api.schema.fields import mutation, resolved
from api.schema.ids import Kind, bare_id
from api.schema.mutations.running import CLIENT_MUTATION_ID, Input, MutationPayload, Ran, look_at_person, run
from api.schema.social import User, present_user, viewer_of
from domain import commands


@strawberry.input(description="A person to follow, and how.")
class FollowUserInput:
    user_id: strawberry.ID = strawberry.field(description="The person.")
    reposts: bool | None = strawberry.field(
        default=None, description="Whether their reposts come into one's home: yes unless said. Null: as it is."
    )
    notify: bool | None = strawberry.field(
        default=None, description="Whether to be told of their posts: no unless said. Null: as it is."
    )
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A person to follow no more.")
class UnfollowUserInput:
    user_id: strawberry.ID = strawberry.field(description="The person.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.type(description="Of a mutation about a person.")
class _UserPayload(MutationPayload):
    ran: strawberry.Private[Ran]

    @resolved("The person as they are now; null where nothing was done or lists cannot be read at the moment.")
    async def user(self, info: Info) -> User | None:
        result = self.ran.result
        view = None if result is None else await look_at_person(info.context, result, result.id)
        return None if view is None else present_user(viewer_of(info.context), view)


@strawberry.type(description="What became of `followUser`.")
class FollowUserPayload(_UserPayload):
    pass


@strawberry.type(description="What became of `unfollowUser`.")
class UnfollowUserPayload(_UserPayload):
    pass


@strawberry.type
class GraphMutations:
    @mutation("Follows a person, or changes how one follows them. Followed so already: nothing changes.")
    async def follow_user(self, info: Info, input: Input[FollowUserInput]) -> FollowUserPayload:
        def command() -> commands.FollowUser:
            user = bare_id(Kind.USER, input.user_id, "userId")
            return commands.FollowUser(user=user, reposts=input.reposts, notify=input.notify)

        ran = await run(info.context, command)
        return FollowUserPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Follows a person no more. Not followed: nothing changes.")
    async def unfollow_user(self, info: Info, input: Input[UnfollowUserInput]) -> UnfollowUserPayload:
        ran = await run(info.context, lambda: commands.UnfollowUser(user=bare_id(Kind.USER, input.user_id, "userId")))
        return UnfollowUserPayload(ran=ran, **ran.common(input.client_mutation_id))

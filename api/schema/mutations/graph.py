"""Following, asking to follow, and being followed."""

import asyncio
from functools import partial
from typing import Final

import strawberry

from api.context import RequestContext
from api.schema.consistency import SHOWN, Info, consistent
from api.schema.fields import mutation, resolved
from api.schema.ids import Kind, bare_id
from api.schema.mutations.running import CLIENT_MUTATION_ID, LOOK, Input, MutationPayload, Ran, look_at_person, run
from api.schema.social import User
from domain import commands
from domain.errors import Code, UnavailableError, refuse
from projections.sight import hydrate

THE_PERSON: Final = "The person."


@strawberry.input(description="A person to follow, and how.")
class FollowUserInput:
    user_id: strawberry.ID = strawberry.field(description=THE_PERSON)
    reposts: bool | None = strawberry.field(
        default=None, description="Whether their reposts come into one's home: yes unless said. Null: as it is."
    )
    notify: bool | None = strawberry.field(
        default=None, description="Whether to be told of their posts: no unless said. Null: as it is."
    )
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A person to follow no more, or whom to ask no more.")
class UnfollowUserInput:
    user_id: strawberry.ID = strawberry.field(description=THE_PERSON)
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A follower to be rid of.")
class RemoveFollowerInput:
    user_id: strawberry.ID = strawberry.field(description=THE_PERSON)
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A person who has asked to follow.")
class AcceptFollowInput:
    user_id: strawberry.ID = strawberry.field(description=THE_PERSON)
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A person who has asked to follow.")
class RejectFollowInput:
    user_id: strawberry.ID = strawberry.field(description=THE_PERSON)
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.type(description="Of a mutation about a person.")
class UserPayload(MutationPayload):
    ran: strawberry.Private[Ran]

    @resolved("The person as they are now; null where nothing was done or lists cannot be read at the moment.")
    async def user(self, info: Info) -> User | None:
        result = self.ran.result
        return None if result is None else await look_at_person(info.context, result, result.id)


@strawberry.type(description="What became of `followUser`.")
class FollowUserPayload(UserPayload):
    pass


@strawberry.type(description="What became of `unfollowUser`.")
class UnfollowUserPayload(UserPayload):
    pass


@strawberry.type(description="What became of `removeFollower`.")
class RemoveFollowerPayload(UserPayload):
    pass


@strawberry.type(description="What became of `acceptFollow`.")
class AcceptFollowPayload(UserPayload):
    pass


@strawberry.type(description="What became of `rejectFollow`.")
class RejectFollowPayload(UserPayload):
    pass


@strawberry.type
class GraphMutations:
    @mutation(
        "Follows a person, or changes how one follows them. A locked account is asked, and decides. Followed so already: nothing changes."
    )
    async def follow_user(self, info: Info, input: Input[FollowUserInput]) -> FollowUserPayload:
        def command() -> commands.FollowUser:
            user = bare_id(Kind.USER, input.user_id, "userId")
            return commands.FollowUser(user=user, reposts=input.reposts, notify=input.notify)

        ran = await run(info.context, command, partial(_require_room, info.context))
        return FollowUserPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Follows a person no more, or withdraws the request. Neither followed nor asked: nothing changes.")
    async def unfollow_user(self, info: Info, input: Input[UnfollowUserInput]) -> UnfollowUserPayload:
        ran = await run(info.context, lambda: commands.UnfollowUser(user=bare_id(Kind.USER, input.user_id, "userId")))
        return UnfollowUserPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Ends a person's follow of the viewer; they are not told. Not followed by them: nothing changes.")
    async def remove_follower(self, info: Info, input: Input[RemoveFollowerInput]) -> RemoveFollowerPayload:
        ran = await run(info.context, lambda: commands.RemoveFollower(user=bare_id(Kind.USER, input.user_id, "userId")))
        return RemoveFollowerPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Lets a person follow who has asked to. They follow already: nothing changes.")
    async def accept_follow(self, info: Info, input: Input[AcceptFollowInput]) -> AcceptFollowPayload:
        ran = await run(info.context, lambda: commands.AcceptFollow(user=bare_id(Kind.USER, input.user_id, "userId")))
        return AcceptFollowPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Turns a request to follow down; the person is not told, and may ask again. Not asked: nothing changes.")
    async def reject_follow(self, info: Info, input: Input[RejectFollowInput]) -> RejectFollowPayload:
        ran = await run(info.context, lambda: commands.RejectFollow(user=bare_id(Kind.USER, input.user_id, "userId")))
        return RejectFollowPayload(ran=ran, **ran.common(input.client_mutation_id))


async def _require_room(context: RequestContext, command: commands.FollowUser) -> None:
    """LIMIT_REACHED where the viewer follows as many as one can. By the documents, which may lag, and not at all while they are out of reach."""
    limit = context.services.limits.follows
    try:
        async with asyncio.timeout(LOOK):
            if await _has_room(context, command.user, limit):
                return
            # Whom the viewer has just unfollowed may not have been taken off yet.
            await consistent(context, SHOWN, LOOK)
            if await _has_room(context, command.user, limit):
                return
    except (UnavailableError, TimeoutError):
        return
    raise refuse(Code.LIMIT_REACHED, f"One can follow {limit} people; unfollow somebody first.", "userId")


async def _has_room(context: RequestContext, user: str, limit: int) -> bool:
    viewer = context.require_viewer().account
    sight = await hydrate(context.services.documents, viewer, people=[viewer, user])
    own = sight.people.get(viewer)
    return own is None or own.counts.following < limit or sight.follows(user)

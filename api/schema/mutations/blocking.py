"""Blocking and muting."""

import strawberry

from api.schema.consistency import Info
from api.schema.fields import mutation
from api.schema.ids import Kind, bare_id
from api.schema.mutations.graph import THE_PERSON, UserPayload
from api.schema.mutations.running import CLIENT_MUTATION_ID, Input, run
from api.schema.scalars import Timestamp
from domain import commands


@strawberry.input(description="A person to be kept apart from.")
class BlockUserInput:
    user_id: strawberry.ID = strawberry.field(description=THE_PERSON)
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A person to be kept apart from no more.")
class UnblockUserInput:
    user_id: strawberry.ID = strawberry.field(description=THE_PERSON)
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A person to hear nothing of, and for how long.")
class MuteUserInput:
    user_id: strawberry.ID = strawberry.field(description=THE_PERSON)
    until: Timestamp | None = strawberry.field(default=None, description="When the mute ends. Null: it does not.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A person to hear of again.")
class UnmuteUserInput:
    user_id: strawberry.ID = strawberry.field(description=THE_PERSON)
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.type(description="What became of `blockUser`.")
class BlockUserPayload(UserPayload):
    pass


@strawberry.type(description="What became of `unblockUser`.")
class UnblockUserPayload(UserPayload):
    pass


@strawberry.type(description="What became of `muteUser`.")
class MuteUserPayload(UserPayload):
    pass


@strawberry.type(description="What became of `unmuteUser`.")
class UnmuteUserPayload(UserPayload):
    pass


@strawberry.type
class BlockingMutations:
    @mutation(
        "Keeps a person and the viewer apart: follows and requests end both ways, and neither sees what the other does. Blocked already: nothing changes."
    )
    async def block_user(self, info: Info, input: Input[BlockUserInput]) -> BlockUserPayload:
        ran = await run(info.context, lambda: commands.BlockUser(user=bare_id(Kind.USER, input.user_id, "userId")))
        return BlockUserPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Ends a block; the follows that it ended do not come back. Not blocked: nothing changes.")
    async def unblock_user(self, info: Info, input: Input[UnblockUserInput]) -> UnblockUserPayload:
        ran = await run(info.context, lambda: commands.UnblockUser(user=bare_id(Kind.USER, input.user_id, "userId")))
        return UnblockUserPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation(
        "Keeps a person's posts and reposts out of the viewer's feeds; the person is not told, and can still be looked up. Muted so already: nothing changes."
    )
    async def mute_user(self, info: Info, input: Input[MuteUserInput]) -> MuteUserPayload:
        def command() -> commands.MuteUser:
            return commands.MuteUser(user=bare_id(Kind.USER, input.user_id, "userId"), until=input.until)

        ran = await run(info.context, command)
        return MuteUserPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Ends a mute. Not muted: nothing changes.")
    async def unmute_user(self, info: Info, input: Input[UnmuteUserInput]) -> UnmuteUserPayload:
        ran = await run(info.context, lambda: commands.UnmuteUser(user=bare_id(Kind.USER, input.user_id, "userId")))
        return UnmuteUserPayload(ran=ran, **ran.common(input.client_mutation_id))

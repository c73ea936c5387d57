"""What a person changes of how others see them: the handle, the profile, and whether they are there at all."""

import strawberry

from api.schema.consistency import Info
from api.schema.fields import mutation, resolved
from api.schema.mutations.running import CLIENT_MUTATION_ID, Input, MutationPayload, Ran, look_at_person, run
from api.schema.social import User
from domain import commands
from domain.events import ProfileField


@strawberry.input(description="Another handle.")
class ChangeHandleInput:
    handle: str = strawberry.field(
        description="Unique name: 3 to 30 of the letters a to z, digits and _. The old one rests for 30 days; meanwhile its owner alone can take it back."
    )
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A line of a profile's table.")
class ProfileFieldInput:
    name: str = strawberry.field(description="What it is about: up to 255 grapheme clusters, not empty.")
    value: str = strawberry.field(description="What there is to say: up to 255 grapheme clusters.")


@strawberry.input(description="A profile. Null leaves something as it is, an empty text or list takes it away.")
class UpdateProfileInput:
    display_name: str | None = strawberry.field(
        default=None, description="What to be called: one line, up to 40 grapheme clusters."
    )
    bio: str | None = strawberry.field(
        default=None,
        description="About oneself: up to 500 grapheme clusters. Mentions, hashtags and links are found in it.",
    )
    fields: list[ProfileFieldInput] | None = strawberry.field(default=None, description="Up to four, in this order.")
    avatar: str | None = strawberry.field(default=None, description="Address of a picture of oneself, https.")
    banner: str | None = strawberry.field(default=None, description="Address of a picture behind the profile, https.")
    locked: bool | None = strawberry.field(
        default=None, description="Whether people have to ask before they follow. Unlocking accepts all who have asked."
    )
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="An account to hide for a while.")
class DeactivateAccountInput:
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="An account to show again.")
class ReactivateAccountInput:
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.type(description="Of a mutation about the viewer's own account.")
class AccountPayload(MutationPayload):
    ran: strawberry.Private[Ran]

    @resolved("The account as it is now; null where nothing was done or lists cannot be read at the moment.")
    async def account(self, info: Info) -> User | None:
        result = self.ran.result
        return None if result is None else await look_at_person(info.context, result, result.id)


@strawberry.type(description="What became of `changeHandle`.")
class ChangeHandlePayload(AccountPayload):
    pass


@strawberry.type(description="What became of `updateProfile`.")
class UpdateProfilePayload(AccountPayload):
    pass


@strawberry.type(description="What became of `deactivateAccount`.")
class DeactivateAccountPayload(AccountPayload):
    pass


@strawberry.type(description="What became of `reactivateAccount`.")
class ReactivateAccountPayload(AccountPayload):
    pass


@strawberry.type
class ProfileMutations:
    @mutation(
        "Takes another handle. Mentions in old posts still lead to the account. The same as before: nothing changes."
    )
    async def change_handle(self, info: Info, input: Input[ChangeHandleInput]) -> ChangeHandlePayload:
        ran = await run(info.context, lambda: commands.ChangeHandle(handle=input.handle))
        return ChangeHandlePayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Changes what the profile says. The same as before: nothing changes.")
    async def update_profile(self, info: Info, input: Input[UpdateProfileInput]) -> UpdateProfilePayload:
        fields = input.fields
        command = commands.UpdateProfile(
            display_name=input.display_name,
            bio=input.bio,
            fields=None if fields is None else tuple(ProfileField(name=one.name, value=one.value) for one in fields),
            avatar=input.avatar,
            banner=input.banner,
            locked=input.locked,
        )
        ran = await run(info.context, lambda: command)
        return UpdateProfilePayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation(
        "Hides the account and all that it has posted from everyone else; nothing is lost, and sessions go on. Signing in still works, and is followed by `reactivateAccount`."
    )
    async def deactivate_account(self, info: Info, input: Input[DeactivateAccountInput]) -> DeactivateAccountPayload:
        ran = await run(info.context, commands.DeactivateAccount)
        return DeactivateAccountPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Shows a deactivated account again, as it was. Active already: nothing changes.")
    async def reactivate_account(self, info: Info, input: Input[ReactivateAccountInput]) -> ReactivateAccountPayload:
        ran = await run(info.context, commands.ReactivateAccount)
        return ReactivateAccountPayload(ran=ran, **ran.common(input.client_mutation_id))

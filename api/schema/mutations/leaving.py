"""What needs the password once more, and the end of sessions and accounts."""

from collections.abc import Awaitable, Callable

import strawberry

from api.context import RequestContext
from api.schema.consistency import Info
from api.schema.fields import mutation
from api.schema.ids import Kind, bare_id
from api.schema.mutations.credentials import password_problems
from api.schema.mutations.profiles import AccountPayload
from api.schema.mutations.running import (
    CLIENT_MUTATION_ID,
    Input,
    MutationPayload,
    Ran,
    accepted,
    attempt,
    domain_context,
    run,
)
from api.schema.mutations.signing_in import verified
from domain import commands
from domain.context import Context
from domain.errors import Refusal
from domain.handlers import Result, handle


@strawberry.input(description="Another password.")
class ChangePasswordInput:
    current_password: str = strawberry.field(description="The password so far.")
    new_password: str = strawberry.field(description="8 characters to 1,024 bytes.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="An account to delete for good.")
class DeleteAccountInput:
    password: str = strawberry.field(description="The account's password.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A session of the viewer's to end.")
class RevokeSessionInput:
    session_id: strawberry.ID = strawberry.field(description="The session, of `viewer.sessions`.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="All sessions of the viewer's to end, but the one that asks.")
class RevokeOtherSessionsInput:
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.type(description="What became of `changePassword`.")
class ChangePasswordPayload(AccountPayload):
    pass


@strawberry.type(description="What became of `deleteAccount`.")
class DeleteAccountPayload(AccountPayload):
    """Its account is null: nobody sees it any more."""


@strawberry.type(description="What became of `revokeSession`.")
class RevokeSessionPayload(MutationPayload):
    pass


@strawberry.type(description="What became of `revokeOtherSessions`.")
class RevokeOtherSessionsPayload(MutationPayload):
    pass


async def _run(context: RequestContext, work: Callable[[Context], Awaitable[Result]]) -> Ran:
    """As ``run``, of a command that takes some work to make."""
    asked = domain_context(context)
    result = await attempt(context, lambda: work(asked))
    return result if isinstance(result, Ran) else Ran(result, accepted(context, asked, result))


@strawberry.type
class LeavingMutations:
    @mutation("Changes the password and ends all other sessions.")
    async def change_password(self, info: Info, input: Input[ChangePasswordInput]) -> ChangePasswordPayload:
        context = info.context

        async def work(asked: Context) -> Result:
            session = context.require_viewer().session
            problems = password_problems(input.new_password, context.services.limits, "newPassword")
            if problems:
                raise Refusal(problems)
            hashed = await verified(context, asked, input.current_password, "currentPassword")
            command = commands.ChangePassword(
                password_hash=await context.services.passwords.hash(input.new_password), verified=hashed, kept=session
            )
            return await handle(context.services.log, command, asked)

        ran = await _run(context, work)
        return ChangePasswordPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation(
        "Deletes the account, at once and for good: nobody sees it any more, its sessions end, what it did is taken back and what it wrote forgotten. Its handle rests for 30 days; its address is free again soon."
    )
    async def delete_account(self, info: Info, input: Input[DeleteAccountInput]) -> DeleteAccountPayload:
        context = info.context

        async def work(asked: Context) -> Result:
            hashed = await verified(context, asked, input.password, "password")
            return await handle(context.services.log, commands.DeleteAccount(verified=hashed), asked)

        ran = await _run(context, work)
        return DeleteAccountPayload(ran=ran, **ran.common(input.client_mutation_id))

    @mutation("Ends a session of the viewer's, the one that asks included. Ended already: nothing changes.")
    async def revoke_session(self, info: Info, input: Input[RevokeSessionInput]) -> RevokeSessionPayload:
        def command() -> commands.RevokeSession:
            return commands.RevokeSession(session=bare_id(Kind.SESSION, input.session_id, "sessionId"))

        ran = await run(info.context, command)
        return RevokeSessionPayload(**ran.common(input.client_mutation_id))

    @mutation("Ends all sessions of the viewer's but the one that asks.")
    async def revoke_other_sessions(
        self, info: Info, input: Input[RevokeOtherSessionsInput]
    ) -> RevokeOtherSessionsPayload:
        def command() -> commands.EndOtherSessions:
            return commands.EndOtherSessions(kept=info.context.require_viewer().session)

        ran = await run(info.context, command)
        return RevokeOtherSessionsPayload(**ran.common(input.client_mutation_id))

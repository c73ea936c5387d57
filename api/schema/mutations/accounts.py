"""Registering, signing in and out."""

from typing import Final

import strawberry

from api.schema.consistency import Info
from api.schema.fields import mutation, resolved
from api.schema.mutations.running import (
    CLIENT_MUTATION_ID,
    Input,
    MutationPayload,
    Ran,
    accepted,
    attempt,
    domain_context,
    look_at_person,
    run,
)
from api.schema.mutations.signing_in import Opened, Session, open_session, recognise, register, renew_session
from api.schema.social import User
from domain import commands
from domain.errors import Code, Problem
from domain.handlers import Result

_NO_SESSION: Final = Problem(Code.UNAVAILABLE, "The account is registered, but no session could be opened: sign in.")


@strawberry.input(description="A new account.")
class RegisterAccountInput:
    handle: str = strawberry.field(
        description="Unique name: 3 to 30 of the letters a to z, digits and _. Upper case is folded; names that look like a taken one are taken too."
    )
    email: str = strawberry.field(description="Address that no other account has. Never shown to anybody.")
    password: str = strawberry.field(description="8 characters to 1,024 bytes.")
    display_name: str | None = strawberry.field(
        default=None, description="What to be called: up to 40 grapheme clusters."
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Repeats with the same key and input, within a day at least, find the account that was made and open another session. Up to 128 printable characters.",
    )
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="Who wants to sign in.")
class SignInInput:
    handle_or_email: str = strawberry.field(description="The account's handle, with or without @, or its address.")
    password: str = strawberry.field(description="The account's password.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="A session that shall go on.")
class RefreshSessionInput:
    refresh_token: str = strawberry.field(description="The session's newest refresh token.")
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.input(description="The end of the session that asks.")
class SignOutInput:
    client_mutation_id: str | None = strawberry.field(default=None, description=CLIENT_MUTATION_ID)


@strawberry.type(description="Of a mutation that gives a session.")
class _SessionPayload(MutationPayload):
    person: strawberry.Private[tuple[Result, str] | None]
    session: Session | None = strawberry.field(description="The session's tokens; null where there is none.")

    @resolved("The account; null where nothing was done or lists cannot be read at the moment.")
    async def account(self, info: Info) -> User | None:
        return None if self.person is None else await look_at_person(info.context, *self.person)


@strawberry.type(description="What became of `registerAccount`.")
class RegisterAccountPayload(_SessionPayload):
    pass


@strawberry.type(description="What became of `signIn`.")
class SignInPayload(_SessionPayload):
    pass


@strawberry.type(description="What became of `refreshSession`.")
class RefreshSessionPayload(_SessionPayload):
    pass


@strawberry.type(description="What became of `signOut`.")
class SignOutPayload(MutationPayload):
    pass


@strawberry.type
class AccountMutations:
    @mutation("Registers an account and opens a session of it.")
    async def register_account(self, info: Info, input: Input[RegisterAccountInput]) -> RegisterAccountPayload:
        context, asked = info.context, domain_context(info.context)
        command = commands.RegisterAccount(
            handle=input.handle,
            email=input.email,
            password_hash="",
            display_name=input.display_name or "",
            idempotency_key=input.idempotency_key,
        )
        result = await attempt(context, lambda: register(context, asked, command, input.password))
        if isinstance(result, Ran):
            return RegisterAccountPayload(person=None, session=None, **result.common(input.client_mutation_id))
        then = domain_context(context, causation_id=asked.command_id)
        opened = await attempt(context, lambda: open_session(context, then, result.id))
        if isinstance(opened, Ran):
            ran = Ran(result, accepted(context, asked, result), [_NO_SESSION])
            session = None
        else:
            ran = Ran(result, accepted(context, asked, result, opened.result))
            session = opened.session
        return RegisterAccountPayload(
            person=(result, result.id), session=session, **ran.common(input.client_mutation_id)
        )

    @mutation("Opens a session for a handle or an address and its password.")
    async def sign_in(self, info: Info, input: Input[SignInInput]) -> SignInPayload:
        context, asked = info.context, domain_context(info.context)

        async def work() -> Opened:
            account = await recognise(context, asked, input.handle_or_email, input.password)
            return await open_session(context, asked, account)

        opened = await attempt(context, work)
        if isinstance(opened, Ran):
            return SignInPayload(person=None, session=None, **opened.common(input.client_mutation_id))
        ran = Ran(opened.result, accepted(context, asked, opened.result))
        return SignInPayload(
            person=(opened.result, opened.account),
            session=opened.session,
            **ran.common(input.client_mutation_id),
        )

    @mutation("Goes on with a session: new tokens for its refresh token, which is good only once.")
    async def refresh_session(self, info: Info, input: Input[RefreshSessionInput]) -> RefreshSessionPayload:
        context, asked = info.context, domain_context(info.context)
        opened = await attempt(context, lambda: renew_session(context, asked, input.refresh_token))
        if isinstance(opened, Ran):
            return RefreshSessionPayload(person=None, session=None, **opened.common(input.client_mutation_id))
        ran = Ran(opened.result, accepted(context, asked, opened.result))
        return RefreshSessionPayload(
            person=(opened.result, opened.account),
            session=opened.session,
            **ran.common(input.client_mutation_id),
        )

    @mutation("Ends the session that asks. Its access token goes on until it expires, its refresh token does not.")
    async def sign_out(self, info: Info, input: Input[SignOutInput]) -> SignOutPayload:
        def command() -> commands.SignOut:
            return commands.SignOut(session=info.context.require_viewer().session)

        ran = await run(info.context, command)
        return SignOutPayload(**ran.common(input.client_mutation_id))

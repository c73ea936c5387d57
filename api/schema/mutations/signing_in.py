"""How people become signed in: registered, recognised by their password, given a session's tokens."""

from dataclasses import dataclass
from typing import Final

import msgspec
import strawberry

from api.auth.refresh import SECRET_BYTES, RefreshToken, mint_refresh, read_refresh
from api.context import RequestContext
from api.schema.mutations.credentials import checked_email, password_problems
from api.schema.scalars import Timestamp
from domain.commands import OpenSession, RefreshSession, RegisterAccount
from domain.context import Context
from domain.deciders.account import Account
from domain.deciders.session import Session as SessionState
from domain.errors import Code, Refusal, refuse
from domain.handlers import Result, handle
from domain.handlers.accounts import find_account
from domain.handlers.result import confirm
from domain.ids import account_stream, mint_id, session_stream
from domain.limits import Limits
from domain.log.port import View
from domain.names import fold_handle, handle_problems

MAX_AGENT: Final = 256
"""Characters of a client's name for itself that are kept."""


@strawberry.type(description="Tokens of a session.")
class Session:
    access_token: str = strawberry.field(
        description="Send it with each request: `Authorization: Bearer <accessToken>`."
    )
    refresh_token: str = strawberry.field(
        description="For `refreshSession`, once: a second use ends the session, for then somebody has stolen it."
    )
    expires_at: Timestamp = strawberry.field(
        description="When the access token stops being good; the refresh token goes on."
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """A session with its tokens, and the command that opened or refreshed it."""

    result: Result
    account: str
    session: Session


async def register(context: RequestContext, asked: Context, command: RegisterAccount, password: str) -> Result:
    """An account with this password. A repeat under its idempotency key must bring the same password. ``command`` still lacks the hash."""
    context.count_sign_in()
    services = context.services
    email, problems = checked_email(command.email, services.limits)
    problems += password_problems(password, services.limits)
    if problems:
        raise Refusal(handle_problems(fold_handle(command.handle), services.limits) + problems)
    hashed = await services.passwords.hash(password)
    command = msgspec.structs.replace(command, email=email, password_hash=hashed)
    result = await handle(services.log, command, asked)
    if result.repeat:
        owner = View(result.outcome.states).state(account_stream(result.id), Account)
        if not await services.passwords.verify(_hash_of(owner), password):
            raise refuse(Code.IDEMPOTENCY_MISMATCH, "This idempotency key was used with other input.", "idempotencyKey")
    return result


async def recognise(context: RequestContext, asked: Context, name: str, password: str) -> str:
    """The account with this name and password. UNAUTHENTICATED in the same words and after the same work, whichever of the two is wrong."""
    context.count_sign_in()
    services = context.services
    known = _known_form(name, services.limits)
    account = None if known is None else await find_account(services.log, known, asked)
    if account is None:
        # A known name costs the load of its account besides.
        await services.log.states([account_stream(mint_id(0, services.entropy))])
    fits = await _fits(context, account, password)
    if account is None or not fits:
        raise refuse(Code.UNAUTHENTICATED, "The name or the password is wrong.")
    return account.id


async def verified(context: RequestContext, asked: Context, password: str, field: str) -> str:
    """The hash of the viewer's own password, which this is; UNAUTHENTICATED at ``field`` for another. Of a deleted account any is right: nothing follows."""
    stream = account_stream(context.require_viewer().account)
    context.count_sign_in()
    state = View((await confirm(context.services.log, stream, asked)).states).state(stream, Account)
    if not await _fits(context, state, password) and not state.deleted:
        raise refuse(Code.UNAUTHENTICATED, "The password is wrong.", field)
    return _hash_of(state) or ""


async def _fits(context: RequestContext, account: Account | None, password: str) -> bool:
    """Whether it is the account's password; after the same work for one that is too long, and where there is no account."""
    services = context.services
    possible = len(password.encode(errors="surrogatepass")) <= services.limits.password_bytes
    return await services.passwords.verify(_hash_of(account) if possible else None, password if possible else "")


def _known_form(name: str, limits: Limits) -> str | None:
    """The handle or address in the form under which it would be known; None where it can be neither."""
    name = name.strip()
    if "@" in name.removeprefix("@"):
        return checked_email(name, limits)[0] or None
    handle = fold_handle(name)
    return None if handle_problems(handle, limits) else handle


def _hash_of(account: Account | None) -> str | None:
    return account.private.password_hash if account is not None and account.private is not None else None


async def open_session(context: RequestContext, asked: Context, account: str) -> Opened:
    """A session of a person whose password was just seen."""
    secret = context.services.entropy(SECRET_BYTES)
    command = OpenSession(
        account=account, token_hash=_refresh_token("", secret).hash, user_agent=_agent(context.user_agent)
    )
    result = await handle(context.services.log, command, asked)
    return Opened(result, account, _tokens(context, account, result.id, secret))


def _agent(user_agent: str) -> str:
    return "".join(char for char in user_agent[:MAX_AGENT] if char.isprintable())


async def renew_session(context: RequestContext, asked: Context, refresh_token: str) -> Opened:
    """New tokens for a refresh token, which is used up by that."""
    presented = read_refresh(refresh_token)
    secret = context.services.entropy(SECRET_BYTES)
    command = RefreshSession(
        session=presented.session,
        presented_hash=presented.hash,
        token_hash=_refresh_token(presented.session, secret).hash,
    )
    result = await handle(context.services.log, command, asked)
    account = View(result.outcome.states).state(session_stream(result.id), SessionState).account
    return Opened(result, account, _tokens(context, account, result.id, secret))


def _refresh_token(session: str, secret: bytes) -> RefreshToken:
    return mint_refresh(session, lambda _: secret)


def _tokens(context: RequestContext, account: str, session: str, secret: bytes) -> Session:
    access_token, expires_at = context.services.access_tokens.mint(account, session)
    refresh_token = _refresh_token(session, secret).text
    return Session(access_token=access_token, refresh_token=refresh_token, expires_at=Timestamp(expires_at))

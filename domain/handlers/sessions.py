"""Sessions: opened, refreshed, and ended one by one or all the others at once."""

from domain.commands import EndOtherSessions, EndSession, OpenSession, RefreshSession, RevokeSession, SignOut
from domain.context import Context
from domain.deciders import account as accounts
from domain.deciders import session as sessions
from domain.deciders.account import Account
from domain.deciders.session import Session
from domain.errors import Code, refuse
from domain.events import SessionOpened, SessionPrivate, SessionRevoked
from domain.handlers.result import Result, confirm, require_actor, require_id, shard, state_of
from domain.ids import account_stream, is_id, session_stream, slot_of
from domain.log.port import Draft, EventLog, Execution, View


async def open_session(log: EventLog, command: OpenSession, context: Context) -> Result:
    """The password was verified at the edge; the account is checked once more where the session is recorded. Who has deactivated it may come back."""
    session = context.mint(slot_of(command.account))
    stream, owner_stream = session_stream(session), account_stream(command.account)

    def decide(view: View) -> tuple[Draft, ...]:
        accounts.require_standing(view.state(owner_stream, Account))
        opened = SessionOpened(
            session=session,
            account=command.account,
            token_hash=command.token_hash,
            expires_at=context.now + context.limits.session_lifetime * 1_000_000,
            private=SessionPrivate(user_agent=command.user_agent) if command.user_agent else None,
        )
        return context.drafts(stream, [opened])

    execution = Execution(
        shard(log, session),
        (stream, owner_stream),
        decide,
        context.metadata(),
        fresh=frozenset({stream}),
        subject=command.account,
    )
    return Result(session, await log.execute(execution))


async def _owner(log: EventLog, session: str, context: Context) -> str:
    """The account of a session, which never changes; empty where there is no such session."""
    stream = session_stream(session)
    known = await state_of(log, stream, Session)
    if not known.account:
        known = View((await confirm(log, stream, context)).states).state(stream, Session)
    return known.account


async def refresh_session(log: EventLog, command: RefreshSession, context: Context) -> Result:
    """Rotates the refresh token. A token that was rotated before revokes the session and is UNAUTHENTICATED."""
    owner = await _owner(log, command.session, context) if is_id(command.session) else ""
    if not owner:
        raise refuse(Code.UNAUTHENTICATED, "This is not a refresh token.", "refreshToken")
    stream, owner_stream = session_stream(command.session), account_stream(owner)
    lifetime = context.limits.session_lifetime * 1_000_000

    def decide(view: View) -> tuple[Draft, ...]:
        events = sessions.refresh(
            view.state(stream, Session),
            view.state(owner_stream, Account),
            command.session,
            command.presented_hash,
            command.token_hash,
            context.now,
            lifetime,
        )
        return context.drafts(stream, events)

    execution = Execution(shard(log, command.session), (stream, owner_stream), decide, context.metadata())
    outcome = await log.execute(execution)
    if any(isinstance(recorded.event, SessionRevoked) for recorded in outcome.events):
        raise refuse(
            Code.UNAUTHENTICATED, "This refresh token was used before; the session has been ended.", "refreshToken"
        )
    return Result(command.session, outcome)


async def sign_out(log: EventLog, command: SignOut, context: Context) -> Result:
    """Ends a session of the actor's; ended already: nothing changes."""
    actor = require_actor(context)
    stream = session_stream(require_id(command.session, "session", "sessionId"))

    def decide(view: View) -> tuple[Draft, ...]:
        return context.drafts(stream, sessions.sign_out(view.state(stream, Session), command.session, actor))

    outcome = await log.execute(Execution(shard(log, command.session), (stream,), decide, context.metadata()))
    return Result(command.session, outcome)


async def revoke_session(log: EventLog, command: RevokeSession, context: Context) -> Result:
    """Ends any session of the actor's; NOT_FOUND for anybody else's."""
    actor = require_actor(context)
    stream = session_stream(require_id(command.session, "session", "sessionId"))

    def decide(view: View) -> tuple[Draft, ...]:
        return context.drafts(stream, sessions.revoke(view.state(stream, Session), command.session, actor))

    outcome = await log.execute(Execution(shard(log, command.session), (stream,), decide, context.metadata()))
    return Result(command.session, outcome)


async def end_other_sessions(log: EventLog, command: EndOtherSessions, context: Context) -> Result:
    """Ends all sessions of the actor's but ``command.kept``, which must go on; they cannot be refreshed any more from this event on."""
    actor = require_actor(context)
    stream, kept = account_stream(actor), session_stream(require_id(command.kept, "session", "sessionId"))

    def decide(view: View) -> tuple[Draft, ...]:
        state = view.state(stream, Account)
        accounts.require_standing(state)
        if not sessions.is_open(view.state(kept, Session), state, command.kept):
            raise refuse(Code.UNAUTHENTICATED, "This session has ended; sign in again.")
        return context.drafts(stream, accounts.end_sessions(state, command.kept, "revoked"))

    return Result(actor, await log.execute(Execution(shard(log, actor), (stream, kept), decide, context.metadata())))


async def end_session(log: EventLog, command: EndSession, context: Context) -> Result:
    """The reactor's step after sessions ended together: each gets its own end. What was opened later, or kept, goes on."""
    stream, owner_stream = session_stream(command.session), account_stream(command.account)

    def decide(view: View) -> tuple[Draft, ...]:
        state = view.state(stream, Session)
        if state.account != command.account or sessions.is_open(
            state, view.state(owner_stream, Account), command.session
        ):
            return ()
        return context.drafts(stream, sessions.end(state, command.session, command.reason))

    execution = Execution(shard(log, command.session), (stream, owner_stream), decide, context.metadata())
    return Result(command.session, await log.execute(execution))

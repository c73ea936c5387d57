"""The viewer's open sessions."""

from functools import partial

import strawberry

from api.auth.access import Viewer
from api.context import RequestContext
from api.schema.consistency import SESSIONS, consistent
from api.schema.ids import Kind, global_id
from api.schema.pages import Connection, connection, list_name, window
from api.schema.scalars import Timestamp
from projections.sessions import SessionDoc, sessions_page


@strawberry.type(description="A session that is open: a place from where the account is used.")
class ActiveSession:
    id: strawberry.ID = strawberry.field(description="For `revokeSession`.")
    created_at: Timestamp = strawberry.field(description="When somebody signed in.")
    last_used_at: Timestamp = strawberry.field(description="When it was opened or last refreshed.")
    expires_at: Timestamp = strawberry.field(description="When it ends unless it is refreshed before.")
    user_agent: str = strawberry.field(description="What the client called itself when it signed in; may be empty.")
    current: bool = strawberry.field(description="Whether it is the session that asks.")


async def active_sessions(
    context: RequestContext, first: int | None, after: str | None, last: int | None, before: str | None
) -> Connection[ActiveSession]:
    services, viewer = context.services, context.require_viewer()
    name = list_name(viewer.account, "sessions")
    asked = window(services.signer, name, first=first, after=after, last=last, before=before)
    await consistent(context, SESSIONS)
    page = await sessions_page(services.documents, viewer.account, asked, services.now())
    return connection(services.signer, name, page, partial(_present, viewer))


def _present(viewer: Viewer, session: SessionDoc) -> ActiveSession:
    return ActiveSession(
        id=strawberry.ID(global_id(Kind.SESSION, session.id)),
        created_at=Timestamp(session.created_at),
        last_used_at=Timestamp(session.last_used_at),
        expires_at=Timestamp(session.expires_at),
        user_agent=session.user_agent,
        current=session.id == viewer.session,
    )

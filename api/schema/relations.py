"""The viewer's own lists of people: blocks, mutes, and who asks to follow."""

from collections.abc import Awaitable, Callable
from functools import partial

from api.context import RequestContext
from api.schema.consistency import SHOWN, consistent
from api.schema.pages import Connection, connection, list_name, window
from api.schema.social import User, present_user
from projections import people
from projections.documents.port import Documents
from projections.paging import Page, Window
from projections.rules import PersonView

Read = Callable[[Documents, str, Window], Awaitable[Page[PersonView]]]


async def blocks(
    context: RequestContext, first: int | None, after: str | None, last: int | None, before: str | None
) -> Connection[User]:
    return await _own(context, "blocks", people.blocks_page, first, after, last, before)


async def mutes(
    context: RequestContext, first: int | None, after: str | None, last: int | None, before: str | None
) -> Connection[User]:
    read = partial(people.mutes_page, now=context.services.now())
    return await _own(context, "mutes", read, first, after, last, before)


async def follow_requests(
    context: RequestContext, first: int | None, after: str | None, last: int | None, before: str | None
) -> Connection[User]:
    return await _own(context, "followRequests", people.requests_page, first, after, last, before)


async def _own(
    context: RequestContext,
    list_: str,
    read: Read,
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
) -> Connection[User]:
    services, viewer = context.services, context.require_viewer().account
    name = list_name(viewer, list_)
    asked = window(services.signer, name, first=first, after=after, last=last, before=before)
    await consistent(context, SHOWN)
    page = await read(services.documents, viewer, asked)
    return connection(services.signer, name, page, partial(present_user, viewer))

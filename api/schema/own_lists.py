"""Lists that are the viewer's alone, read and presented alike whatever stands in them."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from api.context import RequestContext
from api.schema.consistency import SHOWN, consistent
from api.schema.pages import Connection, connection, list_name, window
from projections.documents.port import Documents
from projections.paging import Page, Window

R = TypeVar("R")
T = TypeVar("T")


async def own_list(
    context: RequestContext,
    list_: str,
    read: Callable[[Documents, str, Window], Awaitable[Page[R]]],
    present: Callable[[str, R], T],
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
) -> Connection[T]:
    """A page of the list named ``list_``; Refusal UNAUTHENTICATED for guests."""
    services, viewer = context.services, context.require_viewer().account
    name = list_name(viewer, list_)
    asked = window(services.signer, name, first=first, after=after, last=last, before=before)
    await consistent(context, SHOWN)
    page = await read(services.documents, viewer, asked)
    return connection(services.signer, name, page, partial(present, viewer))

"""The viewer's own lists of people: blocks, mutes, and who asks to follow."""

from functools import partial

from api.context import RequestContext
from api.schema.own_lists import own_list
from api.schema.pages import Connection
from api.schema.social import User, present_user
from projections import people


async def blocks(
    context: RequestContext, first: int | None, after: str | None, last: int | None, before: str | None
) -> Connection[User]:
    return await own_list(context, "blocks", people.blocks_page, present_user, first, after, last, before)


async def mutes(
    context: RequestContext, first: int | None, after: str | None, last: int | None, before: str | None
) -> Connection[User]:
    read = partial(people.mutes_page, now=context.services.now())
    return await own_list(context, "mutes", read, present_user, first, after, last, before)


async def follow_requests(
    context: RequestContext, first: int | None, after: str | None, last: int | None, before: str | None
) -> Connection[User]:
    return await own_list(context, "followRequests", people.requests_page, present_user, first, after, last, before)

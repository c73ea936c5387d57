"""People and posts by their ids, as the viewer may see them."""

from collections.abc import Mapping, Sequence

from api.context import RequestContext
from api.schema.consistency import SHOWN, consistent
from api.schema.social import PostResult, User, present_post, present_user, viewer_of
from projections import reading
from projections.rules import Tombstone


async def find_user(context: RequestContext, account: str) -> User | None:
    return (await find_people(context, [account])).get(account)


async def find_people(context: RequestContext, accounts: Sequence[str]) -> Mapping[str, User]:
    """People by bare id."""
    await consistent(context, SHOWN)
    viewer = viewer_of(context)
    views = await reading.see_people(context.services.documents, viewer, accounts)
    return {view.id: present_user(viewer, view) for view in views if view is not None}


async def find_posts(context: RequestContext, posts: Sequence[str]) -> Mapping[str, PostResult]:
    """Posts and what stands in the place of deleted and blocked ones, by bare id."""
    await consistent(context, SHOWN)
    viewer = viewer_of(context)
    views = await reading.see_posts(context.services.documents, viewer, posts)
    return {v.id: present_post(viewer, v) for v in views if not isinstance(v, Tombstone) or v.deleted or v.blocked}

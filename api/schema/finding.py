"""People and posts by their ids, as the viewer may see them."""

import asyncio
from collections.abc import Mapping, Sequence

from api.context import RequestContext
from api.schema.consistency import SHOWN, consistent
from api.schema.ids import Kind, kind_and_bare
from api.schema.node import Node
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


async def find_nodes(context: RequestContext, ids: Sequence[str]) -> list[Node | None]:
    """In the order of ``ids``; one wave for each kind."""
    parsed = [kind_and_bare(id_) for id_ in ids]
    posts, people = await asyncio.gather(
        find_posts(context, _bare(parsed, Kind.POST)), find_people(context, _bare(parsed, Kind.USER))
    )
    found: dict[tuple[Kind, str], Node] = {(Kind.POST, bare): post for bare, post in posts.items()}
    found |= {(Kind.USER, bare): user for bare, user in people.items()}
    return [None if one is None else found.get(one) for one in parsed]


def _bare(parsed: Sequence[tuple[Kind, str] | None], kind: Kind) -> list[str]:
    return list(dict.fromkeys(one[1] for one in parsed if one is not None and one[0] is kind))

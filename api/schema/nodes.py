"""Anything by its global id."""

import asyncio
from collections.abc import Sequence

from api.context import RequestContext
from api.schema.finding import find_people, find_posts
from api.schema.ids import Kind, kind_and_bare
from api.schema.node import Node
from api.schema.social import viewer_of
from api.schema.viewer import present_viewer


async def find_nodes(context: RequestContext, ids: Sequence[str]) -> list[Node | None]:
    """In the order of ``ids``; one wave for each kind."""
    parsed = [kind_and_bare(id_) for id_ in ids]
    posts, people = await asyncio.gather(
        find_posts(context, _bare(parsed, Kind.POST)), find_people(context, _bare(parsed, Kind.USER))
    )
    found: dict[tuple[Kind, str], Node] = {(Kind.POST, bare): post for bare, post in posts.items()}
    found |= {(Kind.USER, bare): user for bare, user in people.items()}
    viewer = viewer_of(context)
    if viewer is not None:
        found[Kind.VIEWER, viewer] = present_viewer(viewer)
    return [None if one is None else found.get(one) for one in parsed]


def _bare(parsed: Sequence[tuple[Kind, str] | None], kind: Kind) -> list[str]:
    return list(dict.fromkeys(one[1] for one in parsed if one is not None and one[0] is kind))

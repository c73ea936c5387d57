"""Lists of people: followers and follows, the followers whom the viewer knows, and the viewer's own blocks, mutes and requests."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from projections.documents.port import After, Documents
from projections.feeds import FollowEdge, followers_of, follows_of, standing_follows
from projections.paging import Fetch, Page, Positioned, Window, fill
from projections.relations import Relation, RelationKind, relations_of
from projections.rules import OfPerson, PersonView, Verdict, rules, show_person
from projections.sight import hydrate

S = TypeVar("S", bound=Positioned)

CHUNK: Final = 500
"""The viewer's follows that are looked up at a time among the followers of another."""


async def followers_page(documents: Documents, viewer: str | None, account: str, window: Window) -> Page[PersonView]:
    """Who follows a person, newest follow first. Two waves and three finds a round."""
    fetch = partial(followers_of, documents, account, reverse=not window.backward)
    return await _page_of_someone(documents, viewer, account, fetch, lambda edge: edge.follower, window)


async def following_page(documents: Documents, viewer: str | None, account: str, window: Window) -> Page[PersonView]:
    """Whom a person follows, newest follow first. Two waves and three finds a round."""
    fetch = partial(follows_of, documents, account, reverse=not window.backward)
    return await _page_of_someone(documents, viewer, account, fetch, lambda edge: edge.followee, window)


async def known_followers_page(documents: Documents, viewer: str, account: str, window: Window) -> Page[PersonView]:
    """Those of a person's followers whom the viewer follows, in the order in which the viewer came to follow them, newest first. A round takes two finds
    for each CHUNK of the viewer's follows (7,500, about), however many followers the person has."""

    async def fetch(after: After | None, limit: int) -> Sequence[FollowEdge]:
        known: list[FollowEdge] = []
        more = True
        while more and len(known) < limit:
            own = await follows_of(documents, viewer, after=after, limit=CHUNK, reverse=not window.backward)
            standing = await standing_follows(documents, [(edge.followee, account) for edge in own])
            known += [edge for edge in own if (edge.followee, account) in standing]
            more, after = len(own) == CHUNK, own[-1].cursor if own else after
        return known[:limit]

    return await _page_of_someone(documents, viewer, account, fetch, lambda edge: edge.followee, window)


async def _page_of_someone(
    documents: Documents,
    viewer: str | None,
    owner: str,
    fetch: Fetch[S],
    person: Callable[[S], str],
    window: Window,
) -> Page[PersonView]:
    """A list of the owner's, for others to see. Behind a block it is empty, and ends at once."""
    hidden = False

    async def look(after: After | None, limit: int) -> Sequence[S]:
        return () if hidden else await fetch(after=after, limit=limit)

    async def resolve(found: Sequence[S]) -> Sequence[PersonView | None]:
        nonlocal hidden
        ids = [person(one) for one in found]
        sight = await hydrate(documents, viewer, people=[owner, *ids])
        hidden = rules(sight, OfPerson(owner, listed=True)) is not Verdict.SHOWN
        return [None if hidden else show_person(sight, id_, listed=True) for id_ in ids]

    return await fill(look, resolve, window)


async def blocks_page(documents: Documents, viewer: str, window: Window) -> Page[PersonView]:
    """Whom the viewer blocks, newest block first. Two waves and three finds a round."""
    return await _own(documents, RelationKind.BLOCK, viewer, window, lambda view: view.outgoing.blocking)


async def mutes_page(documents: Documents, viewer: str, window: Window, now: int) -> Page[PersonView]:
    """Whom the viewer mutes at ``now``, newest mute first. Two waves and three finds a round."""
    return await _own(documents, RelationKind.MUTE, viewer, window, lambda view: view.outgoing.mutes(now))


async def requests_page(documents: Documents, viewer: str, window: Window) -> Page[PersonView]:
    """Who asks to follow the viewer, newest request first; none of whom a block keeps apart. Two waves and three finds a round."""
    return await _own(
        documents,
        RelationKind.REQUEST,
        viewer,
        window,
        lambda view: view.incoming.requested and not (view.incoming.blocking or view.outgoing.blocking),
    )


async def _own(
    documents: Documents, kind: RelationKind, viewer: str, window: Window, stands: Callable[[PersonView], bool]
) -> Page[PersonView]:
    fetch = partial(relations_of, documents, kind, viewer, reverse=not window.backward)

    async def resolve(found: Sequence[Relation]) -> Sequence[PersonView | None]:
        ids = [relation.other for relation in found]
        sight = await hydrate(documents, viewer, people=ids)
        views = [show_person(sight, id_) for id_ in ids]
        return [view if view is not None and stands(view) else None for view in views]

    return await fill(fetch, resolve, window)

"""Posts that hang on something: what a viewer likes and keeps, what quotes a post, what its author has pinned."""

from collections.abc import Sequence
from functools import partial

from projections.documents.port import Documents
from projections.feeds import FeedEntry
from projections.paging import Page, Window, fill
from projections.posts import PostDoc, pinned_posts, quotes_of
from projections.relations import Relation, RelationKind, relations_of
from projections.rules import FeedItem, PostView, item_of, show_post
from projections.sight import Sight, hydrate

MOST_PINS = 20
"""Pins that are read at once; authors can have fewer (domain.limits)."""


async def likes_page(documents: Documents, viewer: str, window: Window) -> Page[FeedItem]:
    """What the viewer likes, the latest like first. Three waves and six finds a round."""
    return await _related_page(documents, RelationKind.LIKE, viewer, window)


async def bookmarks_page(documents: Documents, viewer: str, window: Window) -> Page[FeedItem]:
    """What the viewer has bookmarked, the latest first. Three waves and six finds a round."""
    return await _related_page(documents, RelationKind.BOOKMARK, viewer, window)


async def _related_page(documents: Documents, kind: RelationKind, viewer: str, window: Window) -> Page[FeedItem]:
    fetch = partial(relations_of, documents, kind, viewer, reverse=not window.backward)

    async def resolve(found: Sequence[Relation]) -> Sequence[FeedItem | None]:
        sight = await hydrate(documents, viewer, posts=[relation.other for relation in found])
        return [_item(sight, relation) for relation in found]

    return await fill(fetch, resolve, window)


def _item(sight: Sight, relation: Relation) -> FeedItem | None:
    view = show_post(sight, relation.other)
    if not isinstance(view, PostView):
        return None
    author, id_ = view.post.author, view.post.id
    entry = FeedEntry(author=author, item=id_, key=relation.key, post=id_, post_author=author)
    return item_of(sight, entry, view)


async def quotes_page(documents: Documents, viewer: str | None, post: str, window: Window) -> Page[PostView]:
    """Posts that quote a post, newest first, as far as the viewer may see them. Two waves and three finds a round."""
    fetch = partial(quotes_of, documents, post, reverse=not window.backward)

    async def resolve(found: Sequence[PostDoc]) -> Sequence[PostView | None]:
        sight = await hydrate(documents, viewer, known=found)
        shown = [show_post(sight, doc.id) for doc in found]
        return [view if isinstance(view, PostView) else None for view in shown]

    return await fill(fetch, resolve, window)


async def see_pinned(documents: Documents, viewer: str | None, author: str) -> Sequence[PostView]:
    """What a person has pinned, the latest pin first; two waves, three finds."""
    found = await pinned_posts(documents, author, MOST_PINS)
    sight = await hydrate(documents, viewer, known=found)
    shown = [show_post(sight, doc.id) for doc in found]
    return [view for view in shown if isinstance(view, PostView)]

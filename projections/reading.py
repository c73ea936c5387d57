"""Reading: each list and lookup as skeleton → hydrate → rules. What comes out is presented by the edge, which does no reading of its own.

Homes have a module of their own (projections.homefeed), and so have lists of people (projections.people).
"""

from collections.abc import Iterable, Sequence
from functools import partial

from projections.accounts import profile_by_handle
from projections.documents.port import After, Documents
from projections.feeds import AuthorFilter, FeedEntry, author_entries
from projections.hashtag_feed import TaggedPost, tagged_posts
from projections.paging import Page, Window, fill
from projections.posts import PUBLIC, PostDoc, public_posts, replies_to
from projections.rules import (
    Feed,
    FeedItem,
    PersonView,
    PostView,
    Tombstone,
    keeps_place,
    show_item,
    show_person,
    show_post,
)
from projections.sight import Sight, hydrate


async def see_posts(documents: Documents, viewer: str | None, ids: Sequence[str]) -> Sequence[PostView | Tombstone]:
    """Posts in the order of ``ids``, each or its tombstone; two waves, five finds at most."""
    sight = await hydrate(documents, viewer, posts=ids)
    return [show_post(sight, id_) for id_ in ids]


async def see_open_posts(documents: Documents, viewer: str | None, ids: Sequence[str], now: int) -> Sequence[PostView]:
    """Those of some posts that may stand in lists of everybody's (open_posts). Two waves, five finds at most."""
    return open_posts(await hydrate(documents, viewer, posts=ids, now=now), ids)


def open_posts(sight: Sight, ids: Iterable[str]) -> Sequence[PostView]:
    """Those that may stand in lists of everybody's: public ones that answer nothing, as in the public feed."""
    shown = (show_item(sight, own_entry(sight.posts[id_]), Feed.OPEN) for id_ in ids if id_ in sight.posts)
    views = (item.post for item in shown if item is not None)
    return [view for view in views if view.post.visibility == PUBLIC and view.post.reply_to is None]


async def see_people(
    documents: Documents, viewer: str | None, ids: Sequence[str], *, listed: bool = False
) -> Sequence[PersonView | None]:
    """People in the order of ``ids``; one wave, two finds. ``listed``: among others (projections.rules.OfPerson)."""
    sight = await hydrate(documents, viewer, people=ids)
    return [show_person(sight, id_, listed=listed) for id_ in ids]


async def see_person_by_handle(documents: Documents, viewer: str | None, handle: str) -> PersonView | None:
    """The person with this handle, in its folded form; two waves, three finds."""
    profile = await profile_by_handle(documents, handle)
    return (await see_people(documents, viewer, [profile.id]))[0] if profile is not None else None


async def author_page(
    documents: Documents, viewer: str | None, author: str, window: Window, chosen: AuthorFilter
) -> Page[FeedItem]:
    """What a person posted and reposted, newest first. Two waves and four finds a round."""
    hidden = False

    async def fetch(after: After | None, limit: int) -> Sequence[FeedEntry]:
        if hidden:
            return ()
        return await author_entries(documents, author, chosen, after=after, limit=limit, reverse=not window.backward)

    async def resolve(found: Sequence[FeedEntry]) -> Sequence[FeedItem | None]:
        nonlocal hidden
        sight = await hydrate(documents, viewer, entries=found)
        # Behind a block the list is empty, and ends at once.
        hidden = sight.apart(author)
        return [show_item(sight, entry) for entry in found]

    return await fill(fetch, resolve, window)


async def hashtag_page(documents: Documents, viewer: str | None, tag: str, window: Window, now: int) -> Page[FeedItem]:
    """Public posts under a folded tag (domain.text.fold_tag), newest first. Two waves and four finds a round; another wave of two where
    somebody is answered."""
    fetch = partial(tagged_posts, documents, tag, reverse=not window.backward)

    async def resolve(found: Sequence[TaggedPost]) -> Sequence[FeedItem | None]:
        entries = [tagged.entry for tagged in found]
        sight = await hydrate(documents, viewer, entries=entries, now=now)
        answered = [post.reply_to_author for post in sight.posts.values() if post.reply_to_author is not None]
        sight = sight.joined(await hydrate(documents, viewer, people=answered))
        return [show_item(sight, entry, Feed.OPEN) for entry in entries]

    return await fill(fetch, resolve, window)


def own_entry(post: PostDoc) -> FeedEntry:
    """A post as it stands in its author's feed."""
    return FeedEntry(
        author=post.author,
        item=post.id,
        key=post.key,
        post=post.id,
        post_author=post.author,
        reply=post.reply_to is not None,
        reply_to_author=post.reply_to_author,
        quote=post.quote,
        quote_author=post.quote_author,
        media=bool(post.media),
    )


async def public_page(documents: Documents, viewer: str | None, window: Window, now: int) -> Page[FeedItem]:
    """Public posts of everybody that answer nothing, newest first. Two waves and three finds a round."""
    fetch = partial(public_posts, documents, reverse=not window.backward)

    async def resolve(found: Sequence[PostDoc]) -> Sequence[FeedItem | None]:
        sight = await hydrate(documents, viewer, known=found, now=now)
        return [show_item(sight, own_entry(doc), Feed.OPEN) for doc in found]

    return await fill(fetch, resolve, window)


async def replies_page(
    documents: Documents, viewer: str | None, post: str, window: Window
) -> Page[PostView | Tombstone]:
    """Direct replies, oldest first; one that was deleted, or is behind a block, keeps its place while something hangs on it. Two waves and three finds a
    round."""
    fetch = partial(replies_to, documents, post, reverse=window.backward)

    async def resolve(found: Sequence[PostDoc]) -> Sequence[PostView | Tombstone | None]:
        sight = await hydrate(documents, viewer, known=found)
        shown = [show_post(sight, doc.id) for doc in found]
        return [view if keeps_place(doc, view) else None for doc, view in zip(found, shown, strict=True)]

    return await fill(fetch, resolve, window)

"""Searching: queries as people write them, and pages of what is found. Words that are looked for stand in any order; what else is said narrows it down.

A post must have every word. The rarest is looked up, and what has it is read and judged: no list of the frequent ones is ever gone through.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec

from domain.names import fold_handle
from domain.text import fold_tag
from domain.words import fold_word, post_words, words
from projections.accounts import profile_by_handle
from projections.documents.port import After, Documents
from projections.feeds import AuthorFilter, author_entries
from projections.hashtag_feed import tagged_posts
from projections.paging import Page, Window, fill
from projections.posts import PostDoc
from projections.rules import PersonView, PostView, show_person, show_post
from projections.search import PERSON, TAG, FoundName, FoundPost, count_posts_with, names_from, posts_with
from projections.sight import hydrate

RARE: Final = 200
"""A word is counted so far to tell which is the rarest."""
LOOKED_UP: Final = 4
"""Words of a name that are counted: the longest."""
MAX_QUERY_WORDS: Final = 20
_DAY: Final = 86_400_000_000


class QueryError(ValueError):
    """What was asked for cannot be looked for; the message says why."""


class PostQuery(msgspec.Struct, frozen=True, kw_only=True):
    """``words`` are folded, ``tags`` too, ``author`` is a handle. ``before`` and ``after`` in microseconds: neither includes its own moment."""

    words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    author: str | None = None
    before: int | None = None
    after: int | None = None
    language: str | None = None

    def fits(self, post: PostDoc, author: str | None) -> bool:
        """Whether a post is what was asked for; ``author`` is the account that the handle means."""
        if author is not None and post.author != author:
            return False
        if self.before is not None and post.sort_at >= self.before:
            return False
        if self.after is not None and post.sort_at <= self.after:
            return False
        if self.language is not None and (post.language or "").split("-")[0].lower() != self.language:
            return False
        return set(self.tags) <= set(post.tags) and set(self.words) <= set(post_words(post.content))


def parse(query: str) -> PostQuery:
    """``from:ann tag:tea #tea before:2026-01-31 after:2026-01-01 language:en`` and words. Raises QueryError."""
    sought: list[str] = []
    tags: list[str] = []
    named: dict[str, str] = {}
    for part in query.split():
        name, colon, value = part.partition(":")
        if part.startswith("#") and len(part) > 1:
            tags.append(fold_tag(part))
        elif colon and value and name.lower() == "tag":
            tags.append(fold_tag(value))
        elif colon and value and name.lower() in {"from", "before", "after", "language"}:
            named[name.lower()] = value
        else:
            sought += words(part)
    found = PostQuery(
        words=tuple(dict.fromkeys(sought)),
        tags=tuple(dict.fromkeys(tags)),
        author=fold_handle(named["from"]) if "from" in named else None,
        before=_day(named["before"]) if "before" in named else None,
        after=_day(named["after"]) + _DAY - 1 if "after" in named else None,
        language=named["language"].split("-")[0].lower() if "language" in named else None,
    )
    if len(found.words) > MAX_QUERY_WORDS:
        raise QueryError(f"At most {MAX_QUERY_WORDS} words can be looked for.")
    if not (found.words or found.tags or found.author):
        raise QueryError("Name a word, a hashtag or an author to look for.")
    return found


def _day(value: str) -> int:
    try:
        day = datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise QueryError("A day is written as 2026-01-31.") from None
    return int(day.timestamp()) * 1_000_000


class _Candidate(msgspec.Struct, frozen=True):
    post: str
    cursor: After


async def search_posts(documents: Documents, viewer: str | None, query: PostQuery, window: Window) -> Page[PostView]:
    """Posts that the viewer may see, newest first. Three waves and six finds a round; a page may be short where most that has the rarest word lacks the others."""
    author = None
    if query.author is not None:
        profile = await profile_by_handle(documents, query.author)
        if profile is None:
            return Page((), None, None, has_next=False, has_previous=False)
        author = profile.id
    rarest = await _rarest(documents, query.words)

    async def fetch(after: After | None, limit: int) -> Sequence[_Candidate]:
        return await _candidates(documents, query, rarest, author, after, limit, reverse=not window.backward)

    async def resolve(found: Sequence[_Candidate]) -> Sequence[PostView | None]:
        sight = await hydrate(documents, viewer, posts=[one.post for one in found])
        shown = [show_post(sight, one.post) for one in found]
        return [view if isinstance(view, PostView) and query.fits(view.post, author) else None for view in shown]

    return await fill(fetch, resolve, window)


async def _rarest(documents: Documents, sought: Sequence[str]) -> str | None:
    if len(sought) < 2:  # noqa: PLR2004 -- of one word there is nothing to choose
        return next(iter(sought), None)
    counts = await asyncio.gather(*(count_posts_with(documents, word, RARE) for word in sought))
    return min(zip(counts, sought, strict=True))[1]


async def _candidates(
    documents: Documents,
    query: PostQuery,
    rarest: str | None,
    author: str | None,
    after: After | None,
    limit: int,
    *,
    reverse: bool,
) -> Sequence[_Candidate]:
    if rarest is not None:
        found: Iterable[FoundPost] = await posts_with(documents, rarest, after=after, limit=limit, reverse=reverse)
        return [_Candidate(one.post, one.cursor) for one in found]
    if author is not None:
        entries = await author_entries(
            documents, author, AuthorFilter.POSTS_AND_REPLIES, after=after, limit=limit, reverse=reverse
        )
        # A repost is another's post.
        return [_Candidate(entry.item, entry.cursor) for entry in entries]
    tagged = await tagged_posts(documents, query.tags[0], after=after, limit=limit, reverse=reverse)
    return [_Candidate(one.post, one.cursor) for one in tagged]


async def search_people(documents: Documents, viewer: str | None, query: str, window: Window) -> Page[PersonView]:
    """People with a handle or a word of their name that begins with the query, in the order of these words; forward only. Two waves and three finds a round.

    Of several words, the one that begins the fewest names is looked up, and all must each begin one of the same person's: so it is for scripts without
    spaces too, whose words are pairs.
    """
    begun = words(_prefix(query)) or (_prefix(query),)
    prefix = begun[0] if len(begun) == 1 else await _rarest_name(documents, begun, window.after)
    seen: set[str] = set()
    fetch = partial(names_from, documents, PERSON, prefix)

    async def resolve(found: Sequence[FoundName]) -> Sequence[PersonView | None]:
        sight = await hydrate(documents, viewer, people=dict.fromkeys(one.name for one in found))
        views: list[PersonView | None] = []
        for one in found:
            # Who has several such words is found once a page.
            view = None if one.name in seen else show_person(sight, one.name, listed=True)
            views.append(view if view is not None and (len(begun) == 1 or _is_called(view, begun)) else None)
            seen.add(one.name)
        return views

    return await fill(fetch, resolve, window)


async def _rarest_name(documents: Documents, begun: Sequence[str], after: After | None) -> str:
    """Of several words the one to look up; where a page goes on, that which its cursor goes through."""
    if after is not None:
        return max((word for word in begun if str(after.sort).startswith(word)), key=len, default=begun[0])
    longest = sorted(begun, key=len, reverse=True)[:LOOKED_UP]
    found = await asyncio.gather(*(names_from(documents, PERSON, w, after=None, limit=RARE) for w in longest))
    counts = [len(one) for one in found]
    return longest[counts.index(min(counts))]


def _is_called(person: PersonView, begun: Sequence[str]) -> bool:
    """Whether each of these begins a word of the name, or the handle."""
    names = (*words(person.profile.display_name), fold_word(person.profile.handle or ""))
    return all(any(name.startswith(word) for name in names) for word in begun)


async def search_tags(documents: Documents, query: str, window: Window) -> Page[str]:
    """Hashtags in use that begin with the query, in their order; forward only. One find a round."""
    prefix = _prefix(fold_tag(query.strip()))
    fetch = partial(names_from, documents, TAG, prefix)

    async def resolve(found: Sequence[FoundName]) -> Sequence[str | None]:
        return [one.name if one.used else None for one in found]

    return await fill(fetch, resolve, window)


def _prefix(query: str) -> str:
    """Raises QueryError where nothing is left to begin with."""
    prefix = fold_word(query.strip().lstrip("@#\uff03"))
    if not prefix or len(prefix) > 64:  # noqa: PLR2004 -- no handle, name or tag has a longer word
        raise QueryError("Name what it begins with: 1 to 64 letters.")
    return prefix

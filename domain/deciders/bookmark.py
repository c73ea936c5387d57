"""Bookmarks: one stream per actor and post, in the actor's shard."""

import msgspec

from domain.envelope import Recorded
from domain.events import BookmarkRemoved, PostBookmarked


class Bookmark(msgspec.Struct, frozen=True, kw_only=True):
    active: bool = False
    author: str = ""


def evolve(state: Bookmark, recorded: Recorded) -> Bookmark:
    match recorded.event:
        case PostBookmarked() as e:
            return Bookmark(active=True, author=e.author)
        case BookmarkRemoved():
            return msgspec.structs.replace(state, active=False)
    return state


def add(state: Bookmark, actor: str, post: str, author: str) -> tuple[PostBookmarked, ...]:
    return () if state.active else (PostBookmarked(actor=actor, post=post, author=author),)


def remove(state: Bookmark, actor: str, post: str) -> tuple[BookmarkRemoved, ...]:
    return (BookmarkRemoved(actor=actor, post=post, author=state.author),) if state.active else ()

"""Pins: which of their posts an author shows first; one stream per author."""

import msgspec

from domain.envelope import Recorded
from domain.errors import Code, refuse
from domain.events import PostPinned, PostUnpinned


class Pins(msgspec.Struct, frozen=True, kw_only=True):
    """``posts`` in the order in which they were pinned."""

    posts: tuple[str, ...] = ()


def evolve(state: Pins, recorded: Recorded) -> Pins:
    match recorded.event:
        case PostPinned() as e:
            return Pins(posts=(*state.posts, e.post))
        case PostUnpinned() as e:
            return Pins(posts=tuple(post for post in state.posts if post != e.post))
    return state


def pin(state: Pins, author: str, post: str, most: int) -> tuple[PostPinned, ...]:
    """LIMIT_REACHED where ``most`` are pinned."""
    if post in state.posts:
        return ()
    if len(state.posts) >= most:
        raise refuse(Code.LIMIT_REACHED, f"At most {most} posts can be pinned: unpin one first.", "postId")
    return (PostPinned(post=post, author=author),)


def unpin(state: Pins, author: str, post: str) -> tuple[PostUnpinned, ...]:
    return (PostUnpinned(post=post, author=author),) if post in state.posts else ()

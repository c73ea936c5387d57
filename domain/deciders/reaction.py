"""Likes: one stream per post and actor, in the shard of the post's author."""

import msgspec

from domain.envelope import Recorded
from domain.events import PostLiked, PostUnliked


class Reaction(msgspec.Struct, frozen=True, kw_only=True):
    liked: bool = False


def evolve(state: Reaction, recorded: Recorded) -> Reaction:
    match recorded.event:
        case PostLiked():
            return Reaction(liked=True)
        case PostUnliked():
            return Reaction(liked=False)
    return state


def like(state: Reaction, post: str, author: str, actor: str) -> tuple[PostLiked, ...]:
    return () if state.liked else (PostLiked(post=post, author=author, actor=actor),)


def unlike(state: Reaction, post: str, author: str, actor: str) -> tuple[PostUnliked, ...]:
    return (PostUnliked(post=post, author=author, actor=actor),) if state.liked else ()

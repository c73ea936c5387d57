"""Reposts: one stream per actor and post, in the actor's shard."""

import msgspec

from domain.deciders.post import Post, may_share
from domain.envelope import Recorded
from domain.errors import Code, refuse
from domain.events import PostReposted, RepostUndone


class Repost(msgspec.Struct, frozen=True, kw_only=True):
    active: bool = False
    author: str = ""


def evolve(state: Repost, recorded: Recorded) -> Repost:
    match recorded.event:
        case PostReposted() as e:
            return Repost(active=True, author=e.author)
        case RepostUndone():
            return msgspec.structs.replace(state, active=False)
    return state


def repost(state: Repost, actor: str, post: Post) -> tuple[PostReposted, ...]:
    """FORBIDDEN for what its author addressed to fewer people than everyone; the author may repost a followers' post."""
    if not may_share(post.visibility, post.author, actor):
        raise refuse(Code.FORBIDDEN, "Only posts for everyone can be reposted.", "postId")
    if state.active:
        return ()
    return (
        PostReposted(actor=actor, post=post.id, author=post.author, quote=post.quote, quote_author=post.quote_author),
    )


def undo(state: Repost, actor: str, post: str) -> tuple[RepostUndone, ...]:
    return (RepostUndone(actor=actor, post=post, author=state.author),) if state.active else ()

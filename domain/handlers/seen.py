"""Posts that a command names: found by their ids, and seen by whoever asks."""

from domain.context import Context
from domain.deciders import post as posts
from domain.deciders.account import Account
from domain.deciders.follow import Follow
from domain.deciders.post import Post
from domain.errors import Code, refuse
from domain.handlers.between import Between
from domain.handlers.result import confirm, require_id, state_of
from domain.ids import account_stream, follow_stream, post_stream
from domain.log.port import EventLog, View


async def known_post(log: EventLog, post: str, field: str, context: Context) -> Post:
    """The post, to learn its author, who never changes. NOT_FOUND only after its shard's head was confirmed."""
    stream = post_stream(require_id(post, "post", field))
    state = await state_of(log, stream, Post)
    if not state.id:
        state = View((await confirm(log, stream, context)).states).state(stream, Post)
    if not state.id:
        raise refuse(Code.NOT_FOUND, "There is no such post.", field)
    return state


def at_author(known: Post, actor: str) -> tuple[str, ...]:
    """What :func:`require_seen` reads in the shard of the post's author."""
    seen = (post_stream(known.id), follow_stream(actor, known.author), *Between(actor, [known.author]).theirs)
    return seen if known.author == actor else (*seen, account_stream(known.author))


def at_actor(known: Post, actor: str) -> tuple[str, ...]:
    """What :func:`require_seen` reads in the actor's shard."""
    return Between(actor, [known.author]).own


def require_seen(view: View, known: Post, actor: str, field: str) -> Post:
    """The post as it stands, where the actor may see it; NOT_FOUND else, BLOCKED where its author and the actor are kept apart. The view has what
    ``at_author`` and ``at_actor`` name."""
    # An author who has left, for a while or for good, took their posts along.
    if known.author != actor and not view.state(account_stream(known.author), Account).active:
        raise refuse(Code.NOT_FOUND, "There is no such post.", field)
    # Before all else that is to be known of a post, as where it is read: behind a block all look the same.
    Between(actor, [known.author]).require_none(view, field)
    state = view.state(post_stream(known.id), Post)
    posts.require_visible(state, actor, view.state(follow_stream(actor, known.author), Follow).active, field)
    return state


def require_quotable(view: View, known: Post, actor: str) -> None:
    """As :func:`require_seen`; FORBIDDEN for what was addressed to fewer people than a quote would show it to."""
    state = require_seen(view, known, actor, "quote")
    if not posts.may_share(state.visibility, state.author, actor):
        raise refuse(Code.FORBIDDEN, "Only posts for everyone can be quoted.", "quote")

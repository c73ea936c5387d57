"""Posts that a command names: found by their ids, and seen by whoever asks."""

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Seen:
    """A known post in the eyes of ``actor``. What a decision reads of it: ``at_author`` in the shard of its author, ``at_actor`` in the actor's, besides
    the actor's account."""

    post: Post
    actor: str
    between: Between

    @property
    def at_author(self) -> tuple[str, ...]:
        author = self.post.author
        return (post_stream(self.post.id), follow_stream(self.actor, author), *self.between.theirs)

    @property
    def at_actor(self) -> tuple[str, ...]:
        return self.between.own

    def require(self, view: View, field: str) -> Post:
        """The post as it stands, where the actor may see it; NOT_FOUND else, BLOCKED where its author and the actor are kept apart."""
        known, actor = self.post, self.actor
        # An author who has left, for a while or for good, took their posts along.
        if known.author != actor and not view.state(account_stream(known.author), Account).active:
            raise refuse(Code.NOT_FOUND, "There is no such post.", field)
        # Before all else that is to be known of a post, as where it is read: behind a block all look the same.
        self.between.require_none(view, field)
        state = view.state(post_stream(known.id), Post)
        posts.require_visible(state, actor, view.state(follow_stream(actor, known.author), Follow).active, field)
        return state

    def require_quotable(self, view: View) -> None:
        """As ``require``; FORBIDDEN for what was addressed to fewer people than a quote would show it to."""
        state = self.require(view, "quote")
        if not posts.may_share(state.visibility, state.author, self.actor):
            raise refuse(Code.FORBIDDEN, "Only posts for everyone can be quoted.", "quote")


async def seen_post(log: EventLog, post: str, actor: str, field: str, context: Context) -> Seen:
    """A post that the actor wants to do something with; NOT_FOUND as of :func:`known_post`."""
    known = await known_post(log, post, field, context)
    return Seen(known, actor, await Between.of(log, actor, [known.author]))

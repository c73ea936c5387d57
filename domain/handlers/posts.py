"""Posts: written, edited, deleted and restored by their authors."""

from collections.abc import Sequence

import msgspec

from domain.commands import CreatePost, DeletePost, EditPost, RestorePost
from domain.context import Context
from domain.deciders import account as accounts
from domain.deciders import pins
from domain.deciders import post as posts
from domain.deciders.account import Account
from domain.deciders.pins import Pins
from domain.deciders.post import Post
from domain.errors import Code, Problem
from domain.events import PostCreated, PostEdited, PostPrivate
from domain.handlers.between import Between
from domain.handlers.content import Content
from domain.handlers.result import Result, key_problems, require_actor, require_id, shard
from domain.handlers.seen import known_post, seen_post
from domain.ids import account_stream, pins_stream, post_stream, slot_of
from domain.log.port import Draft, EventLog, Execution, View
from domain.text import facets

VISIBILITIES = ("PUBLIC", "UNLISTED", "FOLLOWERS", "DIRECT")


async def create_post(log: EventLog, command: CreatePost, context: Context) -> Result:
    """A post or a reply. A repeat under its idempotency key answers with the first post and changes nothing."""
    actor = require_actor(context)
    problems = key_problems(command.idempotency_key, context)
    if command.visibility not in VISIBILITIES:
        problems.append(Problem(Code.INVALID, "There is no such visibility.", ("visibility",)))
    content = Content(command.text, command.content_warning, command.language, command.media, context, problems)
    above = await seen_post(log, command.reply_to, actor, "replyTo", context) if command.reply_to is not None else None
    shown = await seen_post(log, command.quote, actor, "quote", context) if command.quote is not None else None
    parent, quoted = above and above.post, shown and shown.post
    key, private = command.idempotency_key, content.over(None)
    slot = slot_of(actor)
    post = context.mint(slot) if key is None else context.namer.idempotent_id(slot, actor, "createPost", key)
    input_hmac = None if key is None else _input_hmac(command, private, context)
    stream, actor_stream = post_stream(post), account_stream(actor)
    apart = await Between.of(log, actor, await content.find_mentioned(log))

    def decide(view: View) -> Sequence[Draft]:
        state = view.state(stream, Post)
        if not state.id:
            accounts.require_active(view.state(actor_stream, Account))
            apart.require_mentionable(view, content.mentioned(view))
            if above is not None:
                above.require(view, "replyTo")
            if shown is not None:
                shown.require_quotable(view)
        mentioned = content.mentioned(view)
        created = PostCreated(
            post=post,
            author=actor,
            visibility=command.visibility,
            language=command.language,
            reply_to=parent.id if parent else None,
            reply_to_author=parent.author if parent else None,
            root=parent.root if parent else post,
            ancestors=(*parent.ancestors, parent.id)[-context.limits.ancestors :] if parent else (),
            quote=quoted.id if quoted else None,
            quote_author=quoted.author if quoted else None,
            facets=facets(content.text, content.spans, mentioned),
            mentions=tuple(dict.fromkeys(mentioned.values())),
            tags=content.tags,
            media=len(private.media),
            private=private,
        )
        return context.drafts(stream, posts.create(state, created, input_hmac))

    own, given = [*apart.own], [*content.claims.values(), *apart.theirs]
    for other in (above, shown):
        if other is not None:
            own += other.at_actor
            given += other.at_author
    execution = Execution(
        shard(log, post),
        tuple(dict.fromkeys([stream, actor_stream, *own])),
        decide,
        context.metadata(input_hmac),
        given=tuple(dict.fromkeys(given)),
        fresh=frozenset({stream}) if key is None else frozenset(),
        subject=actor,
    )
    outcome = await log.execute(execution)
    return Result(post, outcome, repeat=not outcome.events)


def _input_hmac(command: CreatePost, private: PostPrivate, context: Context) -> str:
    return context.namer.input_hmac(
        private.text,
        private.content_warning,
        command.language or "",
        command.visibility,
        command.reply_to or "",
        command.quote or "",
        msgspec.json.encode(private.media).decode(),
    )


async def edit_post(log: EventLog, command: EditPost, context: Context) -> Result:
    """Only the author's; an edit that changes nothing is none."""
    actor = require_actor(context)
    stream, actor_stream = post_stream(require_id(command.post, "post", "postId")), account_stream(actor)
    content = Content(command.text, command.content_warning, command.language, command.media, context)
    apart = await Between.of(log, actor, await content.find_mentioned(log))

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        state = view.state(stream, Post)
        # Before what hangs on its content: of the post of somebody else an edit tells nothing.
        posts.require_own(state, actor)
        mentioned, private = content.mentioned(view), content.over(state.private)
        edited = PostEdited(
            post=command.post,
            author=actor,
            visibility=state.visibility,
            sort_at=state.sort_at,
            revision=state.revision,
            language=command.language if command.language is not None else state.language,
            facets=facets(content.text, content.spans, mentioned),
            mentions=tuple(dict.fromkeys(mentioned.values())),
            tags=content.tags,
            media=len(private.media),
            private=private,
        )
        events = posts.edit(state, actor, edited, context.limits.edits)
        apart.require_mentionable(view, {name: id_ for name, id_ in mentioned.items() if id_ not in state.mentions})
        return context.drafts(stream, events)

    # The post of somebody else is edited by nobody; only an author's blocks are in its shard.
    given = tuple(dict.fromkeys([actor_stream, *content.claims.values(), *apart.own, *apart.theirs]))
    execution = Execution(shard(log, command.post), (stream,), decide, context.metadata(), given=given, subject=actor)
    return Result(command.post, await log.execute(execution))


async def delete_post(log: EventLog, command: DeletePost, context: Context) -> Result:
    """Only the author's; deleted already: nothing changes. What is deleted is pinned no more."""
    actor = require_actor(context)
    stream, actor_stream = post_stream(require_id(command.post, "post", "postId")), account_stream(actor)
    author = (await known_post(log, command.post, "postId", context)).author
    pinned = pins_stream(author)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        deleted = context.drafts(stream, posts.delete(view.state(stream, Post), actor))
        unpinned = context.drafts(pinned, pins.unpin(view.state(pinned, Pins), author, command.post))
        return (*deleted, *unpinned)

    execution = Execution(shard(log, command.post), (stream, pinned), decide, context.metadata(), given=(actor_stream,))
    return Result(command.post, await log.execute(execution))


async def restore_post(log: EventLog, command: RestorePost, context: Context) -> Result:
    """Undoes a deletion, as a further event; only the author's, for some days. Where it stands nothing changes."""
    actor = require_actor(context)
    stream, actor_stream = post_stream(require_id(command.post, "post", "postId")), account_stream(actor)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        restored = posts.restore(view.state(stream, Post), actor, context.now, context.limits.restore_window)
        return context.drafts(stream, restored)

    execution = Execution(
        shard(log, command.post), (stream,), decide, context.metadata(), given=(actor_stream,), subject=actor
    )
    return Result(command.post, await log.execute(execution))

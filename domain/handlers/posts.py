"""Posts, likes and reposts."""

from collections.abc import Sequence

import regex

from domain.commands import CreatePost, DeletePost, EditPost, LikePost, Repost, UndoRepost, UnlikePost
from domain.context import Context
from domain.deciders import account as accounts
from domain.deciders import post as posts
from domain.deciders import reaction as reactions
from domain.deciders import repost as reposts
from domain.deciders.account import Account
from domain.deciders.claim import Claim
from domain.deciders.follow import Follow
from domain.deciders.post import Post
from domain.deciders.reaction import Reaction
from domain.errors import Code, Problem, Refusal, refuse
from domain.events import PostCreated, PostEdited, PostPrivate
from domain.handlers.result import Result, confirm, key_problems, require_actor, require_id, shard, state_of
from domain.ids import account_stream, claim_stream, follow_stream, post_stream, reaction_stream, repost_stream, slot_of
from domain.log.port import Draft, EventLog, Execution, View
from domain.names import handle_skeleton
from domain.text import Span, facets, forbidden, graphemes, mentions_of, normalise, spans, tags_of, weighted_length

VISIBILITIES = ("PUBLIC", "UNLISTED", "FOLLOWERS", "DIRECT")
# BCP 47 in the shapes that people write: language, optional script, optional region.
_LANGUAGE = regex.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")


class _Content:
    """A checked text with what was found in it. Refusal for what breaks a limit."""

    def __init__(
        self, text: str, content_warning: str, language: str | None, context: Context, extra: Sequence[Problem] = ()
    ) -> None:
        self.text, self.content_warning, self.language = normalise(text), normalise(content_warning), language
        self.spans: tuple[Span, ...] = ()
        self.claims: dict[str, str] = {}
        # The size in bytes bounds all further work on the text.
        problems = [*self._sizes(context), *extra]
        if not problems:
            self.spans = spans(self.text)
            self.handles = mentions_of(self.spans)
            self.tags = tags_of(self.spans)
            problems = self._counts(context)
        if problems:
            raise Refusal(problems)
        names = context.namer
        self.claims = {
            handle: claim_stream(names.claim_id("handle", handle_skeleton(handle))) for handle in self.handles
        }

    def _sizes(self, context: Context) -> list[Problem]:
        limits, problems = context.limits, []
        if not self.text:
            problems.append(Problem(Code.TOO_SHORT, "A post needs some text.", ("text",)))
        # A lone surrogate has no UTF-8 and is refused below as a control.
        if len(self.text.encode(errors="surrogatepass")) > limits.text_bytes:
            problems.append(Problem(Code.TOO_LONG, f"A post has at most {limits.text_bytes} bytes.", ("text",)))
        elif forbidden(self.text):
            problems.append(Problem(Code.INVALID, "The text has control characters.", ("text",)))
        if len(self.content_warning.encode(errors="surrogatepass")) > limits.content_warning_bytes:
            problems.append(Problem(Code.TOO_LONG, "The content warning is too long.", ("contentWarning",)))
        elif forbidden(self.content_warning):
            problems.append(Problem(Code.INVALID, "The content warning has control characters.", ("contentWarning",)))
        elif graphemes(self.content_warning) > limits.content_warning_graphemes:
            message = f"A content warning has at most {limits.content_warning_graphemes} characters."
            problems.append(Problem(Code.TOO_LONG, message, ("contentWarning",)))
        if self.language is not None and not _LANGUAGE.fullmatch(self.language):
            problems.append(Problem(Code.INVALID, "A language is a BCP 47 tag such as en or pt-BR.", ("language",)))
        return problems

    def _counts(self, context: Context) -> list[Problem]:
        limits, problems = context.limits, []
        if weighted_length(self.text, self.spans) > limits.text_graphemes:
            problems.append(
                Problem(Code.TOO_LONG, f"A post has at most {limits.text_graphemes} characters.", ("text",))
            )
        if len(self.handles) > limits.mentions:
            problems.append(Problem(Code.TOO_MANY, f"A post mentions at most {limits.mentions} people.", ("text",)))
        if len(self.tags) > limits.tags:
            problems.append(Problem(Code.TOO_MANY, f"A post has at most {limits.tags} hashtags.", ("text",)))
        return problems

    def mentioned(self, view: View) -> dict[str, str]:
        """Handle → account of those mentioned handles that somebody holds."""
        owners = {handle: view.state(stream, Claim).owner for handle, stream in self.claims.items()}
        return {handle: owner for handle, owner in owners.items() if owner}

    @property
    def private(self) -> PostPrivate:
        return PostPrivate(text=self.text, content_warning=self.content_warning)


async def _post(log: EventLog, post: str, field: str, context: Context) -> Post:
    """The post, to learn its author, who never changes. NOT_FOUND only after its shard's head was confirmed."""
    stream = post_stream(require_id(post, "post", field))
    state = await state_of(log, stream, Post)
    if not state.id:
        state = View((await confirm(log, stream, context)).states).state(stream, Post)
    if not state.id:
        raise refuse(Code.NOT_FOUND, "There is no such post.", field)
    return state


async def create_post(log: EventLog, command: CreatePost, context: Context) -> Result:
    """A post or a reply. A repeat under its idempotency key answers with the first post and changes nothing."""
    actor = require_actor(context)
    problems = key_problems(command.idempotency_key, context)
    if command.visibility not in VISIBILITIES:
        problems.append(Problem(Code.INVALID, "There is no such visibility.", ("visibility",)))
    content = _Content(command.text, command.content_warning, command.language, context, problems)
    parent = await _post(log, command.reply_to, "replyTo", context) if command.reply_to is not None else None
    key = command.idempotency_key
    slot = slot_of(actor)
    post = context.mint(slot) if key is None else context.namer.idempotent_id(slot, actor, "createPost", key)
    input_hmac = None if key is None else _input_hmac(command, content, context)
    stream, actor_stream = post_stream(post), account_stream(actor)

    def decide(view: View) -> Sequence[Draft]:
        state = view.state(stream, Post)
        if not state.id:
            accounts.require_active(view.state(actor_stream, Account))
            _require_parent(view, parent, actor)
        mentioned = content.mentioned(view)
        created = PostCreated(
            post=post,
            author=actor,
            visibility=command.visibility,
            language=command.language,
            reply_to=parent.id if parent else None,
            reply_to_author=parent.author if parent else None,
            root=parent.root if parent else post,
            facets=facets(content.text, content.spans, mentioned),
            mentions=tuple(dict.fromkeys(mentioned.values())),
            tags=content.tags,
            private=content.private,
        )
        return context.drafts(stream, posts.create(state, created, input_hmac))

    given = [*content.claims.values()]
    if parent is not None:
        given += [post_stream(parent.id), follow_stream(actor, parent.author)]
    execution = Execution(
        shard(log, post),
        (stream, actor_stream),
        decide,
        context.metadata(input_hmac),
        given=tuple(dict.fromkeys(given)),
        fresh=frozenset({stream}) if key is None else frozenset(),
        subject=actor,
    )
    outcome = await log.execute(execution)
    return Result(post, outcome, repeat=not outcome.events)


def _input_hmac(command: CreatePost, content: _Content, context: Context) -> str:
    return context.namer.input_hmac(
        content.text, content.content_warning, command.language or "", command.visibility, command.reply_to or ""
    )


def _require_parent(view: View, parent: Post | None, actor: str) -> None:
    if parent is not None:
        follows = view.state(follow_stream(actor, parent.author), Follow).active
        posts.require_visible(view.state(post_stream(parent.id), Post), actor, follows, "replyTo")


async def edit_post(log: EventLog, command: EditPost, context: Context) -> Result:
    """Only the author's; an edit that changes nothing is none."""
    actor = require_actor(context)
    stream, actor_stream = post_stream(require_id(command.post, "post", "postId")), account_stream(actor)
    standing = await _post(log, command.post, "postId", context)
    warning = command.content_warning
    if warning is None:
        warning = standing.private.content_warning if standing.private else ""
    content = _Content(command.text, warning, command.language, context)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        state = view.state(stream, Post)
        mentioned = content.mentioned(view)
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
            private=content.private,
        )
        return context.drafts(stream, posts.edit(state, actor, edited))

    given = tuple(dict.fromkeys([actor_stream, *content.claims.values()]))
    execution = Execution(shard(log, command.post), (stream,), decide, context.metadata(), given=given, subject=actor)
    return Result(command.post, await log.execute(execution))


async def delete_post(log: EventLog, command: DeletePost, context: Context) -> Result:
    """Only the author's; deleted already: nothing changes."""
    actor = require_actor(context)
    stream, actor_stream = post_stream(require_id(command.post, "post", "postId")), account_stream(actor)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        return context.drafts(stream, posts.delete(view.state(stream, Post), actor))

    execution = Execution(shard(log, command.post), (stream,), decide, context.metadata(), given=(actor_stream,))
    return Result(command.post, await log.execute(execution))


async def like_post(log: EventLog, command: LikePost, context: Context) -> Result:
    """Like, where the actor may see the post."""
    actor = require_actor(context)
    author = (await _post(log, command.post, "postId", context)).author
    stream, actor_stream = reaction_stream(command.post, actor), account_stream(actor)
    post, follow = post_stream(command.post), follow_stream(actor, author)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        posts.require_visible(view.state(post, Post), actor, view.state(follow, Follow).active, "postId")
        return context.drafts(stream, reactions.like(view.state(stream, Reaction), command.post, author, actor))

    execution = Execution(
        shard(log, command.post), (stream, post, follow), decide, context.metadata(), given=(actor_stream,)
    )
    return Result(command.post, await log.execute(execution))


async def unlike_post(log: EventLog, command: UnlikePost, context: Context) -> Result:
    """Takes a like back, of a deleted post too; without a like nothing changes."""
    actor = require_actor(context)
    author = (await _post(log, command.post, "postId", context)).author
    stream, actor_stream = reaction_stream(command.post, actor), account_stream(actor)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        return context.drafts(stream, reactions.unlike(view.state(stream, Reaction), command.post, author, actor))

    execution = Execution(shard(log, command.post), (stream,), decide, context.metadata(), given=(actor_stream,))
    return Result(command.post, await log.execute(execution))


async def repost(log: EventLog, command: Repost, context: Context) -> Result:
    """Repost to the actor's followers, where the actor may see the post and everyone may."""
    actor = require_actor(context)
    author = (await _post(log, command.post, "postId", context)).author
    stream, actor_stream = repost_stream(actor, command.post), account_stream(actor)
    post, follow = post_stream(command.post), follow_stream(actor, author)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        target = view.state(post, Post)
        posts.require_visible(target, actor, view.state(follow, Follow).active, "postId")
        events = reposts.repost(view.state(stream, reposts.Repost), actor, command.post, author, target.visibility)
        return context.drafts(stream, events)

    execution = Execution(shard(log, actor), (stream, actor_stream), decide, context.metadata(), given=(post, follow))
    return Result(command.post, await log.execute(execution))


async def undo_repost(log: EventLog, command: UndoRepost, context: Context) -> Result:
    """Takes a repost back; without one nothing changes."""
    actor = require_actor(context)
    await _post(log, command.post, "postId", context)
    stream, actor_stream = repost_stream(actor, command.post), account_stream(actor)

    def decide(view: View) -> Sequence[Draft]:
        accounts.require_active(view.state(actor_stream, Account))
        return context.drafts(stream, reposts.undo(view.state(stream, reposts.Repost), actor, command.post))

    execution = Execution(shard(log, actor), (stream, actor_stream), decide, context.metadata())
    return Result(command.post, await log.execute(execution))

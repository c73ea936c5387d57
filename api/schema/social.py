"""People, posts and feed items: types that name each other, and how a view becomes one. Views come hydrated and judged from projections.reading.

Nothing below a page reads a store, but for ``replyTo`` and ``root``, which are read by one batch for a whole level of the answer.
"""

from functools import partial
from typing import Annotated, Final

import strawberry
from strawberry.dataloader import DataLoader

from api.context import RequestContext
from api.schema.consistency import HOME, SHOWN, Info, consistent
from api.schema.enums import AccountState, FacetKind, PostsFilter, TombstoneReason, Visibility
from api.schema.fields import resolved
from api.schema.ids import Kind, global_id
from api.schema.media import MediaAttachment, present_media
from api.schema.node import Node
from api.schema.pages import MAX_PAGE, AfterCursor, BeforeCursor, Connection, First, Last, connection, list_name, window
from api.schema.parts import (
    Facet,
    PostBlocked,
    PostCounts,
    PostTombstone,
    PostViewerState,
    ProfileField,
    UserCounts,
    UserViewerState,
)
from api.schema.scalars import Timestamp
from domain import events
from projections import kept, people, reading, rules
from projections.feeds import AuthorFilter
from projections.paging import Page
from projections.posts import PostDoc, Revision, get_revisions

_POSTS: Final = "posts"
_NOBODY: Final[Page[rules.PersonView]] = Page((), None, None, has_next=False, has_previous=False)

PostResult = Annotated[
    Annotated["Post", strawberry.lazy("api.schema.social")] | PostTombstone | PostBlocked,
    strawberry.union("PostResult", description="A post, or what stands in its place."),
]
FilterArgument = Annotated[PostsFilter, strawberry.argument(description="Which of this person's posts.")]


@strawberry.type(description="A person.")
class User(Node):
    bare: strawberry.Private[str]
    handle: str = strawberry.field(description="The person's unique name, without @.")
    display_name: str = strawberry.field(description="What the person wants to be called; may be empty.")
    bio: str = strawberry.field(description="What the person says about themselves; may be empty.")
    bio_facets: list[Facet] = strawberry.field(description="Mentions, hashtags and links in the bio, in their order.")
    fields: list[ProfileField] = strawberry.field(description="A table of what else there is to say, in its order.")
    avatar: str | None = strawberry.field(description="Address of a picture of the person.")
    banner: str | None = strawberry.field(description="Address of a picture behind the profile.")
    locked: bool = strawberry.field(description="Whether people have to ask before they follow this person.")
    created_at: Timestamp = strawberry.field(description="When the account was registered.")
    state: AccountState = strawberry.field(description="The account's standing.")
    counts: UserCounts = strawberry.field(description="Followers, followed and posts.")
    viewer: UserViewerState | None = strawberry.field(
        description="What the viewer and this person are to each other; null for guests."
    )

    @resolved("What this person has posted and reposted, newest first.")
    async def posts(
        self,
        info: Info,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
        filter: FilterArgument = PostsFilter.POSTS_AND_REPLIES,
    ) -> Connection["FeedItem"]:
        context, viewer = info.context, viewer_of(info.context)
        name = list_name(viewer, "posts", self.bare, filter.name)
        asked = window(context.services.signer, name, first=first, after=after, last=last, before=before)
        await consistent(context, HOME)
        chosen = AuthorFilter[filter.name]
        page = await reading.author_page(context.services.documents, viewer, self.bare, asked, chosen)
        return connection(context.services.signer, name, page, partial(present_item, viewer))

    @resolved("What this person shows first, the latest pin first; five at most.")
    async def pinned_posts(self, info: Info) -> list["Post"]:
        context, viewer = info.context, viewer_of(info.context)
        await consistent(context, SHOWN)
        shown = await kept.see_pinned(context.services.documents, viewer, self.bare)
        posts = [present_post(viewer, view) for view in shown]
        return [post for post in posts if isinstance(post, Post)]

    @resolved("Who follows this person, newest first.")
    async def followers(
        self,
        info: Info,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> Connection["User"]:
        context, viewer = info.context, viewer_of(info.context)
        name = list_name(viewer, "followers", self.bare)
        asked = window(context.services.signer, name, first=first, after=after, last=last, before=before)
        await consistent(context, HOME)
        page = await people.followers_page(context.services.documents, viewer, self.bare, asked)
        return connection(context.services.signer, name, page, partial(present_user, viewer))

    @resolved("Whom this person follows, newest first.")
    async def following(
        self,
        info: Info,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> Connection["User"]:
        context, viewer = info.context, viewer_of(info.context)
        name = list_name(viewer, "following", self.bare)
        asked = window(context.services.signer, name, first=first, after=after, last=last, before=before)
        await consistent(context, HOME)
        page = await people.following_page(context.services.documents, viewer, self.bare, asked)
        return connection(context.services.signer, name, page, partial(present_user, viewer))

    @resolved("Those of this person's followers whom the viewer follows, the latest followed first; none for guests.")
    async def known_followers(
        self,
        info: Info,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> Connection["User"]:
        context, viewer = info.context, viewer_of(info.context)
        name = list_name(viewer, "knownFollowers", self.bare)
        asked = window(context.services.signer, name, first=first, after=after, last=last, before=before)
        if viewer is None:
            return connection(context.services.signer, name, _NOBODY, partial(present_user, viewer))
        await consistent(context, HOME)
        page = await people.known_followers_page(context.services.documents, viewer, self.bare, asked)
        return connection(context.services.signer, name, page, partial(present_user, viewer))


@strawberry.type(description="Something that somebody wrote.")
class Post(Node):
    bare: strawberry.Private[str]
    reply_to_id: strawberry.Private[str | None]
    root_id: strawberry.Private[str]
    doc: strawberry.Private[PostDoc]
    quoted: strawberry.Private[rules.PostView | rules.Tombstone | None]
    author: User = strawberry.field(description="Who wrote it.")
    text: str = strawberry.field(description="What it says, as plain text; `facets` say what is in it.")
    facets: list[Facet] = strawberry.field(description="Mentions, hashtags and links in the text, in their order.")
    language: str | None = strawberry.field(description="BCP 47 tag of the language, where its author named one.")
    visibility: Visibility = strawberry.field(description="Who may see it.")
    content_warning: str | None = strawberry.field(description="To be shown first, with the text behind it.")
    media: list[MediaAttachment] = strawberry.field(description="What it shows, in its order.")
    pinned: bool = strawberry.field(description="Whether its author shows it first.")
    created_at: Timestamp = strawberry.field(description="When it was posted.")
    edited_at: Timestamp | None = strawberry.field(description="When it was last edited, if it was.")
    counts: PostCounts = strawberry.field(description="Replies, reposts, quotes, likes and bookmarks.")
    viewer: PostViewerState | None = strawberry.field(description="The viewer's relation to it; null for guests.")

    @resolved("The post that it answers, or what stands in its place; null where it answers none.")
    async def reply_to(self, info: Info) -> PostResult | None:
        return await load_post(info.context, self.reply_to_id) if self.reply_to_id is not None else None

    @resolved("The first post of its thread, or what stands in its place; itself where it is that.")
    async def root(self, info: Info) -> PostResult:
        return self if self.root_id == self.bare else await load_post(info.context, self.root_id)

    @resolved("The post that it quotes, or what stands in its place; null where it quotes none.")
    async def quote(self, info: Info) -> PostResult | None:
        if self.quoted is not None:
            return present_post(viewer_of(info.context), self.quoted)
        return await load_post(info.context, self.doc.quote) if self.doc.quote is not None else None

    @resolved(
        "What it has said, the newest first and with what it says now. A post that was restored has forgotten what it said before it was deleted."
    )
    async def revisions(self, info: Info) -> list["PostRevision"]:
        await consistent(info.context, SHOWN)
        return [_revision(one) for one in await get_revisions(info.context.services.documents, self.doc)]

    @resolved("Posts that quote it, newest first, as far as the viewer may see them.")
    async def quotes(
        self,
        info: Info,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> Connection[PostResult]:
        context, viewer = info.context, viewer_of(info.context)
        name = list_name(viewer, "quotes", self.bare)
        asked = window(context.services.signer, name, first=first, after=after, last=last, before=before)
        await consistent(context, SHOWN)
        page = await kept.quotes_page(context.services.documents, viewer, self.bare, asked)
        return connection(context.services.signer, name, page, partial(present_post, viewer))

    @resolved("Direct replies, oldest first; a tombstone where one is gone that others answered.")
    async def replies(
        self,
        info: Info,
        first: First = None,
        after: AfterCursor = None,
        last: Last = None,
        before: BeforeCursor = None,
    ) -> Connection[PostResult]:
        context, viewer = info.context, viewer_of(info.context)
        name = replies_list(viewer, self.bare)
        asked = window(context.services.signer, name, first=first, after=after, last=last, before=before)
        await consistent(context, SHOWN)
        page = await reading.replies_page(context.services.documents, viewer, self.bare, asked)
        return connection(context.services.signer, name, page, partial(present_post, viewer))


@strawberry.type(description="What a post said for some time.")
class PostRevision:
    revision: int = strawberry.field(description="Counts from 1.")
    text: str = strawberry.field(description="What it said.")
    facets: list[Facet] = strawberry.field(description="Mentions, hashtags and links in the text, in their order.")
    content_warning: str | None = strawberry.field(description="What was to be shown first.")
    media: list[MediaAttachment] = strawberry.field(description="What it showed.")
    at: Timestamp = strawberry.field(description="From when on.")


@strawberry.type(description="It is here because somebody whom the viewer follows, or the feed's owner, reposted it.")
class RepostReason:
    by: User = strawberry.field(description="Who reposted it.")
    at: Timestamp = strawberry.field(description="When.")


@strawberry.type(
    description="It is an answer. A home has those to the viewer, to people whom the viewer follows, and of authors to themselves; and all of the viewer's own."
)
class ReplyReason:
    to: User | None = strawberry.field(
        description="Whom it answers, the author too; null where they are gone or a block keeps them and the viewer apart. What it answers is `post.replyTo`."
    )


FeedReason = Annotated[
    RepostReason | ReplyReason,
    strawberry.union("FeedReason", description="Why an item is in a feed, besides its author's posting it."),
]


@strawberry.type(
    description="An item of a feed: a post, and why it is there. What a person posted and reposted may have the same post twice; a home has no repost of what stands a little further down."
)
class FeedItem:
    id: strawberry.ID = strawberry.field(
        description="Of the item, not of the post: the same in every feed, but for bookmarks and likes, which have items of their own."
    )
    post: PostResult = strawberry.field(description="The post, or what stands in its place.")
    reason: FeedReason | None = strawberry.field(
        description="Why it is here; null where its author posted it and it answers nothing. Of a repost the reason is the repost, whatever was reposted."
    )
    sort_at: Timestamp = strawberry.field(
        description="What the feed is sorted by: when it was posted or reposted; when the viewer came to like or bookmark it."
    )


def replies_list(viewer: str | None, post: str) -> str:
    """The name of a post's replies, to which their cursors are bound."""
    return list_name(viewer, "replies", post)


def viewer_of(context: RequestContext) -> str | None:
    return context.viewer.account if context.viewer is not None else None


class _Posts(DataLoader[str, PostResult]):
    """Reads the posts that one level of an answer names, all at once."""

    def __init__(self, context: RequestContext) -> None:
        super().__init__(self._load, max_batch_size=MAX_PAGE)
        self._context = context

    async def _load(self, ids: list[str]) -> list[PostResult]:
        viewer = viewer_of(self._context)
        await consistent(self._context, SHOWN)
        views = await reading.see_posts(self._context.services.documents, viewer, ids)
        return [present_post(viewer, view) for view in views]


async def load_post(context: RequestContext, post: str) -> PostResult:
    """A post by its bare id, or what stands in its place."""
    loader = context.loaders.get(_POSTS)
    if not isinstance(loader, _Posts):
        loader = context.loaders[_POSTS] = _Posts(context)
    return await loader.load(post)


def present_user(viewer: str | None, view: rules.PersonView) -> User:
    profile, counts = view.profile, view.profile.counts
    return User(
        id=strawberry.ID(global_id(Kind.USER, profile.id)),
        bare=profile.id,
        handle=profile.handle or "",
        display_name=profile.display_name,
        bio=profile.bio,
        bio_facets=[_facet(profile.bio, facet) for facet in profile.bio_facets],
        fields=[ProfileField(name=one.name, value=one.value) for one in profile.fields],
        avatar=profile.avatar or None,
        banner=profile.banner or None,
        locked=profile.locked,
        created_at=Timestamp(profile.created_at),
        state=AccountState(profile.state),
        counts=UserCounts(followers=counts.followers, following=counts.following, posts=counts.posts),
        viewer=None if viewer is None else _between(view),
    )


def _between(view: rules.PersonView) -> UserViewerState:
    outgoing, incoming = view.outgoing, view.incoming
    apart = outgoing.blocking or incoming.blocking
    until = outgoing.muted_until
    # What a reactor has yet to end is over for the viewer once there is a block.
    return UserViewerState(
        following=outgoing.following and not apart,
        followed_by=incoming.following and not apart,
        requested=outgoing.requested and not apart,
        requested_by=incoming.requested and not apart,
        blocking=outgoing.blocking,
        blocked_by=incoming.blocking,
        muted_until=None if until is None else Timestamp(until),
        shows_reposts=outgoing.following and outgoing.reposts and not apart,
        notifies=outgoing.notify and not apart,
        outgoing=outgoing,
    )


def present_post(viewer: str | None, view: rules.PostView | rules.Tombstone) -> PostResult:
    if isinstance(view, rules.Tombstone):
        if view.blocked:
            return PostBlocked(id=strawberry.ID(global_id(Kind.POST, view.id)))
        reason = TombstoneReason.DELETED if view.deleted else TombstoneReason.NOT_FOUND
        return PostTombstone(id=strawberry.ID(global_id(Kind.POST, view.id)), reason=reason)
    doc, counts = view.post, view.post.counts
    return Post(
        id=strawberry.ID(global_id(Kind.POST, doc.id)),
        bare=doc.id,
        reply_to_id=doc.reply_to,
        root_id=doc.root,
        doc=doc,
        quoted=view.quoted,
        media=[present_media(one) for one in doc.media],
        pinned=doc.pin_key is not None,
        author=present_user(viewer, view.author),
        text=doc.text or "",
        facets=[_facet(doc.text or "", facet) for facet in doc.facets],
        language=doc.language,
        visibility=Visibility(doc.visibility),
        content_warning=doc.content_warning or None,
        created_at=Timestamp(doc.created_at),
        edited_at=None if doc.edited_at is None else Timestamp(doc.edited_at),
        counts=PostCounts(
            replies=counts.replies,
            reposts=counts.reposts,
            quotes=counts.quotes,
            likes=counts.likes,
            bookmarks=counts.bookmarks,
        ),
        viewer=None if viewer is None else _own_state(viewer, view),
    )


def _own_state(viewer: str, view: rules.PostView) -> PostViewerState:
    own = view.post.author == viewer
    visibility = view.post.visibility
    shared = visibility in ("PUBLIC", "UNLISTED") or (own and visibility == "FOLLOWERS")
    return PostViewerState(
        liked=view.edge.liked,
        reposted=view.edge.reposted,
        bookmarked=view.edge.bookmarked,
        can_edit=own,
        can_delete=own,
        can_repost=shared,
        can_quote=shared,
    )


def _revision(revision: Revision) -> PostRevision:
    return PostRevision(
        revision=revision.number,
        text=revision.text,
        facets=[_facet(revision.text, facet) for facet in revision.facets],
        content_warning=revision.content_warning or None,
        media=[present_media(one) for one in revision.media],
        at=Timestamp(revision.at),
    )


def _facet(text: str, facet: events.Facet) -> Facet:
    target = facet.target
    if facet.kind == "mention":
        target = global_id(Kind.USER, target)
    elif facet.kind == "link":
        target = text.encode()[facet.byte_start : facet.byte_end].decode()
    return Facet(
        kind=FacetKind(facet.kind),
        byte_start=facet.byte_start,
        byte_end=facet.byte_end,
        grapheme_start=facet.grapheme_start,
        grapheme_end=facet.grapheme_end,
        target=target,
    )


def present_item(viewer: str | None, item: rules.FeedItem, kept: str = "") -> FeedItem:
    """``kept``: the list of the viewer's own that it stands in, where it is another item than in feeds, for it has another time."""
    return FeedItem(
        id=item_id(f"{kept}-{item.id}" if kept else item.id),
        post=present_post(viewer, item.post),
        reason=_reason(viewer, item),
        sort_at=Timestamp(item.sort_at),
    )


def _reason(viewer: str | None, item: rules.FeedItem) -> RepostReason | ReplyReason | None:
    if item.reposted_by is not None:
        return RepostReason(by=present_user(viewer, item.reposted_by), at=Timestamp(item.sort_at))
    if not item.answers:
        return None
    return ReplyReason(to=None if item.reply_to is None else present_user(viewer, item.reply_to))


def item_id(item: str) -> strawberry.ID:
    """Of an item by its bare id: a post's own, {actor}-{post} of a repost, or {list}-{post} of one that the viewer keeps."""
    return strawberry.ID(f"i_{item}")

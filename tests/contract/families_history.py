"""Histories of a small world: valid events out of any actions, and the plain facts that they come to."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from domain.envelope import Metadata, Recorded
from domain.events import (
    AccountBlocked,
    AccountLocked,
    AccountMuted,
    AccountPrivate,
    AccountRegistered,
    AccountUnblocked,
    AccountUnlocked,
    AccountUnmuted,
    BookmarkRemoved,
    Event,
    Followed,
    FollowRequestAccepted,
    FollowRequested,
    FollowRequestRejected,
    FollowRequestWithdrawn,
    PostBookmarked,
    PostContent,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostPrivate,
    PostReposted,
    PostRestored,
    PostUnliked,
    RepostUndone,
    Unfollowed,
)
from domain.words import words

SHARDS: Final = 3
PEOPLE: Final = ("ada", "bob", "cyd", "dee", "eve", "fay")
FORGOTTEN: Final = "fay"
"""Her key is destroyed: whatever she typed reads as redacted, and rules hide her."""
VISIBILITIES: Final = ("PUBLIC", "PUBLIC", "PUBLIC", "UNLISTED", "FOLLOWERS", "DIRECT")
TAGS: Final = ((), ("tea",), ("tea", "rain"), ("rain",))
WEEK: Final = 7 * 86_400_000_000
START: Final = 1_700_000_000_000_000

Action = tuple[int, int, int, int]
"""(which, who, what, how): numbers, so that any four of them are an action and a failing history shrinks."""


@dataclass
class Post:
    id: str
    author: str
    visibility: str
    sort_at: int
    tags: tuple[str, ...]
    mentions: tuple[str, ...]
    parent: "Post | None"
    quoted: "Post | None" = None
    media: bool = False
    revision: int = 1
    was: list[str] = field(default_factory=list)
    deleted: bool = False

    @property
    def text(self) -> str:
        return f"revision {self.revision} of {self.id}"

    @property
    def ancestors(self) -> tuple[str, ...]:
        return (*self.parent.ancestors, self.parent.id) if self.parent else ()

    @property
    def root(self) -> str:
        return (*self.ancestors, self.id)[0]


@dataclass
class World:
    """Makes valid events out of actions, and remembers what is so. ``blocked_follows`` are those that a reactor has yet to end."""

    posts: dict[str, Post] = field(default_factory=dict)
    follows: dict[tuple[str, str], tuple[int, bool]] = field(default_factory=dict)
    reposts: dict[tuple[str, str], int] = field(default_factory=dict)
    likes: dict[tuple[str, str], int] = field(default_factory=dict)
    bookmarks: dict[tuple[str, str], int] = field(default_factory=dict)
    requests: dict[tuple[str, str], int] = field(default_factory=dict)
    blocks: dict[tuple[str, str], int] = field(default_factory=dict)
    mutes: dict[tuple[str, str], tuple[int, int | None]] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)
    blocked_follows: set[tuple[str, str]] = field(default_factory=set)
    log: list[Recorded] = field(default_factory=list)
    now: int = START

    def __post_init__(self) -> None:
        for person in PEOPLE:
            private = None
            if person != FORGOTTEN:
                private = AccountPrivate(handle=person, email="", password_hash="", display_name=person.title())
            registered = AccountRegistered(
                account=person, handle_claim="", email_claim="", email_claim_stream="", private=private
            )
            self._record(person, f"account-{person}", registered)

    def _record(self, shard_of: str, stream: str, event: Event, late: int = 0) -> int:
        """Appends an event to the shard of a person; its sort time, ``late`` microseconds before it was recorded."""
        self.now += 1_000_000
        shard = PEOPLE.index(shard_of) % SHARDS
        recorded = Recorded(
            event_id=f"event-{len(self.log)}",
            stream=stream,
            version=1 + sum(other.stream == stream for other in self.log),
            event=event,
            metadata=Metadata(command_id=f"command-{len(self.log)}"),
            occurred_at=self.now - late,
            recorded_at=self.now,
            attempt_id="",
            generation=1,
            shard=shard,
            position=1 + sum(other.shard == shard for other in self.log),
        )
        self.log.append(recorded)
        return recorded.sort_at

    def act(self, action: Action) -> None:
        which, who, what, how = action
        person, other = PEOPLE[who % len(PEOPLE)], PEOPLE[what % len(PEOPLE)]
        posts = list(self.posts.values())
        # Mostly the newest: what happens to one post over and over is where orders matter.
        post = posts[-1 - what % min(len(posts), 8)] if posts else None
        acts = (
            self._post,
            self._post,
            self._post,
            self._follow,
            self._follow,
            self._follow,
            self._unfollow,
            self._block,
            self._mute,
            self._lock,
            self._answer_request,
            self._sleep,
        )
        on_post = (
            self._reply,
            self._reply,
            self._repost,
            self._repost,
            self._undo,
            self._like,
            self._edit,
            self._delete,
            self._restore,
            self._quote,
            self._bookmark,
        )
        place = which % (len(acts) + len(on_post))
        if how % 3 == 0:
            self.react()
        if place < len(acts):
            acts[place](person, other, how)
        elif post is not None:
            on_post[place - len(acts)](person, post, how)

    def _sleep(self, _: str, __: str, how: int) -> None:
        if how % 8 == 0:
            self.rest()
        else:
            self.now += 3_600_000_000

    def rest(self) -> None:
        """So long that nobody counts as active."""
        self.now += WEEK + 1

    def say(self, person: str, times: int = 1) -> None:
        """Plain public posts."""
        for _ in range(times):
            self._create(person, 1, None, ())

    def import_post(self, person: str, late: int) -> None:
        """A public post from ``late`` seconds ago."""
        self._create(person, 1, None, (), late * 1_000_000)

    def answer(self, person: str, post: str) -> None:
        self._create(person, 1, self.posts[post], ())

    def quote(self, person: str, post: str) -> None:
        self._create(person, 1, None, (), quoted=self.posts[post])

    def like(self, person: str, post: str) -> None:
        self._like(person, self.posts[post], 0)

    def block(self, person: str, other: str) -> None:
        self._block(person, other, 1)

    def delete(self, post: str) -> None:
        self._delete("", self.posts[post], 0)

    def follow(self, person: str, other: str, *, reposts: bool = True) -> None:
        self._follow(person, other, 1 if reposts else 4)

    def unfollow(self, person: str, other: str) -> None:
        self._unfollow(person, other, 0)

    def repost(self, person: str, post: str) -> None:
        self._repost(person, self.posts[post], 0)

    def undo(self, person: str, post: str) -> None:
        self._undo(person, self.posts[post], 0)

    def _create(
        self,
        author: str,
        how: int,
        parent: Post | None,
        mentions: tuple[str, ...],
        late: int = 0,
        quoted: Post | None = None,
    ) -> None:
        id_ = f"post{len(self.posts)}"
        visibility = VISIBILITIES[how % len(VISIBILITIES)]
        post = Post(id_, author, visibility, 0, TAGS[how % len(TAGS)], mentions, parent, quoted, media=how % 4 == 1)
        event = PostCreated(
            post=id_,
            author=author,
            visibility=visibility,
            reply_to=parent.id if parent else None,
            reply_to_author=parent.author if parent else None,
            root=post.root,
            ancestors=post.ancestors,
            quote=quoted.id if quoted else None,
            quote_author=quoted.author if quoted else None,
            mentions=mentions,
            tags=post.tags,
            media=int(post.media),
            private=None if author == FORGOTTEN else PostPrivate(text=post.text),
        )
        post.sort_at = self._record(author, f"post-{id_}", event, late)
        self.posts[id_] = post

    def _post(self, person: str, other: str, how: int) -> None:
        # Some posts come from an import: they belong far down in feeds that have been read already.
        late = how * 1_500_000 if how % 5 == 0 else 0
        self._create(person, how, None, (other,) if how % 3 == 0 else (), late)

    def _quote(self, person: str, post: Post, how: int) -> None:
        if self._shared(person, post):
            self._create(person, how, None, (), quoted=post)

    def _shared(self, person: str, post: Post) -> bool:
        """Whether somebody may repost and quote a post."""
        if post.deleted or self.apart(person, post.author):
            return False
        return post.visibility in ("PUBLIC", "UNLISTED") or (post.visibility == "FOLLOWERS" and post.author == person)

    def _reply(self, person: str, post: Post, how: int) -> None:
        if not post.deleted and not self.apart(person, post.author):
            self._create(person, how, post, ())

    def apart(self, one: str | None, other: str) -> bool:
        return (one, other) in self.blocks or (other, one) in self.blocks

    def react(self) -> None:
        """The reactors have come as far as everybody else."""
        for who, whom in sorted(self.blocked_follows):
            self._unfollow(who, whom, 0)
        self.blocked_follows.clear()

    def _follow(self, person: str, other: str, how: int) -> None:
        pair, reposts = (person, other), how % 4 != 0
        standing = self.follows.get(pair)
        if person == other or self.apart(person, other) or (standing is not None and standing[1] == reposts):
            return
        if other in self.locked and standing is None:
            if pair not in self.requests:
                asked = FollowRequested(follower=person, followee=other, reposts=reposts)
                self.requests[pair] = self._record(other, f"follow-{person}-{other}", asked)
            return
        if self.requests.pop(pair, None) is not None:
            accepted = FollowRequestAccepted(follower=person, followee=other)
            self._record(other, f"follow-{person}-{other}", accepted)
        event = Followed(
            follower=person, followee=other, reposts=reposts, notify=how % 5 == 1, renewed=standing is not None
        )
        sort_at = self._record(other, f"follow-{person}-{other}", event)
        self.follows[pair] = (standing[0] if standing else sort_at, reposts)

    def _unfollow(self, person: str, other: str, _: int) -> None:
        self._end(person, other, FollowRequestWithdrawn(follower=person, followee=other))

    def _end(self, person: str, other: str, ends_request: Event) -> None:
        stream = f"follow-{person}-{other}"
        if self.follows.pop((person, other), None) is not None:
            self._record(other, stream, Unfollowed(follower=person, followee=other))
        if self.requests.pop((person, other), None) is not None:
            self._record(other, stream, ends_request)

    def _block(self, person: str, other: str, how: int) -> None:
        pair, stream = (person, other), f"block-{person}-{other}"
        if person == other:
            return
        if self.blocks.pop(pair, None) is not None:
            self._record(person, stream, AccountUnblocked(actor=person, target=other))
            self.blocked_follows.discard(pair)
        elif how % 2:
            self.blocks[pair] = self._record(person, stream, AccountBlocked(actor=person, target=other))
            self._end(other, person, FollowRequestRejected(follower=other, followee=person))
            self.blocked_follows.add(pair)

    def _mute(self, person: str, other: str, how: int) -> None:
        pair, stream = (person, other), f"mute-{person}-{other}"
        if person == other:
            return
        if how % 3 and self.mutes.pop(pair, None) is not None:
            self._record(person, stream, AccountUnmuted(actor=person, target=other))
        else:
            until = self.now + how * 3_600_000_000 if how % 2 else None
            at = self._record(person, stream, AccountMuted(actor=person, target=other, until=until))
            self.mutes[pair] = (at, until)

    def _lock(self, person: str, _: str, how: int) -> None:
        if person in self.locked:
            self.locked.remove(person)
            self._record(person, f"account-{person}", AccountUnlocked(account=person))
        elif how % 3 == 0:
            self.locked.add(person)
            self._record(person, f"account-{person}", AccountLocked(account=person))

    def _answer_request(self, person: str, _: str, how: int) -> None:
        """The newest request is accepted or rejected."""
        asking = [pair for pair in self.requests if pair[1] == person]
        if not asking:
            return
        pair = asking[-1]
        if how % 2 or self.apart(*pair):
            self._end(*pair, FollowRequestRejected(follower=pair[0], followee=person))
        else:
            del self.requests[pair]
            stream = f"follow-{pair[0]}-{person}"
            self._record(person, stream, FollowRequestAccepted(follower=pair[0], followee=person))
            followed = Followed(follower=pair[0], followee=person)
            self.follows[pair] = (self._record(person, stream, followed), True)

    def _repost(self, person: str, post: Post, _: int) -> None:
        if self._shared(person, post) and (person, post.id) not in self.reposts:
            event = PostReposted(
                actor=person,
                post=post.id,
                author=post.author,
                quote=post.quoted.id if post.quoted else None,
                quote_author=post.quoted.author if post.quoted else None,
            )
            self.reposts[person, post.id] = self._record(person, f"repost-{person}-{post.id}", event)

    def _undo(self, person: str, post: Post, _: int) -> None:
        if self.reposts.pop((person, post.id), None) is not None:
            event = RepostUndone(actor=person, post=post.id, author=post.author)
            self._record(person, f"repost-{person}-{post.id}", event)

    def _like(self, person: str, post: Post, _: int) -> None:
        liked, stream = (person, post.id) in self.likes, f"reaction-{post.id}-{person}"
        if liked:
            del self.likes[person, post.id]
            self._record(post.author, stream, PostUnliked(post=post.id, author=post.author, actor=person))
        else:
            event = PostLiked(post=post.id, author=post.author, actor=person)
            self.likes[person, post.id] = self._record(post.author, stream, event)

    def _bookmark(self, person: str, post: Post, _: int) -> None:
        stream = f"bookmark-{person}-{post.id}"
        if self.bookmarks.pop((person, post.id), None) is not None:
            self._record(person, stream, BookmarkRemoved(post=post.id, author=post.author, actor=person))
        else:
            event = PostBookmarked(post=post.id, author=post.author, actor=person)
            self.bookmarks[person, post.id] = self._record(person, stream, event)

    def _edit(self, _: str, post: Post, how: int) -> None:
        if post.deleted:
            return
        added = (PEOPLE[how % len(PEOPLE)],) if how % 4 == 0 and PEOPLE[how % len(PEOPLE)] not in post.mentions else ()
        post.mentions += added
        tags, before = TAGS[how % len(TAGS)], PostContent(text=post.text)
        post.was.append(post.text)
        post.revision, post.media = post.revision + 1, how % 2 == 1
        event = PostEdited(
            post=post.id,
            author=post.author,
            visibility=post.visibility,
            sort_at=post.sort_at,
            revision=post.revision,
            mentions=post.mentions,
            tags=tags,
            tags_added=tuple(tag for tag in tags if tag not in post.tags),
            tags_removed=tuple(tag for tag in post.tags if tag not in tags),
            mentions_added=added,
            media=int(post.media),
            private=None if post.author == FORGOTTEN else PostPrivate(text=post.text, before=before),
        )
        self._record(post.author, f"post-{post.id}", event)
        post.tags = tags

    def _delete(self, _: str, post: Post, __: int) -> None:
        if not post.deleted:
            event = PostDeleted(
                post=post.id,
                author=post.author,
                reply_to=post.parent.id if post.parent else None,
                quote=post.quoted.id if post.quoted else None,
                tags=post.tags,
                visibility=post.visibility,
                words=0 if post.author == FORGOTTEN else len(words(post.text)),
            )
            self._record(post.author, f"post-{post.id}", event)
            post.deleted, post.was = True, []

    def _restore(self, _: str, post: Post, __: int) -> None:
        if post.deleted and post.author != FORGOTTEN:
            event = PostRestored(
                post=post.id,
                author=post.author,
                visibility=post.visibility,
                sort_at=post.sort_at,
                revision=post.revision,
                reply_to=post.parent.id if post.parent else None,
                reply_to_author=post.parent.author if post.parent else None,
                root=post.root,
                ancestors=post.ancestors,
                quote=post.quoted.id if post.quoted else None,
                quote_author=post.quoted.author if post.quoted else None,
                mentions=post.mentions,
                tags=post.tags,
                media=int(post.media),
                private=PostPrivate(text=post.text),
            )
            self._record(post.author, f"post-{post.id}", event)
            post.deleted = False


def random_actions(rng: random.Random, length: int) -> Sequence[Action]:
    return [(rng.randrange(23), rng.randrange(6), rng.randrange(48), rng.randrange(48)) for _ in range(length)]

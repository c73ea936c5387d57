"""Rules: the one function that stands at every exit to a post, a person or a feed item, node(id) and live items included; and the views behind it."""

from enum import StrEnum

import msgspec

from projections.accounts import ACTIVE, DEACTIVATED, Profile
from projections.feeds import FeedEntry
from projections.keys import key_time, sort_key
from projections.posts import PostDoc
from projections.sight import Sight
from projections.viewer_edges import ViewerEdge


class Verdict(StrEnum):
    """``SHOWN``, or why not. To a client all but SHOWN, DELETED and BLOCKED are the same: what it may not see, it cannot tell from what is not there."""

    SHOWN = "SHOWN"
    DELETED = "DELETED"
    NOT_FOUND = "NOT_FOUND"
    NOT_VISIBLE = "NOT_VISIBLE"
    BLOCKED = "BLOCKED"
    MUTED = "MUTED"
    NOT_FOLLOWED = "NOT_FOLLOWED"
    UNDONE = "UNDONE"


class Feed(StrEnum):
    """Where an item is to stand. ``HOME``: what the viewer follows; ``OPEN``: what comes from anybody; ``PERSON``: what one person posted, whom the
    viewer has looked up. Mutes hide from the first two."""

    HOME = "HOME"
    OPEN = "OPEN"
    PERSON = "PERSON"


class OfPerson(msgspec.Struct, frozen=True):
    """``listed``: among others, where those whom a block keeps apart are left out. Looked up, they see who they have to do with, and can unblock."""

    account: str
    listed: bool = False


class OfPost(msgspec.Struct, frozen=True):
    post: str


class OfItem(msgspec.Struct, frozen=True):
    entry: FeedEntry
    feed: Feed = Feed.PERSON


def rules(sight: Sight, reference: OfPerson | OfPost | OfItem) -> Verdict:
    """Whether the viewer may be shown what the reference names. Reads nothing but the sight, which must have been hydrated for it."""
    match reference:
        case OfPerson(account, listed):
            verdict = _person(sight, account)
            return Verdict.BLOCKED if verdict is Verdict.SHOWN and listed and sight.apart(account) else verdict
        case OfPost(post):
            return _post(sight, post)
        case OfItem(entry, feed):
            before = _item(sight, entry, feed)
            return before if before is not Verdict.SHOWN else _post(sight, entry.post)


def worth_reading(sight: Sight, entry: FeedEntry, feed: Feed) -> bool:
    """Whether rules could show the item, as far as people and edges tell: its post need not be read otherwise."""
    return _item(sight, entry, feed) is Verdict.SHOWN


def _person(sight: Sight, account: str) -> Verdict:
    person = sight.people.get(account)
    if person is None or person.redacted:
        return Verdict.NOT_FOUND
    # Who has deactivated their account sees themselves, and so that they can come back.
    if person.state != ACTIVE and not (person.state == DEACTIVATED and account == sight.viewer):
        return Verdict.NOT_FOUND
    return Verdict.SHOWN


def _post(sight: Sight, id_: str) -> Verdict:
    post = sight.posts.get(id_)
    if post is None or _person(sight, post.author) is not Verdict.SHOWN:
        return Verdict.NOT_FOUND
    if sight.apart(post.author):
        # Whatever else it is: behind a block all posts look the same.
        return Verdict.BLOCKED
    if not _may_see(sight, post):
        return Verdict.NOT_VISIBLE
    return Verdict.DELETED if post.deleted or post.text is None else Verdict.SHOWN


def _may_see(sight: Sight, post: PostDoc) -> bool:
    """As domain.deciders.post.may_see, from documents: everyone, the author's followers, or those mentioned."""
    if post.author == sight.viewer or post.visibility in ("PUBLIC", "UNLISTED"):
        return True
    if sight.viewer in post.mentions:
        return True
    return post.visibility == "FOLLOWERS" and sight.follows(post.author)


def _item(sight: Sight, entry: FeedEntry, feed: Feed) -> Verdict:
    for person in dict.fromkeys((entry.author, entry.post_author)):
        if _person(sight, person) is not Verdict.SHOWN:
            return Verdict.NOT_FOUND
        if sight.apart(person):
            return Verdict.BLOCKED
        if feed is not Feed.PERSON and sight.mutes(person):
            return Verdict.MUTED
    if entry.repost:
        standing = sight.edge(entry.author, entry.post)
        # A repost that was undone and made again stands under its newer time alone.
        if not standing.reposted or sort_key(standing.reposted_at or 0, entry.item) != entry.key:
            return Verdict.UNDONE
    if feed is Feed.HOME and entry.author != sight.viewer and not _wanted(sight, entry):
        return Verdict.NOT_FOLLOWED
    return Verdict.SHOWN


def _wanted(sight: Sight, entry: FeedEntry) -> bool:
    """Whether somebody else's item belongs in the viewer's home: a reply only if it speaks to the viewer, to somebody whom the viewer follows, or
    goes on in the author's own thread (as Mastodon, lib/feed_manager.rb); a repost only if the follow wants them."""
    if not sight.follows(entry.author) or (entry.repost and not sight.outgoing(entry.author).reposts):
        return False
    to = entry.reply_to_author
    return entry.repost or to is None or to in (sight.viewer, entry.author) or sight.follows(to)


def show_end(sight: Sight, entry: FeedEntry, feed: Feed) -> "PostView | Tombstone | None":
    """What stands in the place of an item that has gone from a feed; None where it was not for the viewer, of which nothing is told, its end included.

    Where the people have gone too, a tombstone that says no more than that: who had the item must hear of it, and nobody learns anything by it.
    """
    people = (entry.author, entry.post_author)
    if any(sight.apart(person) or (feed is not Feed.PERSON and sight.mutes(person)) for person in people):
        return None
    if feed is Feed.HOME and entry.author != sight.viewer and not _wanted(sight, entry):
        return None
    if any(_person(sight, person) is not Verdict.SHOWN for person in people):
        return Tombstone(entry.post, deleted=False)
    gone = show_post(sight, entry.post)
    return gone if isinstance(gone, PostView) or gone.deleted else None


class PersonView(msgspec.Struct, frozen=True):
    """A person as the viewer sees them: ``outgoing`` is what the viewer is to them, ``incoming`` what they are to the viewer."""

    profile: Profile
    outgoing: ViewerEdge
    incoming: ViewerEdge

    @property
    def id(self) -> str:
        return self.profile.id


class PostView(msgspec.Struct, frozen=True):
    """A post as the viewer sees it; ``edge`` is what the viewer has done with it. ``quoted`` is what it quotes, or stands in the place of that, where
    it was read; what that one quotes is not."""

    post: PostDoc
    author: PersonView
    edge: ViewerEdge
    quoted: "PostView | Tombstone | None" = None

    @property
    def id(self) -> str:
        return self.post.id


class Tombstone(msgspec.Struct, frozen=True):
    """In place of a post. ``blocked``: its author and the viewer are kept apart; neither that nor ``deleted``: there is none, or none for this viewer."""

    id: str
    deleted: bool
    blocked: bool = False


def keeps_place(post: PostDoc, shown: "PostView | Tombstone") -> bool:
    """Whether a reply stands among others: also one that was deleted, or is behind a block, while something hangs on it."""
    return isinstance(shown, PostView) or (post.counts.replies > 0 and (shown.deleted or shown.blocked))


class FeedItem(msgspec.Struct, frozen=True):
    """An item with its post; ``reposted_by`` is the reason of a repost. ``answers``: it is a reply, and no repost of one; ``reply_to`` is to whom, None where they are gone or
    behind a block. An item says the same of itself in every feed, for clients keep it by its id. ``sort_at`` is in microseconds."""

    entry: FeedEntry
    post: PostView
    reposted_by: PersonView | None = None
    answers: bool = False
    reply_to: PersonView | None = None

    @property
    def id(self) -> str:
        return self.entry.item

    @property
    def sort_at(self) -> int:
        return key_time(self.entry.key)


def show_person(sight: Sight, account: str, *, listed: bool = False) -> PersonView | None:
    """The person, None where rules hide them."""
    if rules(sight, OfPerson(account, listed)) is not Verdict.SHOWN:
        return None
    return PersonView(sight.people[account], sight.outgoing(account), sight.incoming(account))


def show_post(sight: Sight, post: str) -> PostView | Tombstone:
    """The post with what it quotes, or what stands in its place."""
    view = _show(sight, post)
    quote = view.post.quote if isinstance(view, PostView) else None
    if isinstance(view, Tombstone) or quote is None or quote not in sight.posts:
        return view
    return msgspec.structs.replace(view, quoted=_show(sight, quote))


def _show(sight: Sight, post: str) -> PostView | Tombstone:
    verdict = rules(sight, OfPost(post))
    doc = sight.posts.get(post)
    author = show_person(sight, doc.author) if doc is not None else None
    if verdict is not Verdict.SHOWN or doc is None or author is None:
        return Tombstone(post, verdict is Verdict.DELETED, verdict is Verdict.BLOCKED)
    return PostView(doc, author, sight.outgoing(post))


def show_item(sight: Sight, entry: FeedEntry, feed: Feed = Feed.PERSON) -> FeedItem | None:
    """The item, None where rules leave it out of the feed."""
    if rules(sight, OfItem(entry, feed)) is not Verdict.SHOWN:
        return None
    post = show_post(sight, entry.post)
    return None if isinstance(post, Tombstone) else item_of(sight, entry, post)


def item_of(sight: Sight, entry: FeedEntry, post: PostView) -> FeedItem:
    """The item of a post that is shown."""
    by = show_person(sight, entry.author) if entry.repost else None
    to = post.post.reply_to_author if not entry.repost else None
    return FeedItem(entry, post, by, to is not None, show_person(sight, to, listed=True) if to is not None else None)

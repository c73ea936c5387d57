"""Rules: the one function that stands at every exit to a post, a person or a feed item, node(id) and live items included; and the views behind it."""

from enum import StrEnum

import msgspec

from projections.accounts import ACTIVE, Profile
from projections.feeds import FeedEntry
from projections.keys import key_time, sort_key
from projections.posts import PostDoc
from projections.sight import Sight
from projections.viewer_edges import ViewerEdge


class Verdict(StrEnum):
    """``SHOWN``, or why not. To a client all but SHOWN and DELETED are the same: what it may not see, it cannot tell from what is not there."""

    SHOWN = "SHOWN"
    DELETED = "DELETED"
    NOT_FOUND = "NOT_FOUND"
    NOT_VISIBLE = "NOT_VISIBLE"
    NOT_FOLLOWED = "NOT_FOLLOWED"
    UNDONE = "UNDONE"


class OfPerson(msgspec.Struct, frozen=True):
    account: str


class OfPost(msgspec.Struct, frozen=True):
    post: str


class OfItem(msgspec.Struct, frozen=True):
    """An item of a feed; ``home``: of the viewer's home, into which only those come whom the viewer follows."""

    entry: FeedEntry
    home: bool = False


def rules(sight: Sight, reference: OfPerson | OfPost | OfItem) -> Verdict:
    """Whether the viewer may be shown what the reference names. Reads nothing but the sight, which must have been hydrated for it."""
    match reference:
        case OfPerson(account):
            return _person(sight, account)
        case OfPost(post):
            return _post(sight, post)
        case OfItem(entry, home):
            before = _item(sight, entry, home)
            return before if before is not Verdict.SHOWN else _post(sight, entry.post)


def worth_reading(sight: Sight, entry: FeedEntry, *, home: bool) -> bool:
    """Whether rules could show the item, as far as people and edges tell: its post need not be read otherwise."""
    return _item(sight, entry, home) is Verdict.SHOWN and _person(sight, entry.post_author) is Verdict.SHOWN


def _person(sight: Sight, account: str) -> Verdict:
    # Blocks and mutes between viewer and person belong here: every other rule asks this one.
    person = sight.people.get(account)
    if person is None or person.state != ACTIVE or person.redacted:
        return Verdict.NOT_FOUND
    return Verdict.SHOWN


def _post(sight: Sight, id_: str) -> Verdict:
    post = sight.posts.get(id_)
    if post is None or _person(sight, post.author) is not Verdict.SHOWN:
        return Verdict.NOT_FOUND
    if not _may_see(sight, post):
        return Verdict.NOT_VISIBLE
    return Verdict.DELETED if post.deleted or post.text is None else Verdict.SHOWN


def _may_see(sight: Sight, post: PostDoc) -> bool:
    """As domain.deciders.post.may_see, from documents: everyone, the author's followers, or those mentioned."""
    if post.author == sight.viewer or post.visibility in ("PUBLIC", "UNLISTED"):
        return True
    if sight.viewer in post.mentions:
        return True
    return post.visibility == "FOLLOWERS" and sight.outgoing(post.author).following


def _item(sight: Sight, entry: FeedEntry, home: bool) -> Verdict:
    if _person(sight, entry.author) is not Verdict.SHOWN:
        return Verdict.NOT_FOUND
    if entry.repost:
        standing = sight.edge(entry.author, entry.post)
        # A repost that was undone and made again stands under its newer time alone.
        if not standing.reposted or sort_key(standing.reposted_at or 0, entry.item) != entry.key:
            return Verdict.UNDONE
    if home and entry.author != sight.viewer and not _wanted(sight, entry):
        return Verdict.NOT_FOLLOWED
    return Verdict.SHOWN


def _wanted(sight: Sight, entry: FeedEntry) -> bool:
    """Whether somebody else's item belongs in the viewer's home: a reply only if it speaks to the viewer, to somebody whom the viewer follows, or
    goes on in the author's own thread (as Mastodon, lib/feed_manager.rb); a repost only if the follow wants them."""
    edge = sight.outgoing(entry.author)
    if not edge.following or (entry.repost and not edge.reposts):
        return False
    to = entry.reply_to_author
    return entry.repost or to is None or to in (sight.viewer, entry.author) or sight.outgoing(to).following


class PersonView(msgspec.Struct, frozen=True):
    """A person as the viewer sees them: ``outgoing`` is what the viewer is to them, ``incoming`` what they are to the viewer."""

    profile: Profile
    outgoing: ViewerEdge
    incoming: ViewerEdge

    @property
    def id(self) -> str:
        return self.profile.id


class PostView(msgspec.Struct, frozen=True):
    """A post as the viewer sees it; ``edge`` is what the viewer has done with it."""

    post: PostDoc
    author: PersonView
    edge: ViewerEdge

    @property
    def id(self) -> str:
        return self.post.id


class Tombstone(msgspec.Struct, frozen=True):
    """In place of a post; ``deleted`` False: there is none, or none for this viewer."""

    id: str
    deleted: bool


class FeedItem(msgspec.Struct, frozen=True):
    """An item with its post; ``reposted_by`` is the reason of a repost. ``sort_at`` is in microseconds."""

    entry: FeedEntry
    post: PostView
    reposted_by: PersonView | None

    @property
    def id(self) -> str:
        return self.entry.item

    @property
    def sort_at(self) -> int:
        return key_time(self.entry.key)


def show_person(sight: Sight, account: str) -> PersonView | None:
    """The person, None where rules hide them."""
    if rules(sight, OfPerson(account)) is not Verdict.SHOWN:
        return None
    return PersonView(sight.people[account], sight.outgoing(account), sight.incoming(account))


def show_post(sight: Sight, post: str) -> PostView | Tombstone:
    """The post, or what stands in its place."""
    verdict = rules(sight, OfPost(post))
    doc = sight.posts.get(post)
    author = show_person(sight, doc.author) if doc is not None else None
    if verdict is not Verdict.SHOWN or doc is None or author is None:
        return Tombstone(post, verdict is Verdict.DELETED)
    return PostView(doc, author, sight.outgoing(post))


def show_item(sight: Sight, entry: FeedEntry, *, home: bool = False) -> FeedItem | None:
    """The item, None where rules leave it out of the feed."""
    if rules(sight, OfItem(entry, home)) is not Verdict.SHOWN:
        return None
    post = show_post(sight, entry.post)
    if isinstance(post, Tombstone):
        return None
    return FeedItem(entry, post, show_person(sight, entry.author) if entry.repost else None)

"""Sight: what was read for one viewer before rules decide what of it may be shown. Hydrating takes ids and a viewer, in waves of concurrent finds."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from projections.accounts import Profile, get_profiles
from projections.documents.port import Documents
from projections.feeds import FeedEntry
from projections.posts import PostDoc, get_posts
from projections.viewer_edges import NO_EDGE, ViewerEdge, get_edges

Pair = tuple[str, str]


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """Documents that were read for ``viewer`` (None: nobody signed in). What is absent was not there, or not asked for. ``now`` in microseconds is
    the viewer's, by which mutes expire; 0: none has."""

    viewer: str | None
    now: int = 0
    posts: Mapping[str, PostDoc] = {}
    people: Mapping[str, Profile] = {}
    edges: Mapping[Pair, ViewerEdge] = {}

    def edge(self, source: str, target: str) -> ViewerEdge:
        return self.edges.get((source, target), NO_EDGE)

    def outgoing(self, target: str) -> ViewerEdge:
        """What the viewer is to a person, or has done with a post."""
        return self.edge(self.viewer, target) if self.viewer is not None else NO_EDGE

    def incoming(self, source: str) -> ViewerEdge:
        """What a person is to the viewer."""
        return self.edge(source, self.viewer) if self.viewer is not None else NO_EDGE

    def apart(self, person: str) -> bool:
        """Whether the viewer and a person are kept apart by a block, whoever of them made it."""
        return self.outgoing(person).blocking or self.incoming(person).blocking

    def follows(self, person: str) -> bool:
        """Whether the viewer follows a person: a follow counts no more once there is a block, though a reactor has yet to end it."""
        return self.outgoing(person).following and not self.apart(person)

    def mutes(self, person: str) -> bool:
        return self.outgoing(person).mutes(self.now)

    def joined(self, other: "Sight") -> "Sight":
        return Sight(
            viewer=self.viewer,
            now=self.now,
            posts={**self.posts, **other.posts},
            people={**self.people, **other.people},
            edges={**self.edges, **other.edges},
        )


class Wanted:
    """Ids to be read, gathered from what a page consists of; each is read once."""

    def __init__(self, viewer: str | None, now: int = 0) -> None:
        self.viewer = viewer
        self.now = now
        # Insertion order keeps a page's reads the same from one time to the next.
        self.posts: dict[str, None] = {}
        self.people: dict[str, None] = {}
        self.pairs: dict[Pair, None] = {}

    def include(self, other: "Wanted") -> None:
        """What ``other`` wants too, for whichever viewer."""
        self.posts |= other.posts
        self.people |= other.people
        self.pairs |= other.pairs

    def post(self, post: str) -> None:
        self.posts[post] = None
        self.reaction(post)

    def reaction(self, post: str) -> None:
        if self.viewer is not None:
            self.pairs[self.viewer, post] = None

    def person(self, account: str) -> None:
        self.people[account] = None
        if self.viewer is not None and account != self.viewer:
            self.pairs[self.viewer, account] = None
            self.pairs[account, self.viewer] = None

    def author_of(self, post: PostDoc) -> None:
        """What a post that was read needs to be judged and shown."""
        self.person(post.author)
        self.reaction(post.id)
        if post.reply_to_author is not None:
            self.person(post.reply_to_author)
        self._quoted(post.quote, post.quote_author)

    def entry(self, entry: FeedEntry) -> None:
        """What an entry needs to be judged and shown, without its post."""
        self.person(entry.author)
        self.person(entry.post_author)
        self.reaction(entry.post)
        if entry.repost:
            self.pairs[entry.author, entry.post] = None
        if entry.reply_to_author is not None:
            self.person(entry.reply_to_author)
        self._quoted(entry.quote, entry.quote_author)

    def _quoted(self, post: str | None, author: str | None) -> None:
        if post is not None and author is not None:
            self.post(post)
            self.person(author)

    async def read(self, documents: Documents) -> Sight:
        """One wave: posts, people and edges at once, and no find for what nobody asked for."""
        posts, people, edges = await asyncio.gather(
            get_posts(documents, list(self.posts)),
            get_profiles(documents, list(self.people)),
            get_edges(documents, self.pairs),
        )
        return Sight(viewer=self.viewer, now=self.now, posts=posts, people=people, edges=edges)


async def read_together(documents: Documents, wanted: Sequence[Wanted]) -> Sequence[Sight]:
    """One wave for several viewers, who thus share what they have in common; the sights in the order of ``wanted``."""
    everything = Wanted(None)
    for one in wanted:
        everything.include(one)
    read = await everything.read(documents)
    return [
        Sight(viewer=one.viewer, now=one.now, posts=read.posts, people=read.people, edges=read.edges) for one in wanted
    ]


async def hydrate(
    documents: Documents,
    viewer: str | None,
    *,
    posts: Iterable[str] = (),
    people: Iterable[str] = (),
    entries: Iterable[FeedEntry] = (),
    known: Iterable[PostDoc] = (),
    now: int = 0,
) -> Sight:
    """All that rules and presenting need of these: one wave of at most three finds, for ``entries``, ``people`` and ``known`` posts (which are not
    read again); a second one of two for ``posts``, whose authors must be learned first."""
    posts, known = list(posts), list(known)
    wanted = Wanted(viewer, now)
    for post in posts:
        wanted.post(post)
    for person in people:
        wanted.person(person)
    for entry in entries:
        wanted.entry(entry)
        wanted.post(entry.post)
    for doc in known:
        wanted.author_of(doc)
    sight = await wanted.read(documents)
    sight = sight.joined(Sight(viewer=viewer, posts={doc.id: doc for doc in known}))
    authors = Wanted(viewer)
    for post in posts:
        if post in sight.posts:
            authors.author_of(sight.posts[post])
    return sight.joined(await authors.read(documents))

"""An oracle: what every list must show after a history, computed from plain facts and never from documents."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from tests.contract.families_history import FORGOTTEN, Post, World


class Oracle:
    """What lists show, from the world's plain facts."""

    def __init__(self, world: World) -> None:
        self._world = world

    def visible(self, viewer: str | None, post: Post) -> bool:
        if post.author == FORGOTTEN or post.deleted or self._world.apart(viewer, post.author):
            return False
        if post.visibility in ("PUBLIC", "UNLISTED") or viewer == post.author or viewer in post.mentions:
            return True
        return post.visibility == "FOLLOWERS" and self._follows(viewer, post.author)

    def _follows(self, viewer: str | None, other: str) -> bool:
        """A follow counts no more once there is a block."""
        return (viewer, other) in self._world.follows and not self._world.apart(viewer, other)

    def _mutes(self, viewer: str | None, other: str) -> bool:
        _, until = self._world.mutes.get((viewer or "", other), (0, 0))
        return until is None or until > self._world.now

    def _items(self) -> Iterator[tuple[int, str, str, Post]]:
        """(sort time, item, whose, post) of all feeds."""
        for post in self._world.posts.values():
            if post.visibility != "DIRECT":
                yield post.sort_at, post.id, post.author, post
        for (actor, id_), at in self._world.reposts.items():
            yield at, f"{actor}-{id_}", actor, self._world.posts[id_]

    def home(self, viewer: str, apart: int = 0) -> list[str]:
        """Without reposts of what stands among the next ``apart`` items."""
        items = self._home(viewer)
        return [
            item
            for place, (item, post) in enumerate(items)
            if item == post or post not in [other for _, other in items[place + 1 : place + 1 + apart]]
        ]

    def _home(self, viewer: str) -> list[tuple[str, str]]:
        """(item, post) of whatever may stand there."""
        follows = self._world.follows
        found = []
        for at, item, who, post in self._items():
            if not self.visible(viewer, post) or who == FORGOTTEN:
                continue
            if self._mutes(viewer, who) or self._mutes(viewer, post.author):
                continue
            if who != viewer:
                if not self._follows(viewer, who):
                    continue
                if item != post.id and not follows[viewer, who][1]:
                    continue
                to = post.parent.author if post.parent and item == post.id else None
                if to is not None and to not in (viewer, who) and not self._follows(viewer, to):
                    continue
            found.append((at, item, post.id))
        return [(item, post) for _, item, post in sorted(found, reverse=True)]

    def media(self, viewer: str | None, author: str) -> list[str]:
        """Of what an author posted, what shows something."""
        own = self.author(viewer, author, replies=True)
        return [item for item in own if item in self._world.posts and self._world.posts[item].media]

    def public(self, viewer: str | None) -> list[str]:
        own = [post for post in self._world.posts.values() if post.visibility == "PUBLIC" and post.parent is None]
        found = [
            (post.sort_at, post.id)
            for post in own
            if self.visible(viewer, post) and not self._mutes(viewer, post.author)
        ]
        return [item for _, item in sorted(found, reverse=True)]

    def quotes(self, viewer: str | None, quoted: str) -> list[str]:
        own = [post for post in self._world.posts.values() if post.quoted and post.quoted.id == quoted]
        found = [(post.sort_at, post.id) for post in own if self.visible(viewer, post)]
        return [id_ for _, id_ in sorted(found, reverse=True)]

    def likes(self, viewer: str) -> list[str]:
        return self._kept(viewer, self._world.likes)

    def bookmarks(self, viewer: str) -> list[str]:
        return self._kept(viewer, self._world.bookmarks)

    def _kept(self, viewer: str, kept: Mapping[tuple[str, str], int]) -> list[str]:
        own = [(at, post) for (who, post), at in kept.items() if who == viewer]
        return [post for _, post in sorted(own, reverse=True) if self.visible(viewer, self._world.posts[post])]

    def thread(self, viewer: str | None, anchor: str) -> list[str]:
        """What answers a post, depth first, the oldest first; in brackets what is hidden and has its place."""
        found: list[str] = []
        own = [post for post in self._world.posts.values() if post.parent and post.parent.id == anchor]
        for post in sorted(own, key=lambda post: (post.sort_at, post.id)):
            below = self.thread(viewer, post.id)
            if self.visible(viewer, post):
                found += [post.id, *below]
            elif below:
                found += [f"({post.id})", *below]
        return found

    def author(self, viewer: str | None, author: str, *, replies: bool) -> list[str]:
        found = [
            (at, item)
            for at, item, who, post in self._items()
            if who == author != FORGOTTEN
            and not self._world.apart(viewer, author)
            and self.visible(viewer, post)
            and (replies or post.parent is None or item != post.id)
        ]
        return [item for _, item in sorted(found, reverse=True)]

    def hashtag(self, viewer: str | None, tag: str) -> list[str]:
        tagged = [post for post in self._world.posts.values() if tag in post.tags and post.visibility == "PUBLIC"]
        found = [
            (post.sort_at, post.id)
            for post in tagged
            if self.visible(viewer, post) and not self._mutes(viewer, post.author)
        ]
        return [item for _, item in sorted(found, reverse=True)]

    def replies(self, viewer: str | None, parent: str) -> list[str]:
        """Tombstones in brackets."""
        own = [post for post in self._world.posts.values() if post.parent and post.parent.id == parent]
        ordered = sorted(own, key=lambda post: (post.sort_at, post.id))
        shown = [(post, self.visible(viewer, post)) for post in ordered]
        return [
            post.id if visible else f"({post.id})"
            for post, visible in shown
            if visible or self._tombstone(viewer, post)
        ]

    def _tombstone(self, viewer: str | None, post: Post) -> bool:
        """Whether a deleted post, or one behind a block, keeps its place: something hangs on it, and the viewer could have seen it. Whom it mentioned has
        gone with the text."""
        hanging = any(other.parent is post and not other.deleted for other in self._world.posts.values())
        if post.author != FORGOTTEN and self._world.apart(viewer, post.author):
            return hanging
        before = replace(post, deleted=False, mentions=())
        return post.deleted and hanging and self.visible(viewer, before)

    def following(self, viewer: str | None, person: str) -> list[str]:
        follows = self._world.follows.items()
        return self._people(viewer, person, [(at, whom) for (who, whom), (at, _) in follows if who == person])

    def followers(self, viewer: str | None, person: str) -> list[str]:
        follows = self._world.follows.items()
        return self._people(viewer, person, [(at, who) for (who, whom), (at, _) in follows if whom == person])

    def known(self, viewer: str, person: str) -> list[str]:
        follows = self._world.follows
        own = [(at, whom) for (who, whom), (at, _) in follows.items() if who == viewer and (whom, person) in follows]
        return self._people(viewer, person, own)

    def _people(self, viewer: str | None, owner: str, found: list[tuple[int, str]]) -> list[str]:
        """Newest first; nothing of somebody who is gone or behind a block, and nobody who is."""
        if owner == FORGOTTEN or self._world.apart(viewer, owner):
            return []
        shown = [(at, one) for at, one in found if one != FORGOTTEN and not self._world.apart(viewer, one)]
        return [one for _, one in sorted(shown, reverse=True)]

    def blocks(self, viewer: str) -> list[str]:
        own = [(at, other) for (who, other), at in self._world.blocks.items() if who == viewer]
        return [other for _, other in sorted(own, reverse=True) if other != FORGOTTEN]

    def mutes(self, viewer: str) -> list[str]:
        own = [(at, other) for (who, other), (at, _) in self._world.mutes.items() if who == viewer]
        return [other for _, other in sorted(own, reverse=True) if other != FORGOTTEN and self._mutes(viewer, other)]

    def requests(self, viewer: str) -> list[str]:
        own = [(at, who) for (who, whom), at in self._world.requests.items() if whom == viewer]
        return [who for _, who in sorted(own, reverse=True) if who != FORGOTTEN and not self._world.apart(viewer, who)]

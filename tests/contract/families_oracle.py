"""An oracle: what every list must show after a history, computed from plain facts and never from documents."""

from collections.abc import Iterator
from dataclasses import replace

from tests.contract.families_history import FORGOTTEN, Post, World


class Oracle:
    """What lists show, from the world's plain facts."""

    def __init__(self, world: World) -> None:
        self._world = world

    def visible(self, viewer: str | None, post: Post) -> bool:
        if post.author == FORGOTTEN or post.deleted:
            return False
        if post.visibility in ("PUBLIC", "UNLISTED") or viewer == post.author or viewer in post.mentions:
            return True
        return post.visibility == "FOLLOWERS" and (viewer, post.author) in self._world.follows

    def _items(self) -> Iterator[tuple[int, str, str, Post]]:
        """(sort time, item, whose, post) of all feeds."""
        for post in self._world.posts.values():
            if post.visibility != "DIRECT":
                yield post.sort_at, post.id, post.author, post
        for (actor, id_), at in self._world.reposts.items():
            yield at, f"{actor}-{id_}", actor, self._world.posts[id_]

    def home(self, viewer: str) -> list[str]:
        follows = self._world.follows
        found = []
        for at, item, who, post in self._items():
            if not self.visible(viewer, post) or who == FORGOTTEN:
                continue
            if who != viewer:
                if (viewer, who) not in follows:
                    continue
                if item != post.id and not follows[viewer, who][1]:
                    continue
                to = post.parent.author if post.parent and item == post.id else None
                if to is not None and to not in (viewer, who) and (viewer, to) not in follows:
                    continue
            found.append((at, item))
        return [item for _, item in sorted(found, reverse=True)]

    def author(self, viewer: str | None, author: str, *, replies: bool) -> list[str]:
        found = [
            (at, item)
            for at, item, who, post in self._items()
            if who == author != FORGOTTEN
            and self.visible(viewer, post)
            and (replies or post.parent is None or item != post.id)
        ]
        return [item for _, item in sorted(found, reverse=True)]

    def hashtag(self, viewer: str | None, tag: str) -> list[str]:
        tagged = [post for post in self._world.posts.values() if tag in post.tags and post.visibility == "PUBLIC"]
        found = [(post.sort_at, post.id) for post in tagged if self.visible(viewer, post)]
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
        """Whether a deleted post keeps its place: something hangs on it, and the viewer could have seen it. Whom it mentioned has gone with the text."""
        hanging = any(other.parent is post and not other.deleted for other in self._world.posts.values())
        before = replace(post, deleted=False, mentions=())
        return post.deleted and hanging and self.visible(viewer, before)

    def following(self, person: str) -> list[str]:
        found = [(at, whom) for (who, whom), (at, _) in self._world.follows.items() if who == person != whom]
        return [whom for _, whom in sorted(found, reverse=True) if whom != FORGOTTEN]

    def followers(self, person: str) -> list[str]:
        found = [(at, who) for (who, whom), (at, _) in self._world.follows.items() if whom == person]
        return [who for _, who in sorted(found, reverse=True) if who != FORGOTTEN]

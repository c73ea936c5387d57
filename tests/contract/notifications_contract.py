"""What notifications promise on every document store: for any history they are those of an oracle that reads the log alone."""

import random
from collections import defaultdict
from collections.abc import Iterator
from functools import partial

import pytest

from domain.events import (
    Followed,
    FollowRequestAccepted,
    FollowRequested,
    FollowRequestRejected,
    FollowRequestWithdrawn,
    PostCreated,
    PostEdited,
    PostLiked,
    PostReposted,
    PostUnliked,
    RepostUndone,
    Unfollowed,
)
from projections import families, notifications, notified
from projections.notes import BUCKET, NotificationType
from projections.notified import Reader, actors_page, notifications_page, unread_count
from tests.contract.families_history import FORGOTTEN, PEOPLE, World, random_actions
from tests.contract.families_kit import OpenStore, collections_of, fold_all, seeds, walk, workers_of
from tests.contract.families_oracle import Oracle

READ = [family for family in families.ALL if family.name in {"accounts", "posts", "viewer_edges", "notifications"}]
TOGETHER = ("LIKE", "REPOST", "FOLLOW")

Told = tuple[str, str, str, str]
"""(recipient, type, subject, actor)"""


class Notes:
    """Who is told what and when, by walking the log in the order of its times."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.at: dict[Told, int] = {}
        self.edits: list[tuple[str, str, str, int]] = []
        self._bells: set[tuple[str, str]] = set()
        self._parts: defaultdict[str, set[str]] = defaultdict(set)
        for recorded in world.log:
            self._now = recorded.recorded_at
            self._take(recorded.event)

    def _tell(self, recipient: str | None, kind: str, subject: str, actor: str) -> None:
        if recipient is not None and recipient != actor:
            self.at[recipient, kind, subject, actor] = self._now

    def _end(self, recipient: str, kind: str, subject: str, actor: str) -> None:
        self.at.pop((recipient, kind, subject, actor), None)

    def _take(self, event: object) -> None:
        match event:
            case PostCreated() as e:
                self._written(e)
            case PostEdited() as e:
                for person in e.mentions_added:
                    self._tell(person, "MENTION", e.post, e.author)
                told = self._parts[e.post] - {e.author}
                self.edits += [(person, e.post, e.author, self._now) for person in told]
            case PostLiked() as e:
                self._tell(e.author, "LIKE", e.post, e.actor)
            case PostUnliked() as e:
                self._end(e.author, "LIKE", e.post, e.actor)
            case PostReposted() as e:
                self._tell(e.author, "REPOST", e.post, e.actor)
                self._parts[e.post].add(e.actor)
            case RepostUndone() as e:
                self._end(e.author, "REPOST", e.post, e.actor)
            case _:
                self._follow(event)

    def _follow(self, event: object) -> None:
        match event:
            case Followed() as e:
                (self._bells.add if e.notify else self._bells.discard)((e.follower, e.followee))
                if not e.renewed:
                    self._tell(e.followee, "FOLLOW", "", e.follower)
            case Unfollowed() as e:
                self._bells.discard((e.follower, e.followee))
                self._end(e.followee, "FOLLOW", "", e.follower)
            case FollowRequested() as e if not e.renewed:
                self._tell(e.followee, "FOLLOW_REQUEST", "", e.follower)
            case FollowRequestAccepted() as e:
                self._end(e.followee, "FOLLOW_REQUEST", "", e.follower)
                self._tell(e.follower, "FOLLOW_ACCEPTED", "", e.followee)
            case FollowRequestRejected() | FollowRequestWithdrawn() as e:
                self._end(e.followee, "FOLLOW_REQUEST", "", e.follower)

    def _written(self, e: PostCreated) -> None:
        told = dict.fromkeys(e.mentions, "MENTION")
        told |= {e.quote_author: "QUOTE"} if e.quote_author else {}
        told |= {e.reply_to_author: "REPLY"} if e.reply_to_author else {}
        for person, kind in told.items():
            self._tell(person, kind, e.post, e.author)
        for post in (e.reply_to, e.quote):
            if post is not None:
                self._parts[post].add(e.author)
        if e.visibility != "DIRECT" and e.reply_to_author in (None, e.author):
            for follower, followee in self._bells:
                if followee == e.author and follower not in told:
                    self._tell(follower, "POST", e.post, e.author)

    def shown(self, viewer: str) -> Iterator[tuple[str, str, str, int]]:
        """(type, subject, actor, at) of what the viewer may see."""
        every = [(who, kind, subject, actor, at) for (who, kind, subject, actor), at in self.at.items()]
        every += [(who, "POST_EDITED", post, author, at) for who, post, author, at in self.edits]
        oracle, world = Oracle(self._world), self._world
        for who, kind, subject, actor, at in every:
            _, until = world.mutes.get((viewer, actor), (0, 0))
            muted = until is None or until > world.now
            if who != viewer or actor == FORGOTTEN or muted or world.apart(viewer, actor):
                continue
            if not subject or oracle.visible(viewer, world.posts[subject]):
                yield kind, subject, actor, at

    def groups(self, viewer: str) -> list[tuple[str, str, tuple[str, ...]]]:
        """(type, subject, actors with the latest first), by the latest note that there ever was in each group."""
        found: defaultdict[tuple[str, str, int, str], list[tuple[int, str]]] = defaultdict(list)
        for kind, subject, actor, at in self.shown(viewer):
            place = (kind, subject, at // BUCKET, "") if kind in TOGETHER else (kind, subject, at, actor)
            found[place].append((at, actor))
        return sorted(
            (kind, subject, tuple(actor for _, actor in sorted(own, reverse=True)))
            for (kind, subject, _, _), own in found.items()
        )


@pytest.mark.parametrize("seed", seeds(4))
@pytest.mark.parametrize("read", [500, 3], ids=["small", "large"])
async def test_notifications_equal_the_oracle(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, seed: int, read: int
) -> None:
    monkeypatch.setattr(notified, "READ", read)
    monkeypatch.setattr(notifications, "STEP", 4 if read == 3 else 1_000)
    world, rng = World(), random.Random(seed)
    for action in random_actions(rng, 300):
        world.act(action)
    notes = Notes(world)
    async with open_store(collections_of(READ)) as documents:
        await fold_all(documents, workers_of(READ, world.log), rng)
        for viewer in PEOPLE:
            reader = Reader(viewer, world.now, 0)
            walked = await walk(partial(notifications_page, documents, reader, types=(), grouped=True), 3)
            shown = [
                (view.type.value, view.post.id if view.post else "", tuple(person.id for person in view.people))
                for view in walked
            ]
            assert sorted(shown) == notes.groups(viewer)
            assert [view.at for view in walked] == sorted((view.at for view in walked), reverse=True)
            assert all(view.count == len(view.people) for view in walked)
            assert await unread_count(documents, reader) == min(100, len(walked))
            alone = await walk(partial(notifications_page, documents, reader, types=(), grouped=False), 7)
            assert len(alone) == len(list(notes.shown(viewer)))
            for view in (*walked, *alone):
                everyone = partial(actors_page, documents, viewer, view, now=world.now)
                for backward in (False, True):
                    assert await walk(everyone, 2, backward=backward) == list(view.people)
            for kind in ("LIKE", "POST_EDITED"):
                chosen = partial(notifications_page, documents, reader, types=[NotificationType(kind)], grouped=False)
                own = [one for one in notes.shown(viewer) if one[0] == kind]
                assert sorted(view.at for view in await walk(chosen, 4)) == sorted(at for *_, at in own)


def test_the_histories_have_notifications_of_every_kind() -> None:
    kinds = set()
    for seed in range(4):
        world = World()
        for action in random_actions(random.Random(seed), 300):
            world.act(action)
        notes = Notes(world)
        kinds |= {kind for viewer in PEOPLE for kind, *_ in notes.shown(viewer)}
    assert kinds == set(NotificationType)

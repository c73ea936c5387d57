"""Every path to a post or a person, for every relation of two people: what tests/visibility_table.py says is what clients get."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from api.schema.scalars import format_time
from domain.ids import shard_of
from domain.names import handle_skeleton
from projections.runtime.cascades import REACTORS
from tests.product_kit import PASSWORD, Clock, Person, Product, embedded_settings, product, settled
from tests.visibility_table import DEEDS, PAGE, PATHS, SITUATIONS, Situation, with_table

ANY = "__typename ... on Post { id } ... on PostTombstone { id reason } ... on PostBlocked { id }"
ANY_FOUND = "__typename ... on Post { id }"
OPEN = f"""query O($words: String!, $post: ID!, $reply: ID!, $quote: ID!, $root: ID!, $author: ID!, $handle: String!, $third: ID!, $tag: String!, $quoted: Boolean!) {{
  post(id: $post) {{ {ANY} }} node(id: $post) {{ {ANY} }} nodes(ids: [$post]) {{ {ANY} }} thread(postId: $post) {{ anchor {{ {ANY} }} }}
  reply: post(id: $reply) {{ ... on Post {{ replyTo {{ {ANY} }} root {{ {ANY} }} }} }}
  above: thread(postId: $reply) {{ ancestors {{ {ANY} }} }}
  quote: post(id: $quote) @include(if: $quoted) {{ ... on Post {{ quote {{ {ANY} }} }} }}
  root: post(id: $root) {{ ... on Post {{ replies {{ nodes {{ {ANY} }} }} }} }}
  below: thread(postId: $root) {{ replies {{ post {{ {ANY} }} }} }}
  user(id: $author) {{ id pinnedPosts {{ __typename id }} posts {{ nodes {{ post {{ {ANY} }} }} }} followers {{ nodes {{ id }} }} following {{ nodes {{ id }} }} }}
  named: user(handle: $handle) {{ id }} person: node(id: $author) {{ id }} people: nodes(ids: [$author]) {{ id }}
  third: user(id: $third) {{ followers {{ nodes {{ id }} }} following {{ nodes {{ id }} }} knownFollowers {{ nodes {{ id }} }} }}
  search(query: $words, type: POST) {{ nodes {{ {ANY_FOUND} }} }} sought: search(query: $handle, type: USER) {{ nodes {{ ... on User {{ id }} }} }}
  typeahead(query: $handle) {{ ... on User {{ id }} }}
  hashtagFeed(name: $tag) {{ nodes {{ post {{ {ANY} }} }} }} publicFeed(first: 100) {{ nodes {{ post {{ {ANY} }} }} }} }}"""
OWN = f"""query {{ viewer {{ homeFeed(first: 100) {{ nodes {{ id reason {{ __typename }} post {{ {ANY} }} }} }}
  likes {{ nodes {{ post {{ {ANY} }} }} }} bookmarks {{ nodes {{ post {{ {ANY} }} }} }}
  notifications(types: [LIKE]) {{ nodes {{ sampleActors {{ id }} post {{ {ANY} }} }} }} }} }}"""
CURSOR = "{ viewer { homeFeed { liveCursor } } }"
LIVE = f"subscription L($after: String) {{ homeFeed(after: $after) {{ __typename ... on FeedItemAdded {{ item {{ post {{ {ANY} }} }} }} }} }}"
MINUTE = 60_000_000


def look(node: Mapping[str, Any] | None) -> str:
    """What stands in a post's place."""
    match node:
        case None:
            return "hidden"
        case {"__typename": "PostTombstone", "reason": "NOT_FOUND"}:
            return "hidden"
    return {"Post": "shown", "PostBlocked": "blocked", "PostTombstone": "tombstone"}[node["__typename"]]


def among(nodes: Sequence[Mapping[str, Any]], id_: str) -> str:
    return next((look(node) for node in nodes if node["id"] == id_), "hidden")


def has(people: Sequence[Mapping[str, Any]], id_: str) -> str:
    return "shown" if any(person["id"] == id_ for person in people) else "hidden"


def posts_in(connection: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [node["post"] for node in connection["nodes"]]


def one(*cells: str) -> str:
    """What all of these are."""
    assert len(set(cells)) == 1, cells
    return cells[0]


@dataclass
class Stage:
    """An author, a viewer, and a third person who has to do with both and gives the viewer ways to the author. ``elsewhere`` is a post of somebody whom
    nobody follows."""

    served: Product
    clock: Clock
    situation: Situation
    author: Person
    viewer: Person
    third: Person
    elsewhere: str
    guest: bool
    posts: dict[str, str] = field(default_factory=dict)

    @property
    def tag(self) -> str:
        return f"of_{self.author.handle}"

    async def prepare(self) -> None:
        """All that happens before anybody looks."""
        await self.third.done("followUser", userId=self.author.id)
        await self.author.done("followUser", userId=self.third.id)
        await self.viewer.done("followUser", userId=self.third.id)
        for step in self.situation.before:
            await self.step(step)
        self.posts["own"] = await self.viewer.post("Good morning")
        await self.author.done("likePost", postId=self.posts["own"])
        root = self.posts["root"] = await self.third.post("What is new?")
        self.posts["post"] = await self.write()
        self.posts["answer"] = await self.write(replyTo=root)
        if self.situation.seen["pinned"]:
            await self.author.done("pinPost", postId=self.posts["post"])
        self.posts["reply"] = await self.third.post("I see", replyTo=self.posts["post"])
        if self.situation.visibility in ("PUBLIC", "UNLISTED"):
            self.posts["quote"] = await self.third.post("Look", quote=self.posts["post"])
            # What stands in the viewer's home by itself would not come there once more.
            self.posts["aside"] = await self.write(replyTo=self.elsewhere)
            await self.third.done("repost", postId=self.posts["aside"])
        if self.situation.keeps:
            await self.viewer.done("likePost", postId=self.posts["post"])
            await self.viewer.done("bookmarkPost", postId=self.posts["post"])
        for step in self.situation.after:
            await self.step(step)

    async def write(self, **given: Any) -> str:
        named = [self.third.handle, *([self.viewer.handle] if self.situation.mentioned else [])]
        text = f"Hello #{self.tag} {' '.join(f'@{name}' for name in named)}"
        return await self.author.post(text, visibility=self.situation.visibility, **given)

    async def step(self, name: str) -> None:
        author, viewer = self.author, self.viewer
        soon = format_time(self.clock() + MINUTE)
        deeds: Mapping[str, Callable[[], Awaitable[object]]] = {
            "self": lambda: viewer.done("followUser", userId=self.third.id),
            "follow": lambda: viewer.done("followUser", userId=author.id),
            "followed": lambda: author.done("followUser", userId=viewer.id),
            "unfollow": lambda: viewer.done("unfollowUser", userId=author.id),
            "no reposts": lambda: viewer.done("followUser", userId=self.third.id, reposts=False),
            "lock": lambda: author.done("updateProfile", locked=True),
            "unlock": lambda: author.done("updateProfile", locked=False),
            "accept": lambda: author.done("acceptFollow", userId=viewer.id),
            "block": lambda: viewer.done("blockUser", userId=author.id),
            "unblock": lambda: viewer.done("unblockUser", userId=author.id),
            "blocked": lambda: author.done("blockUser", userId=viewer.id),
            "mute": lambda: viewer.done("muteUser", userId=author.id),
            "mute for a while": lambda: viewer.done("muteUser", userId=author.id, until=soon),
            "muted": lambda: author.done("muteUser", userId=viewer.id),
            "deleted": self.delete,
            "deactivated": lambda: author.done("deactivateAccount"),
            "account deleted": lambda: author.done("deleteAccount", password=PASSWORD),
        }
        await deeds[name]()
        if name == "mute for a while":
            self.clock.ahead += 2 * MINUTE
        if name in ("unlock", "block"):
            await settled(self.served)

    async def delete(self) -> None:
        for name in ("post", "answer", "aside"):
            if name in self.posts:
                await self.author.done("deletePost", postId=self.posts[name])

    async def look(self) -> dict[str, str]:
        """The cell of every path."""
        await settled(self.served)
        given = {name: self.posts.get(name, self.posts["post"]) for name in ("post", "reply", "quote", "root")}
        given |= {"author": self.author.id, "handle": self.author.handle, "third": self.third.id, "tag": self.tag}
        given |= {"words": f"from:{self.author.handle} hello"}
        headers = {} if self.guest else self.viewer.headers
        answer = await self.served.ask(OPEN, given | {"quoted": "quote" in self.posts}, headers)
        assert "errors" not in answer, answer
        found = self.open_paths(answer["data"])
        if self.situation.seen["home"]:
            found |= self.own_paths(await self.viewer.ask(OWN))
        if self.situation.seen["live"]:
            found["live"] = await self.listen()
        return {path: cell for path, cell in found.items() if self.situation.seen[path]}

    def open_paths(self, data: dict[str, Any]) -> dict[str, str]:
        post, author = self.posts["post"], self.author.id
        user = data["user"] or {}
        nobody: dict[str, Any] = {"nodes": []}
        anchor = data["thread"]["anchor"] if data["thread"] else None
        replies = (data["root"]["replies"]["nodes"], [one["post"] for one in data["below"]["replies"]])
        quote = data["quote"]["quote"] if "quote" in data else None
        own = [has(user.get(name, nobody)["nodes"], self.third.id) for name in ("followers", "following")]
        people = [data["user"], data["named"], data["person"], data["people"][0]]
        return {
            "opened": one(*map(look, [data["post"], data["node"], data["nodes"][0], anchor])),
            "above": one(*map(look, [data["reply"]["replyTo"], data["reply"]["root"], data["above"]["ancestors"][0]])),
            "quoted": look(quote),
            "answer": one(*(among(nodes, self.posts["answer"]) for nodes in replies)),
            "pinned": among(user.get("pinnedPosts", []), post),
            "posts": among(posts_in(user.get("posts", nobody)), post),
            "tag": one(*(among(posts_in(data[feed]), post) for feed in ("hashtagFeed", "publicFeed"))),
            "found": among(data["search"]["nodes"], post),
            "named": one(*(has(people, author) for people in (data["sought"]["nodes"], data["typeahead"]))),
            "profile": one(*("hidden" if person is None else "shown" for person in people)),
            "listed": one(*(has(data["third"][name]["nodes"], author) for name in ("followers", "following"))),
            "known": has(data["third"]["knownFollowers"]["nodes"], author),
            "lists": one(*own),
        }

    def own_paths(self, data: dict[str, Any]) -> dict[str, str]:
        viewer, post = data["viewer"], self.posts["post"]
        items = viewer["homeFeed"]["nodes"]
        shared = [item["post"] for item in items if (item["reason"] or {}).get("__typename") == "RepostReason"]
        likes = [like for like in viewer["notifications"]["nodes"] if like["post"]["id"] == self.posts["own"]]
        return {
            "told": has([person for like in likes for person in like["sampleActors"]], self.author.id),
            "home": among([item["post"] for item in items if item["reason"] is None], post),
            "shared": among(shared, self.posts.get("aside", post)),
            "kept": one(*(among(posts_in(viewer[name]), post) for name in ("likes", "bookmarks"))),
        }

    async def listen(self) -> str:
        """Whether another post of the same kind comes live, before one of their shard that comes for sure."""
        cursor = (await self.viewer.ask(CURSOR))["viewer"]["homeFeed"]["liveCursor"]
        post, last = await self.write(), await self.third.post("Good night")
        seen: list[Mapping[str, Any]] = []
        async with self.served.stream(LIVE, {"after": cursor}, self.viewer.access) as stream:
            while not seen or seen[-1]["id"] != last:
                event = await stream.next()
                assert event is not None
                if event["homeFeed"]["__typename"] == "FeedItemAdded":
                    seen.append(event["homeFeed"]["item"]["post"])
        return among(seen, post)

    async def try_all(self) -> dict[str, str]:
        """The cell of every deed, the follow last."""
        viewer, post = self.viewer, self.posts["post"]
        answers = {
            "like": await viewer.do("likePost", postId=post),
            "bookmark": await viewer.do("bookmarkPost", postId=post),
            "repost": await viewer.do("repost", postId=post),
            "reply": await viewer.do("createPost", text="Well", replyTo=post),
            "quote": await viewer.do("createPost", text="Well", quote=post),
            "mention": await viewer.do("createPost", text=f"Well, @{self.author.handle}"),
            "follow": await viewer.do("followUser", userId=self.author.id, select="user { viewer { requested } }"),
        }
        cells = {
            deed: answer["userErrors"][0]["code"] if answer["userErrors"] else "yes" for deed, answer in answers.items()
        }
        user = answers["follow"]["user"]
        return cells | ({"follow": "asks"} if user is not None and user["viewer"]["requested"] else {})


@dataclass(frozen=True)
class Theatre:
    served: Product
    clock: Clock
    elsewhere: str

    def shard(self, handle: str) -> int:
        services = self.served.services
        return shard_of(services.namer.claim_id("handle", handle_skeleton(handle)), services.log.identity.shards)

    async def stage(self, situation: Situation) -> Stage:
        place = SITUATIONS.index(situation)
        author, viewer = [await self.served.register(f"{who}_{place}") for who in ("author", "viewer")]
        # What third does after the author comes live after it: the two are in one shard.
        names = (f"third_{place}_{number}" for number in itertools.count())
        third = await self.served.register(next(n for n in names if self.shard(n) == self.shard(author.handle)))
        if "self" in situation.before:
            viewer = author
        stage = Stage(
            self.served, self.clock, situation, author, viewer, third, self.elsewhere, guest=not situation.done
        )
        await stage.prepare()
        return stage


async def theatre_in(folder: Path) -> AsyncIterator[Theatre]:
    clock = Clock()
    async with product(embedded_settings(folder), now=clock) as served:
        somebody = await served.register("somebody")
        yield Theatre(served, clock, await somebody.post("Elsewhere"))


@pytest.fixture(scope="module")
async def theatre(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Theatre]:
    async for one_ in theatre_in(tmp_path_factory.mktemp("theatre")):
        yield one_


@pytest.fixture(scope="module")
async def theatre_before_reactors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Theatre]:
    """In which no reactor has come yet to what a block leaves to it."""
    patch = pytest.MonkeyPatch()
    patch.setattr("api.workers.REACTORS", [one for one in REACTORS if one.name != "end-blockers-follow"])
    async for one_ in theatre_in(tmp_path_factory.mktemp("before")):
        # The other theatre may open later, and has all of them.
        patch.undo()
        yield one_


def expected(cells: Mapping[str, str]) -> dict[str, str]:
    return {name: cell for name, cell in cells.items() if cell}


@pytest.mark.slow
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.name)
async def test_every_path_shows_what_the_table_says(theatre: Theatre, situation: Situation) -> None:
    stage = await theatre.stage(situation)
    assert await stage.look() == expected(situation.seen)
    if situation.done:
        assert await stage.try_all() == dict(situation.done)


@pytest.mark.slow
@pytest.mark.parametrize(
    "situation", [one for one in SITUATIONS if "block" in " ".join(one.after)], ids=lambda one: one.name
)
async def test_a_block_hides_before_any_reactor_has_run(theatre_before_reactors: Theatre, situation: Situation) -> None:
    stage = await theatre_before_reactors.stage(situation)
    if "unblock" in situation.after:
        # Nothing has ended the follow, and so it stands again.
        situation = next(one for one in SITUATIONS if one.name == "the viewer follows the author")
        stage.situation = situation
    assert await stage.look() == expected(situation.seen)
    if situation.done:
        assert await stage.try_all() == dict(situation.done)


def test_the_page_shows_the_table() -> None:
    page = PAGE.read_text()
    assert with_table(page) == page, "python -m tests.visibility_table writes it"
    for names in (PATHS, DEEDS):
        for name, what in names.items():
            assert f"| {name} | {what} |" in page, "the page says what each column is"


def test_every_situation_says_something_of_every_path() -> None:
    for situation in SITUATIONS:
        assert set(situation.seen) == set(PATHS)
        assert set(situation.done) in ({*DEEDS}, set())

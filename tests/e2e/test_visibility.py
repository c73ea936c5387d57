"""Every path to a post or a person, for every relation of two people: what tests/visibility_table.py says is what clients get."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.live import cursors
from api.live.cursors import sign_live
from api.schema.scalars import format_time
from api.services import system_now
from domain.ids import shard_of
from domain.names import handle_skeleton
from projections.runtime.cascades import REACTORS
from tests.edge_kit import eventually
from tests.product_kit import PASSWORD, Clock, Person, Product, embedded_settings, encode, product, settled
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
  notifications(types: [LIKE]) {{ nodes {{ sampleActors {{ id }} actors(first: 100) {{ nodes {{ id }} }} post {{ {ANY} }} }} }} }} }}"""
FEED = f"__typename ... on FeedItemAdded {{ item {{ post {{ {ANY} }} }} }} ... on FeedItemUpdated {{ item {{ post {{ {ANY} }} }} }} ... on FeedItemRemoved {{ item {{ post {{ {ANY} }} }} }}"
HOME_LIVE = f"subscription($after: String) {{ homeFeed(after: $after) {{ {FEED} }} }}"
PUBLIC_LIVE = f"subscription($after: String) {{ publicFeed(after: $after) {{ {FEED} }} }}"
TAG_LIVE = f"subscription($name: String!, $after: String) {{ hashtagFeed(name: $name, after: $after) {{ {FEED} }} }}"
POST_LIVE = f"""subscription($id: ID!, $after: String) {{ post(id: $id, after: $after) {{
  ... on PostUpdated {{ post {{ {ANY} }} }} ... on ReplyAdded {{ reply: post {{ {ANY} }} }} }} }}"""
NOTES_LIVE = """subscription($after: String) { notifications(after: $after) {
  ... on NotificationAdded { notification { type sampleActors { id } } } ... on NotificationUpdated { notification { type sampleActors { id } } } } }"""
TRENDS = f"{{ trends(kind: POST, window: H1, first: 100) {{ liveCursor nodes {{ post {{ {ANY_FOUND} }} }} }} }}"
TRENDS_LIVE = f"""subscription($after: String) {{ trends(kind: POST, window: H1, after: $after) {{
  ... on TrendAdded {{ cursor trend {{ post {{ {ANY_FOUND} }} }} }} ... on TrendUpdated {{ cursor trend {{ post {{ {ANY_FOUND} }} }} }}
  ... on TrendRemoved {{ cursor id }} }} }}"""
CROWD = 5
"""Who likes a post, so that it trends."""
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
    crowd: Sequence[Person]
    guest: bool
    posts: dict[str, str] = field(default_factory=dict)
    since: Mapping[int, int] = field(default_factory=dict)
    ranked: str = ""

    @property
    def account(self) -> str | None:
        """Who looks, None for a guest."""
        return None if self.guest else self.viewer.id.removeprefix("u_")

    @property
    def headers(self) -> Mapping[str, str]:
        return {} if self.guest else self.viewer.headers

    @property
    def tag(self) -> str:
        return f"of_{self.author.handle}"

    async def prepare(self) -> None:
        """All that happens before anybody looks."""
        self.since = await self.served.services.live.checkpoints()
        self.ranked = (await self.served.ask(TRENDS, headers=self.headers))["data"]["trends"]["liveCursor"]
        await self.third.done("followUser", userId=self.author.id)
        await self.author.done("followUser", userId=self.third.id)
        await self.viewer.done("followUser", userId=self.third.id)
        if self.situation.visibility == "FOLLOWERS":
            for person in self.crowd:
                await person.done("followUser", userId=self.author.id)
        for step in self.situation.before:
            await self.step(step)
        self.posts["own"] = await self.viewer.post("Good morning")
        await self.author.done("likePost", postId=self.posts["own"])
        root = self.posts["root"] = await self.third.post("What is new?")
        self.posts["post"] = await self.write()
        # An edit is told too, to whom it may be.
        await self.author.done("editPost", postId=self.posts["post"], text=f"{self.text}, once more")
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
        for person in self.crowd:
            await person.done("likePost", postId=self.posts["post"])
        for step in self.situation.after:
            await self.step(step)

    @property
    def text(self) -> str:
        named = [self.third.handle, *([self.viewer.handle] if self.situation.mentioned else [])]
        if self.situation.visibility == "DIRECT":
            named += [person.handle for person in self.crowd]
        return f"Hello #{self.tag} {' '.join(f'@{name}' for name in named)}"

    async def write(self, **given: Any) -> str:
        return await self.author.post(self.text, visibility=self.situation.visibility, **given)

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
        answer = await self.served.ask(OPEN, given | {"quoted": "quote" in self.posts}, self.headers)
        assert "errors" not in answer, answer
        found = self.open_paths(answer["data"])
        if self.situation.seen["home"]:
            found |= self.own_paths(await self.viewer.ask(OWN))
            found |= await self.listen_to_own()
        found |= await self.listen()
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
            "told": one(
                has([person for like in likes for person in like["sampleActors"]], self.author.id),
                has([person for like in likes for person in like["actors"]["nodes"]], self.author.id),
            ),
            "home": among([item["post"] for item in items if item["reason"] is None], post),
            "shared": among(shared, self.posts.get("aside", post)),
            "kept": one(*(among(posts_in(viewer[name]), post) for name in ("likes", "bookmarks"))),
        }

    async def listen_to_own(self) -> dict[str, str]:
        home = await self.heard(HOME_LIVE, cursors.HOME, f"following:{self.account}")
        told = await self.heard(NOTES_LIVE, cursors.NOTIFICATIONS, f"notify:{self.account}")
        likes = [event["notification"] for event in told if event and event["notification"]["type"] == "LIKE"]
        cells = {
            "live": self.told_of("post", home),
            "notified": has([person for like in likes for person in like["sampleActors"]], self.author.id),
        }
        if not {"deleted", "deactivated", "account deleted"} & {*self.situation.after}:
            # Another of the same kind that is written now.
            self.posts["another"] = await self.write()
            await settled(self.served)
            home = await self.heard(HOME_LIVE, cursors.HOME, f"following:{self.account}")
            cells["live"] = one(cells["live"], self.told_of("another", home))
        return cells

    async def listen(self) -> dict[str, str]:
        """What is told of all that has happened, now."""
        post, root = (self.posts[name] for name in ("post", "root"))
        public = await self.heard(PUBLIC_LIVE, cursors.PUBLIC, "public")
        tagged = await self.heard(TAG_LIVE, cursors.hashtag(self.tag), f"tag:{self.tag}", name=self.tag)
        own = await self.heard(POST_LIVE, cursors.post(post[2:]), f"post:{post[2:]}", id=post)
        others = await self.heard(POST_LIVE, cursors.post(root[2:]), f"post:{root[2:]}", id=root)
        return {
            "streamed": one(self.told_of("post", public), self.told_of("post", tagged)),
            "trending": one(*await self.trending()),
            "followed": one(*{look(event["post"]) for event in own if "post" in event} or {"hidden"}),
            "answering": among([event["reply"] for event in others if "reply" in event], self.posts["answer"]),
        }

    def told_of(self, name: str, events: Sequence[Mapping[str, Any]]) -> str:
        """How one of the posts looks in all that is told of it in a feed."""
        posts = [event["item"]["post"] for event in events]
        return one(*{look(post) for post in posts if post["id"] == self.posts[name]} or {"hidden"})

    async def trending(self) -> Sequence[str]:
        """In the ranking, and in what is told to whoever has an earlier one."""
        page = (await self.served.ask(TRENDS, headers=self.headers))["data"]["trends"]
        told: list[Mapping[str, Any]] = []
        async with self.served.stream(TRENDS_LIVE, {"after": self.ranked}, self.access) as stream:
            while not told or told[-1]["cursor"] != page["liveCursor"]:
                event = await stream.next()
                assert event is not None
                told.append(event["trends"])
        in_page = [node["post"] for node in page["nodes"]]
        live = [event["trend"]["post"] for event in told if "trend" in event]
        gone = [event["id"] for event in told if "id" in event]
        assert not [id_ for id_ in gone if self.posts["post"] in id_]
        return [among(posts, self.posts["post"]) for posts in (in_page, live)]

    @property
    def access(self) -> str | None:
        return None if self.guest else self.viewer.access

    async def heard(self, query: str, list_name: str, topic: str, **given: Any) -> Sequence[Mapping[str, Any]]:
        """All that a list tells of what has happened since the beginning, as it is to be told now."""
        services = self.served.services
        topics = services.live._topics
        await eventually(lambda: topic not in topics)
        cursor = sign_live(services, cursors.subject(list_name, self.account), self.since)
        async with self.served.stream(query, given | {"after": cursor}, self.access) as stream:
            # It listens when it has told all that was before; a pong comes behind all that.
            await eventually(lambda: topic in topics)
            await stream.socket.send(encode({"type": "ping"}))
            events: list[Mapping[str, Any]] = []
            while (message := msgspec.json.decode(await stream.socket.recv()))["type"] != "pong":
                assert "errors" not in message["payload"], message
                events += message["payload"]["data"].values()
            return events

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
    crowd: Sequence[Person]

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
            self.served,
            self.clock,
            situation,
            author,
            viewer,
            third,
            self.elsewhere,
            self.crowd,
            guest=not situation.done,
        )
        await stage.prepare()
        return stage


class Still(Clock):
    """It stands until it is set, ahead of the log's, so that every use is of a minute that is over."""

    def __init__(self) -> None:
        super().__init__()
        self.began = system_now() + 2 * MINUTE

    def __call__(self) -> int:
        return self.began + self.ahead


async def theatre_in(folder: Path) -> AsyncIterator[Theatre]:
    clock = Still()
    async with product(embedded_settings(folder), now=clock) as served:
        somebody = await served.register("somebody")
        crowd = [await served.register(f"crowd_{number}") for number in range(CROWD)]
        elsewhere = await somebody.post("Elsewhere")
        for person in crowd:
            # There is always something to tell of what trends.
            await person.done("likePost", postId=elsewhere)
        yield Theatre(served, clock, elsewhere, crowd)


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

"""Every example of the playground runs, against the demo world that stands behind it on the first start."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from graphql import OperationDefinitionNode, OperationType, parse

from api.cli.seed import DEMO_PASSWORD, Sizes, demo_handles, load_demo
from api.demo.seeder import WorldError
from api.playground import STATIC
from tests.edge_kit import eventually
from tests.product_kit import Person, Product, Stream, embedded_settings, product, settled

SIZES: Final = Sizes(accounts=12, posts=40, likes=60, reposts=10, showcase=True)
SCRIPT: Final = (STATIC / "playground.js").read_text()
TABS: Final = re.findall(r"`([^`]*)`", SCRIPT[SCRIPT.index("const tabs =") : SCRIPT.index("\n];")])
FIND: Final = re.search(r"const FIND = `([^`]*)`", SCRIPT)
OWN: Final = re.search(r"const OWN = `([^`]*)`", SCRIPT)


@dataclass(frozen=True)
class Demo:
    served: Product
    ada: Person
    example: dict[str, str]

    def document(self, tab: str) -> str:
        """As the page writes it."""
        return re.sub(r"\$\{(.*?)\}", lambda match: self._value(match[1]), tab)

    def _value(self, expression: str) -> str:
        if expression.startswith("example."):
            return self.example[expression.removeprefix("example.")]
        if expression.startswith("Math.random"):
            return "4711"
        return {'element("name")': demo_handles()[0], 'element("password")': DEMO_PASSWORD}[
            expression.partition(".")[0]
        ]


async def found(ada: Person) -> dict[str, str]:
    """What the page finds, for somebody who is signed in."""
    assert FIND is not None
    assert OWN is not None
    posts = [item["post"] for item in (await ada.ask(FIND[1]))["publicFeed"]["nodes"]]
    listed = [item["post"] for item in (await ada.ask(OWN[1]))["viewer"]["user"]["posts"]["nodes"]]
    own = next(post["id"] for post in listed if post["author"]["handle"] == ada.handle)
    other = next(post for post in posts if post["author"]["handle"] != ada.handle)
    return {
        "post": other["id"],
        "thread": max(posts, key=lambda post: post["counts"]["replies"])["id"],
        "edited": next(post["id"] for post in posts if post["editedAt"]),
        "own": own,
        "person": other["author"]["id"],
    }


@pytest.fixture(scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    async with product(embedded_settings(tmp_path_factory.mktemp("demo"))) as served:
        await load_demo(served.services, SIZES)
        await settled(served)
        ada = await signed_in(served)
        yield Demo(served, ada, await found(ada))


async def signed_in(served: Product) -> Person:
    """The first of those who can."""
    ada = Person(served, demo_handles()[0], "", "", "")
    answer = await served.ask(
        "mutation S($i: SignInInput!) { signIn(input: $i) { account { id } session { accessToken } } }",
        {"i": {"handleOrEmail": ada.handle, "password": DEMO_PASSWORD}},
    )
    ada.id = answer["data"]["signIn"]["account"]["id"]
    ada.access = answer["data"]["signIn"]["session"]["accessToken"]
    return ada


def operations(kind: OperationType) -> list[tuple[str, str]]:
    """Names and texts of the examples of a kind."""
    plain = [re.sub(r"\$\{.*?\}", "x", tab) for tab in TABS]
    return [
        (node.name.value, tab)
        for tab, text in zip(TABS, plain, strict=True)
        for node in parse(text).definitions
        if isinstance(node, OperationDefinitionNode) and node.operation is kind and node.name is not None
    ]


def names(of: list[tuple[str, str]]) -> list[str]:
    return [name for name, _ in of]


ASKED: Final = operations(OperationType.QUERY)
DONE: Final = operations(OperationType.MUTATION)
FOLLOWED: Final = operations(OperationType.SUBSCRIPTION)


def test_no_two_examples_have_one_name() -> None:
    every = names(ASKED) + names(DONE) + names(FOLLOWED)
    assert len(set(every)) == len(every)


async def run(demo: Demo, name: str, tab: str) -> dict[str, Any]:
    response = await demo.served.client.post(
        "/graphql", json={"query": demo.document(tab), "operationName": name}, headers=demo.ada.headers
    )
    answer: dict[str, Any] = response.json()
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


NOTHING_YET: Final = {"Trends", "MutedAndBlocked", "Quotes"}
"""Their lists fill with what others do, or with time."""


@pytest.mark.parametrize(("name", "tab"), ASKED, ids=names(ASKED))
async def test_a_query_of_the_playground_finds_something(demo: Demo, name: str, tab: str) -> None:
    data = await run(demo, name, tab)
    assert None not in data.values()
    assert name in NOTHING_YET or not any(empty(value) for value in data.values()), data


def empty(value: object) -> bool:
    """Whether there is a list of nothing anywhere below."""
    match value:
        case []:
            return True
        case dict():
            return any(empty(inner) for key, inner in value.items() if key != "ancestors")
    return False


@pytest.mark.parametrize(
    "tab", dict.fromkeys(tab for _, tab in DONE), ids=lambda tab: names([one for one in DONE if one[1] == tab])[0]
)
async def test_the_mutations_of_a_tab_are_done_one_after_another(demo: Demo, tab: str) -> None:
    """The last ones take back what the first have done."""
    for name, _ in (one for one in DONE if one[1] == tab):
        for payload in (await run(demo, name, tab)).values():
            assert payload["userErrors"] == []


@asynccontextmanager
async def followed(demo: Demo, name: str, tab: str) -> AsyncIterator[Stream]:
    """One of the subscriptions of a tab: a document that is sent over a socket may have others beside it."""
    text = demo.document(tab)
    node = next(
        node
        for node in parse(text).definitions
        if isinstance(node, OperationDefinitionNode) and node.name and node.name.value == name
    )
    assert node.loc is not None
    async with demo.served.stream(text[node.loc.start : node.loc.end], access=demo.ada.access) as stream:
        yield stream


@pytest.mark.parametrize(("name", "tab"), FOLLOWED, ids=names(FOLLOWED))
async def test_a_subscription_of_the_playground_begins(demo: Demo, name: str, tab: str) -> None:
    services = demo.served.services
    await eventually(lambda: services.live.idle and services.rankings.idle)
    async with followed(demo, name, tab) as stream:
        refused = asyncio.create_task(stream.next())
        await eventually(lambda: refused.done() or not (services.live.idle and services.rankings.idle))
        assert not refused.done() or refused.result() is not None, stream.errors
        refused.cancel()


async def test_what_is_loaded_again_changes_nothing(tmp_path: Path) -> None:
    async with product(embedded_settings(tmp_path), workers=False) as served:
        first = await load_demo(served.services, SIZES)
        assert first.changed == first.answered
        heads = [await served.services.log.head(shard) for shard in range(8)]
        again = await load_demo(served.services, SIZES)
        assert again.changed.total() == 0
        assert again.answered == first.answered
        assert first.answered["posts"] == SIZES.posts
        assert heads == [await served.services.log.head(shard) for shard in range(8)]


@pytest.mark.slow
async def test_what_people_did_meanwhile_stands(tmp_path: Path) -> None:
    """They have blocked somebody whom the world has them follow, deleted what it pins, and like no more what it likes."""
    async with product(embedded_settings(tmp_path)) as served:
        await load_demo(served.services, SIZES)
        await settled(served)
        ada = await signed_in(served)
        example = await found(ada)
        pinned = (await ada.ask("{ viewer { user { pinnedPosts { id } } } }"))["viewer"]["user"]["pinnedPosts"]
        liked = (await ada.ask("{ viewer { likes(first: 1) { nodes { post { ... on Post { id } } } } } }"))["viewer"]
        await ada.done("blockUser", userId=example["person"])
        await ada.done("deletePost", postId=pinned[0]["id"])
        await ada.done("unlikePost", postId=liked["likes"]["nodes"][0]["post"]["id"])
        await settled(served)
        heads = [await served.services.log.head(shard) for shard in range(8)]
        assert not (await load_demo(served.services, SIZES, once=True)).changed.total()
        assert heads == [await served.services.log.head(shard) for shard in range(8)]
        assert (await load_demo(served.services, SIZES)).refused.total() > 1


@pytest.mark.slow
async def test_a_world_that_people_have_left_is_loaded_without_them(tmp_path: Path) -> None:
    async with product(embedded_settings(tmp_path)) as served:
        await load_demo(served.services, SIZES)
        ada = await signed_in(served)
        await ada.done("deleteAccount", password=DEMO_PASSWORD)
        await settled(served)
        assert (await load_demo(served.services, SIZES, once=True)).changed.total() == 0
        again = await load_demo(served.services, SIZES)
        assert again.refused["accounts"] == 1
        assert again.changed.total() == 0


async def test_what_is_about_a_post_that_is_refused_waits_for_nothing(tmp_path: Path) -> None:
    """A larger world has other posts under the keys of a smaller one, and answers to answers to them."""
    async with product(embedded_settings(tmp_path), workers=False) as served:
        await load_demo(served.services, Sizes(accounts=30, posts=50, likes=0, reposts=0))
        async with asyncio.timeout(60):
            larger = await load_demo(served.services, Sizes(accounts=60, posts=100, likes=50, reposts=5))
        assert larger.refused["posts"] > 1
        assert larger.answered["posts"] == 100


async def test_people_who_are_none_of_the_worlds_are_not_taken_for_them(tmp_path: Path) -> None:
    async with product(embedded_settings(tmp_path), workers=False) as served:
        await served.register(demo_handles()[0])
        with pytest.raises(WorldError, match=f"^{demo_handles()[0]} is somebody else"):
            await load_demo(served.services, SIZES, once=True)


async def test_the_demo_shows_what_a_post_can_be(demo: Demo) -> None:
    query = """{ publicFeed(first: 100) { nodes { post { ... on Post {
      text contentWarning editedAt language quote { __typename } media { alt } facets { kind } pinned } } } } }"""
    posts = [item["post"] for item in (await demo.ada.ask(query))["publicFeed"]["nodes"]]
    for feature in ("contentWarning", "editedAt", "quote", "media"):
        assert sum(bool(post[feature]) for post in posts) >= 2, feature
    assert all(media["alt"] for post in posts for media in post["media"])
    assert len({post["language"] for post in posts}) >= 5
    thread = await demo.ada.ask(f'{{ thread(postId: "{demo.example["thread"]}", depth: 6) {{ replies {{ depth }} }} }}')
    assert max(reply["depth"] for reply in thread["thread"]["replies"]) == 6

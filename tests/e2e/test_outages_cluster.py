"""Each of a cluster's stores goes away under a server that runs, and comes back: what needs it says so, everything else goes on, and nothing is restarted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.log_cassandra_kit import Proxy
from tests.product_kit import GENEROUS, Person, Product, Stream, product, settled
from tests.servers import Addresses, Server, start_mongod
from tests.stack import cluster_stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HOME = "{ viewer { homeFeed { nodes { post { ... on Post { text } } } } } }"
LIVE = "subscription { homeFeed { __typename ... on FeedItemAdded { item { post { ... on Post { text } } } } } }"
HEALS_SECONDS = 60


@pytest.fixture
def mongod(mongodb_url: str) -> Iterator[Server]:
    """A server of its own: the shared one serves other tests too."""
    server = start_mongod()
    yield server
    server.close()


@pytest_asyncio.fixture
async def way(cassandra_address: str) -> AsyncIterator[Proxy]:
    """The way to Cassandra, which can be cut."""
    host, _, port = cassandra_address.partition(":")
    async with Proxy(host, int(port)) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def served(way: Proxy, mongod: Server) -> AsyncIterator[Product]:
    async with (
        cluster_stack(Addresses(f"127.0.0.1:{way.port}", mongod.url)) as stack,
        product(stack.settings.model_copy(update=GENEROUS)) as served,
    ):
        yield served


async def test_a_store_that_goes_away_under_a_running_server_is_missed_and_comes_back(
    served: Product, way: Proxy, mongod: Server
) -> None:
    ann, bob = await served.register("ann"), await served.register("bob")
    await bob.done("followUser", userId=ann.id)
    await settled(served)
    async with served.stream(LIVE, access=bob.access) as stream:
        await ann.post("before")
        assert await heard(stream) == "before"
        await without_documents(ann, bob, mongod)
        # The stream that was open all the while has it too.
        assert await heard(stream) == "without documents"
        await without_the_log(ann, bob, way)
        assert await heard(stream) == "with both again"


async def without_documents(ann: Person, bob: Person, mongod: Server) -> None:
    mongod.kill()
    assert await refused(bob, HOME) == ["UNAVAILABLE"]
    ann.token = None
    payload = await ann.done("createPost", text="without documents", select="post { id }")
    assert (payload["post"], payload["changed"], payload["receipt"]["status"]) == (None, True, "ACCEPTED")
    assert await refused(bob, HOME) == ["UNAVAILABLE"]
    mongod.start()
    await until(lambda: shows(bob, "without documents"))


async def without_the_log(ann: Person, bob: Person, way: Proxy) -> None:
    ann.token = bob.token = None
    way.refuse()
    # What is sent as it goes may have been recorded, and is then found when it is back.
    await until(lambda: turned_away(bob, "createPost", text="perhaps"))
    assert await turned_away(ann, "createPost", text="without the log")
    assert await turned_away(bob, "unfollowUser", userId=ann.id)
    assert await shows(bob, "without documents")
    await way.listen()
    await until(lambda: accepted(ann, "with both again"))
    await until(lambda: shows(bob, "with both again"))
    assert not await shows(bob, "without the log")


async def refused(person: Person, query: str) -> list[str]:
    answer = await person.product.ask(query, headers=person.headers)
    return [error["extensions"]["code"] for error in answer["errors"]]


async def turned_away(person: Person, mutation: str, **given: Any) -> bool:
    """Whether it certainly was not recorded."""
    payload = await person.do(mutation, **given)
    if payload["receipt"] is not None:
        assert payload["receipt"]["status"] == "UNKNOWN"
        return False
    assert [error["code"] for error in payload["userErrors"]] == ["UNAVAILABLE"]
    assert payload["changed"] is False
    return True


async def accepted(person: Person, text: str) -> bool:
    payload = await person.do("createPost", text=text, idempotencyKey=text)
    return not payload["userErrors"] and payload["receipt"]["status"] != "UNKNOWN"


async def shows(person: Person, text: str) -> bool:
    answer = await person.product.ask(HOME, headers=person.headers)
    if "errors" in answer:
        return False
    return text in [item["post"]["text"] for item in answer["data"]["viewer"]["homeFeed"]["nodes"]]


async def heard(stream: Stream) -> str:
    """The text of the next post; what a stream says of a gap is passed by, and what perhaps was posted."""
    while True:
        told = await stream.next(HEALS_SECONDS)
        assert told is not None, stream.errors
        if told["homeFeed"]["__typename"] == "FeedItemAdded":
            text = str(told["homeFeed"]["item"]["post"]["text"])
            if text != "perhaps":
                return text


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(HEALS_SECONDS):
        while not await condition():  # noqa: ASYNC110 (it is another process's)
            await asyncio.sleep(0.1)

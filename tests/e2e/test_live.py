"""The live home over real sockets: no gap, nothing twice, the page's own rules, an end that is told, and nothing left behind."""

import asyncio
import dataclasses
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from api.live import home
from api.live.home import home_stream
from api.live.inbox import Delivery, Inbox
from api.live.items import Added, ItemEvent
from api.live.replay import replay
from api.live.stream import Lagged
from api.services import system_now
from domain.ids import shard_of
from projections import families
from projections.homefeed import entries_below
from projections.signals import Signal, SignalKind, sweep_signals
from projections.timelines import DEFAULT_LIMITS
from tests.edge_kit import eventually
from tests.product_kit import PASSWORD, Clock, Person, Product, Stream, embedded_settings, product, settled

HOME = "query H($first: Int) { viewer { homeFeed(first: $first) { liveCursor nodes { id } } } }"
LIVE = """subscription L($after: String) { homeFeed(after: $after) { __typename
  ... on FeedItemAdded { cursor item { id reason { ... on RepostReason { by { handle } } } post { ... on Post { id text } } } }
  ... on FeedItemUpdated { cursor item { id post { ... on Post { id text } } } }
  ... on FeedItemRemoved { cursor item { id post { __typename ... on PostTombstone { id reason } ... on Post { id } } } }
  ... on Lagged { cursor count } } }"""


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Product]:
    async with product(embedded_settings(tmp_path_factory.mktemp("live"))) as running:
        yield running


_names = iter(range(10_000))


async def people(served: Product, count: int) -> list[Person]:
    """New ones for each test, so that tests do not hear of one another."""
    return [await served.register(f"person_{next(_names)}") for _ in range(count)]


async def live_cursor(person: Person) -> str:
    cursor: str = (await person.ask(HOME, first=1))["viewer"]["homeFeed"]["liveCursor"]
    return cursor


async def event(stream: Stream) -> dict[str, Any]:
    data = await stream.next()
    assert data is not None, stream.errors
    found: dict[str, Any] = data["homeFeed"]
    return found


async def texts(stream: Stream, upto: str) -> list[str]:
    """The texts of what is added, up to and with the one that says ``upto``."""
    found: list[str] = []
    while upto not in found:
        got = await event(stream)
        assert got["__typename"] == "FeedItemAdded"
        found.append(got["item"]["post"]["text"])
    return found


@pytest.mark.slow
async def test_a_stream_that_is_cut_again_and_again_has_no_gap_and_nothing_twice(served: Product) -> None:
    ann, bea, cas, bob = await people(served, 4)
    for author in (ann, bea, cas):
        await bob.done("followUser", userId=author.id)
    cursor = await live_cursor(bob)
    draw = random.Random(4)

    async def write(author: Person) -> list[str]:
        return [await author.post(f"{author.handle} says {number}") for number in range(25)]

    writing = [asyncio.create_task(write(author)) for author in (ann, bea, cas)]
    seen: list[str] = []
    while len(seen) < 75:
        async with served.stream(LIVE, {"after": cursor}, bob.access) as stream:
            for _ in range(min(draw.randint(0, 7), 75 - len(seen))):
                got = await event(stream)
                cursor = got["cursor"]
                seen.append(got["item"]["post"]["id"])
    written = [await task for task in writing]
    assert sorted(seen) == sorted(post for own in written for post in own)
    for own in written:
        assert [post for post in seen if post in own] == own


async def test_what_happens_during_a_replay_is_neither_missed_nor_told_twice(
    served: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await people(served, 2)
    await bob.done("followUser", userId=ann.id)
    cursor = await live_cursor_after(bob)
    await ann.post("missed")
    # Without it there would be no round to be interrupted.
    await settled(served)
    rounds = iter(["while the first round is read", "while the second round is read"])

    async def interrupted(*given: Any) -> AsyncGenerator[Delivery, None]:
        """A replay at whose end the router has handed out something more."""
        async for delivery in replay(*given):
            yield delivery
        text = next(rounds, None)
        if text is not None:
            await ann.post(text)
            shard = shard_of(ann.id[2:], served.services.log.identity.shards)
            head = await served.services.log.head(shard)
            await eventually(lambda: served.services.live.positions[shard] >= head)

    monkeypatch.setattr("api.live.stream.replay", interrupted)
    async with served.stream(LIVE, {"after": cursor}, bob.access) as stream:
        heard = await texts(stream, "while the second round is read")
        await ann.post("live")
        heard += await texts(stream, "live")
    assert heard == ["missed", "while the first round is read", "while the second round is read", "live"]


async def test_a_cursor_may_be_ahead_of_the_router(served: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, bob = await people(served, 2)
    await bob.done("followUser", userId=ann.id)
    router = served.services.live

    async def resting() -> bool:
        return False

    async with router.listening():
        with monkeypatch.context() as patch:
            patch.setattr(router, "_round", resting)
            await ann.post("on the page")
            cursor = await live_cursor_after(bob)
            async with served.stream(LIVE, {"after": cursor}, bob.access) as stream:
                await _attached(served, f"author:{ann.id[2:]}")
                patch.undo()
                await ann.post("behind the page")
                assert await texts(stream, "behind the page") == ["behind the page"]


async def test_edges_that_lag_behind_the_signals_are_made_up_for(
    served: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bea, bob = await people(served, 3)
    await bob.done("followUser", userId=ann.id)
    await ann.post("on the page")
    cursor = await live_cursor_after(bob)
    documents = served.services.documents
    load = documents.load_checkpoints

    async def lagging(family: str) -> Mapping[int, int]:
        return {} if family == "home" else await load(family)

    async def no_edges(*_: object) -> Sequence[str]:
        return ()

    monkeypatch.setattr(documents, "load_checkpoints", lagging)
    monkeypatch.setattr(home, "following_ids", no_edges)
    async with served.stream(LIVE, {"after": cursor}, bob.access) as stream:
        await _attached(served, f"author:{ann.id[2:]}")
        await bea.post("from nobody whom Bob follows")
        await ann.post("behind the page")
        assert await texts(stream, "behind the page") == ["behind the page"]


async def test_a_page_and_the_stream_from_its_cursor_hold_everything(served: Product) -> None:
    ann, bob = await people(served, 2)
    await bob.done("followUser", userId=ann.id)
    writing = asyncio.create_task(_write(ann, 40))
    await asyncio.sleep(0.1)
    bob.token = None
    page = (await bob.ask(HOME, first=100))["viewer"]["homeFeed"]
    on_page = {item["id"] for item in page["nodes"]}
    posts = await writing
    async with served.stream(LIVE, {"after": page["liveCursor"]}, bob.access) as stream:
        streamed: list[str] = []
        while f"i_{posts[-1][2:]}" not in streamed:
            streamed.append((await event(stream))["item"]["id"])
    assert on_page | set(streamed) == {f"i_{post[2:]}" for post in posts}
    assert len(streamed) == len(set(streamed))


async def _write(author: Person, count: int) -> list[str]:
    return [await author.post(f"{number}") for number in range(count)]


async def test_a_follow_and_an_unfollow_count_at_once(served: Product) -> None:
    ann, bob = await people(served, 2)
    async with served.stream(LIVE, {"after": await live_cursor(bob)}, bob.access) as stream:
        await ann.post("before")
        await bob.done("followUser", userId=ann.id)
        await ann.post("while")
        assert await texts(stream, "while") == ["while"]
        await bob.done("unfollowUser", userId=ann.id)
        await ann.post("after")
        await bob.post("my own")
        assert await texts(stream, "my own") == ["my own"]


async def test_a_follow_counts_in_what_was_missed_too(served: Product) -> None:
    ann, bob = await people(served, 2)
    cursor = await live_cursor(bob)
    await bob.done("followUser", userId=ann.id)
    await ann.post("while nobody listened")
    async with served.stream(LIVE, {"after": cursor}, bob.access) as stream:
        assert await texts(stream, "while nobody listened") == ["while nobody listened"]


async def test_the_stream_has_the_rules_of_the_page(served: Product) -> None:
    ann, bob, friend, stranger = await people(served, 4)
    for person in (ann, friend):
        await bob.done("followUser", userId=person.id)
    theirs = {person.handle: await person.post("a beginning") for person in (bob, friend, stranger)}
    cursor = await live_cursor_after(bob)
    await ann.post("to the stranger", replyTo=theirs[stranger.handle])
    await ann.post("to the friend", replyTo=theirs[friend.handle])
    await ann.post("to bob", replyTo=theirs[bob.handle])
    await ann.post("for mentioned people", visibility="DIRECT")
    await ann.post("for followers", visibility="FOLLOWERS")
    await ann.done("repost", postId=theirs[stranger.handle])
    await bob.done("followUser", userId=ann.id, reposts=False)
    await ann.done("undoRepost", postId=theirs[stranger.handle])
    await ann.done("repost", postId=theirs[friend.handle])
    await ann.post("the end")
    await settled(served)
    async with served.stream(LIVE, {"after": cursor}, bob.access) as stream:
        heard = [await event(stream)]
        while heard[-1]["item"]["post"].get("text") != "the end":
            heard.append(await event(stream))
    told = [(got["__typename"], got["item"]["post"].get("text")) for got in heard]
    assert told == [
        ("FeedItemAdded", "to the friend"),
        ("FeedItemAdded", "to bob"),
        ("FeedItemAdded", "for followers"),
        ("FeedItemAdded", "the end"),
    ]
    bob.token = ann.token
    page = (await bob.ask(HOME, first=4))["viewer"]["homeFeed"]["nodes"]
    added = [got["item"]["id"] for got in reversed(heard) if got["__typename"] == "FeedItemAdded"]
    assert [item["id"] for item in page] == added


async def live_cursor_after(person: Person) -> str:
    """A live cursor behind everything that anybody has done."""
    await settled(person.product)
    return await live_cursor(person)


async def test_what_changes_and_goes_is_told(served: Product) -> None:
    ann, bob = await people(served, 2)
    await bob.done("followUser", userId=ann.id)
    await settled(served)
    async with served.stream(LIVE, {"after": await live_cursor(bob)}, bob.access) as stream:
        post = await ann.post("first words")
        added = await event(stream)
        await ann.done("editPost", postId=post, text="second thoughts")
        updated = await event(stream)
        assert (updated["__typename"], updated["item"]["id"]) == ("FeedItemUpdated", added["item"]["id"])
        assert updated["item"]["post"]["text"] == "second thoughts"
        await ann.done("deletePost", postId=post)
        removed = await event(stream)
        assert (removed["__typename"], removed["item"]["id"]) == ("FeedItemRemoved", added["item"]["id"])
        assert removed["item"]["post"] == {"__typename": "PostTombstone", "id": post, "reason": "DELETED"}


async def test_the_end_of_what_was_not_for_the_viewer_is_not_told(served: Product) -> None:
    ann, muted, bob, stranger = await people(served, 4)
    for author in (ann, muted):
        await bob.done("followUser", userId=author.id, reposts=author is muted)
    await bob.done("muteUser", userId=muted.id)
    post = await stranger.post("of no concern to Bob")
    for author in (ann, muted):
        await author.done("repost", postId=post)
    reply, unheard = await ann.post("to the stranger", replyTo=post), await muted.post("unheard")
    cursor = await live_cursor_after(bob)
    await muted.done("undoRepost", postId=post)
    await muted.done("deletePost", postId=unheard)
    await ann.done("deletePost", postId=reply)
    await ann.done("undoRepost", postId=post)
    await settled(served)
    await ann.post("the end")
    await settled(served)
    async with served.stream(LIVE, {"after": cursor}, bob.access) as stream:
        assert await texts(stream, "the end") == ["the end"]


async def test_the_end_of_a_post_is_told_though_its_author_has_gone_too(served: Product) -> None:
    ann, bob = await people(served, 2)
    await bob.done("followUser", userId=ann.id)
    post = await ann.post("not for long")
    cursor = await live_cursor_after(bob)
    await ann.done("deletePost", postId=post)
    await ann.done("deactivateAccount")
    await settled(served)
    async with served.stream(LIVE, {"after": cursor}, bob.access) as stream:
        removed = await event(stream)
    assert (removed["__typename"], removed["item"]["id"]) == ("FeedItemRemoved", f"i_{post[2:]}")
    # No more than of any post that is not there.
    assert removed["item"]["post"] == {"__typename": "PostTombstone", "id": post, "reason": "NOT_FOUND"}


async def test_a_stream_outlives_the_versions_that_it_began_with(served: Product) -> None:
    ann, bob, stranger = await people(served, 3)
    await bob.done("followUser", userId=ann.id)
    post = await stranger.post("worth sharing")
    cursor = await live_cursor_after(bob)
    await ann.post("missed")
    await settled(served)
    # As if what was live at its beginning had been replaced and dropped since.
    dropped = {family.name: 99 for family in families.ALL}
    then = dataclasses.replace(served.services, documents=served.services.documents.pinned(dropped))
    async with aclosing(
        home_stream(then, served.services.access_tokens.verify(bob.access), cursor, as_it_is)
    ) as stream:
        found = [await asyncio.wait_for(anext(stream), 30)]
        await ann.done("repost", postId=post)
        found.append(await asyncio.wait_for(anext(stream), 30))
    assert [added.item.post.post.text for added in found if isinstance(added, Added)] == ["missed", "worth sharing"]


def as_it_is(event: ItemEvent | Lagged) -> ItemEvent | Lagged:
    return event


async def told(stream: Stream) -> tuple[str, str, str | None]:
    """What happened to which item, and who reposted it."""
    got = await event(stream)
    by = (got["item"].get("reason") or {}).get("by", {}).get("handle")
    return got["__typename"], got["item"]["id"], by


async def on_page(person: Person) -> list[str]:
    await settled(person.product)
    return [item["id"] for item in (await person.ask(HOME, first=20))["viewer"]["homeFeed"]["nodes"]]


@pytest.mark.parametrize("before", [False, True], ids=["while it listens", "before it listens"])
async def test_a_repost_of_what_stands_in_the_home_is_not_told(served: Product, before: bool) -> None:
    ann, bea, bob, stranger = await people(served, 4)
    for author in (ann, bea):
        await bob.done("followUser", userId=author.id)
    post, of_ann = await stranger.post("worth sharing"), await ann.post("of Ann's own")
    by_ann, by_bea = (f"i_{person.id[2:]}-{post[2:]}" for person in (ann, bea))
    if before:
        await ann.done("repost", postId=post)
        await settled(served)
    async with served.stream(LIVE, {"after": await live_cursor_after(bob)}, bob.access) as stream:
        if not before:
            await ann.done("repost", postId=post)
            assert await told(stream) == ("FeedItemAdded", by_ann, ann.handle)
        await bea.done("repost", postId=post)
        await bea.done("repost", postId=of_ann)
        await settled(served)
        # Bea's shard may be another than Ann's: what each does is told in its own order alone.
        between = await bea.post("between")
        assert await told(stream) == ("FeedItemAdded", f"i_{between[2:]}", None)
        assert await on_page(bob) == [f"i_{between[2:]}", by_ann, f"i_{of_ann[2:]}"]
        await ann.done("undoRepost", postId=post)
        assert await told(stream) == ("FeedItemRemoved", by_ann, None)
        assert await told(stream) == ("FeedItemAdded", by_bea, bea.handle)
        assert await on_page(bob) == [f"i_{between[2:]}", by_bea, f"i_{of_ann[2:]}"]
        await ann.done("repost", postId=post)
        await settled(served)
        await bea.done("undoRepost", postId=post)
        assert await told(stream) == ("FeedItemRemoved", by_bea, None)
        assert await told(stream) == ("FeedItemAdded", by_ann, ann.handle)
        assert await on_page(bob) == [by_ann, f"i_{between[2:]}", f"i_{of_ann[2:]}"]


async def test_a_repeat_is_not_told_behind_a_repost_that_was_undone(
    served: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = dataclasses.replace(DEFAULT_LIMITS, apart=2, ahead=2)
    monkeypatch.setattr(home, "DEFAULT_LIMITS", limits)
    monkeypatch.setattr(home, "entries_below", partial(entries_below, limits=limits))
    ann, bea, cas, bob, stranger = await people(served, 5)
    for author in (ann, bea, cas):
        await bob.done("followUser", userId=author.id)
    undone, shared = await stranger.post("shared no more"), await stranger.post("worth sharing")
    await cas.done("repost", postId=undone)
    await ann.done("repost", postId=shared)
    cursor = await live_cursor_after(bob)
    await cas.done("undoRepost", postId=undone)
    await settled(served)
    await bea.done("repost", postId=shared)
    # What is newest now is not what lies below the repost.
    above = [f"i_{(await ann.post(f'{number}'))[2:]}" for number in range(3)]
    await settled(served)
    async with served.stream(LIVE, {"after": cursor}, bob.access) as stream:
        heard = [await told(stream) for _ in range(4)]
    assert [item for _, item, _ in heard] == [f"i_{cas.id[2:]}-{undone[2:]}", *above]


async def test_a_live_item_comes_as_a_server_sent_event(served: Product) -> None:
    ann, bob = await people(served, 2)
    await bob.done("followUser", userId=ann.id)
    headers = {"accept": "text/event-stream", **bob.headers}
    body = {"query": LIVE, "variables": {"after": await live_cursor(bob)}}
    async with served.client.stream("POST", "/graphql", json=body, headers=headers) as response:
        lines = response.aiter_lines()
        await ann.post("over HTTP alone")
        async with asyncio.timeout(10):
            found = [line async for line in _until_data(lines)]
    assert "over HTTP alone" in found[-1]


async def _until_data(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line.startswith("data: {"):
            return


async def test_a_stream_that_cannot_keep_up_is_told_how_much_it_missed(served: Product) -> None:
    (bob,) = await people(served, 1)
    viewer = served.services.access_tokens.verify(bob.access)
    stream = home_stream(served.services, viewer, None, as_it_is)
    pending = asyncio.ensure_future(anext(stream))
    try:
        inbox = await _attached(served, f"author:{bob.id[2:]}")
        post = await bob.post("the only one that is there")
        assert (await asyncio.wait_for(pending, 10)).item.post.post.id == post[2:]  # type: ignore[union-attr]
        signal = Signal(kind=SignalKind.ITEM_ADDED, topics=("author:x",), post="x", item="x")
        for position in range(2**50, 2**50 + 503):
            inbox.offer(Delivery(0, position, (signal,), {}))
        lagged = await asyncio.wait_for(anext(stream), 10)
        assert type(lagged).__name__ == "Lagged"
        assert lagged.count == 3  # type: ignore[union-attr]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    finally:
        await stream.aclose()
    assert served.services.live.idle


async def _attached(served: Product, topic: str) -> Inbox:
    """The inbox of who listens to this."""
    topics = served.services.live._topics
    await eventually(lambda: topic in topics)
    return next(iter(topics[topic]))


async def test_nothing_stays_of_a_client_that_is_gone(served: Product) -> None:
    ann, bob = await people(served, 2)
    await bob.done("followUser", userId=ann.id)
    await settled(served)
    before = len(asyncio.all_tasks())
    for goodbye in ("complete", "close", "abort"):
        async with served.stream(LIVE, {}, bob.access) as stream:
            await _attached(served, f"author:{ann.id[2:]}")
            if goodbye == "complete":
                await stream.socket.send('{"type": "complete", "id": "1"}')
                await _idle(served)
            elif goodbye == "abort":
                stream.socket.transport.abort()
        await _idle(served)
    await eventually(lambda: len(asyncio.all_tasks()) <= before)


async def _idle(served: Product) -> None:
    await eventually(lambda: served.services.live.idle)


async def test_a_stream_ends_with_its_session_and_with_its_history(tmp_path: Path) -> None:
    clock = Clock()
    async with product(embedded_settings(tmp_path), now=clock) as served:
        ann = await served.register("ann")
        old = await live_cursor(ann)
        async with served.stream(LIVE, {"after": old}, ann.access) as stream:
            await ann.post("in time")
            assert (await event(stream))["item"]["post"]["text"] == "in time"
            clock.ahead = 601_000_000
            session = await ann.product.ask(
                "mutation S($i: SignInInput!) { signIn(input: $i) { session { accessToken } } }",
                {"i": {"handleOrEmail": "ann", "password": PASSWORD}},
            )
            ann.access = session["data"]["signIn"]["session"]["accessToken"]
            await ann.post("too late")
            assert await stream.next() is None
            assert [error["extensions"]["code"] for error in stream.errors] == ["EXPIRED"]
        await _sweep(served)
        async with served.stream(LIVE, {"after": old}, ann.access) as stream:
            assert await stream.next() is None
            assert [error["extensions"]["code"] for error in stream.errors] == ["CURSOR_TOO_OLD"]
        async with served.stream(LIVE, {"after": await live_cursor(ann)}, ann.access) as stream:
            await ann.post("a new beginning")
            assert (await event(stream))["item"]["post"]["text"] == "a new beginning"


async def _sweep(served: Product) -> None:
    await settled(served)
    for shard in range(served.services.log.identity.shards):
        await sweep_signals(served.services.documents, shard, system_now() + 37 * 3_600_000_000)

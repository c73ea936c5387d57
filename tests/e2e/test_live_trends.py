"""Live trends: a client that holds a page and takes in what comes has what the next page would say, whoever looks and wherever the stream was cut."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from api.live.rankings import Rankings
from api.services import system_now
from domain.errors import UnavailableError
from projections.documents.sqlite import open_sqlite_documents
from projections.trends import FAMILY, MINUTE, Snapshot, TrendKind, TrendWindow, get_snapshot
from tests.edge_kit import eventually
from tests.product_kit import GENEROUS, Clock, Person, Product, Stream, embedded_settings, product, settled
from tests.runtime_kit import Faults, FaultyDocuments
from tests.servers import Addresses
from tests.stack import cluster_stack

TREND = "id subject rank previousRank uses authors startedAt post { id text }"
PAGE = f"""query($kind: TrendKind!, $window: TrendWindow!) {{ trends(kind: $kind, window: $window, first: 100) {{
  liveCursor nodes {{ {TREND} }} }} }}"""
LIVE = f"""subscription($kind: TrendKind!, $window: TrendWindow!, $after: String) {{
  trends(kind: $kind, window: $window, after: $after) {{ __typename
    ... on TrendAdded {{ cursor trend {{ {TREND} }} }} ... on TrendUpdated {{ cursor trend {{ {TREND} }} }}
    ... on TrendRemoved {{ cursor id }} ... on Lagged {{ cursor count }} }} }}"""
TAGS = {"kind": "TAG", "window": "H24"}
POSTS = {"kind": "POST", "window": "H1"}
HOURLY = {"kind": "TAG", "window": "H1"}
TOKENS = {"access_token_life": 86_400}

Ranked = dict[str, Mapping[str, Any]]


class Still(Clock):
    """It stands until it is set, ahead of the log's, so that every use is of a minute that is over."""

    def __init__(self) -> None:
        super().__init__()
        self.began = system_now() + 10 * MINUTE

    def __call__(self) -> int:
        return self.began + self.ahead


class Square:
    """A crowd that makes things trend, and minutes that pass when they are told to."""

    def __init__(self, served: Product, clock: Clock) -> None:
        self.served = served
        self.clock = clock
        self.crowd: list[Person] = []

    async def open(self) -> None:
        # A follower need not wait for a second.
        self.served.services.rankings._look = 0.02
        self.crowd = await self.people(7)

    async def people(self, count: int) -> list[Person]:
        return [await self.served.register(f"passer_{next(_names)}") for _ in range(count)]

    async def speak(self, tag: str, authors: int) -> None:
        for person in self.crowd[:authors]:
            # Nobody waits for what was done before: all of it is awaited together.
            person.token = None
            await person.post(f"#{tag}")

    async def like(self, post: str, likers: int) -> None:
        for person in self.crowd[:likers]:
            person.token = None
            await person.done("likePost", postId=post)

    async def minute(self, count: int = 1) -> None:
        await settled(self.served)
        self.clock.ahead += count * MINUTE

    async def page(self, asked: Mapping[str, str], access: str | None = None) -> tuple[Ranked, str]:
        """What trends, and the cursor behind it."""
        await settled(self.served)
        headers = {} if access is None else {"authorization": f"Bearer {access}"}
        answer = await self.served.ask(PAGE, asked, headers)
        assert "errors" not in answer, answer
        found = answer["data"]["trends"]
        return {node["id"]: node for node in found["nodes"]}, found["liveCursor"]


_names = iter(range(10_000))


async def on_square(served: Product, clock: Clock) -> Square:
    square = Square(served, clock)
    await square.open()
    return square


@pytest.fixture(scope="module")
async def square(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Square]:
    clock = Still()
    async with product(embedded_settings(tmp_path_factory.mktemp("trends"), **TOKENS), now=clock) as served:
        yield await on_square(served, clock)


def followers(served: Product, kind: TrendKind, window: TrendWindow) -> int:
    ranking = served.services.rankings._rankings.get((kind, window))
    return 0 if ranking is None else ranking.users


async def event(stream: Stream) -> dict[str, Any]:
    data = await stream.next()
    assert data is not None, stream.errors
    found: dict[str, Any] = data["trends"]
    return found


def take(state: Ranked, happened: Mapping[str, Any]) -> None:
    """As a client would."""
    if happened["__typename"] == "TrendRemoved":
        state.pop(happened["id"], None)
    else:
        state[happened["trend"]["id"]] = happened["trend"]


async def follow(stream: Stream, state: Ranked, wanted: Ranked) -> Sequence[dict[str, Any]]:
    """The events up to where the client has what is wanted."""
    seen = []
    while state != wanted:
        seen.append(await event(stream))
        take(state, seen[-1])
    return seen


async def refused(square: Square, asked: Mapping[str, Any], access: str | None) -> list[str]:
    async with square.served.stream(LIVE, asked, access) as stream:
        assert await stream.next() is None
    return [error["extensions"]["code"] for error in stream.errors]


async def test_who_follows_has_what_the_next_page_says(square: Square) -> None:
    await square.speak("tea", 5)
    await square.minute()
    state, cursor = await square.page(TAGS)
    async with square.served.stream(LIVE, {**TAGS, "after": cursor}) as stream:
        await square.speak("rain", 6)
        await square.minute()
        wanted, _ = await square.page(TAGS)
        came, *moved = await follow(stream, state, wanted)
        assert (came["__typename"], came["trend"]["subject"]) == ("TrendAdded", "rain")
        assert {one["__typename"] for one in moved} == {"TrendUpdated"}
        assert moved[0]["trend"]["rank"] > came["trend"]["rank"]
        # Nothing is told of minutes in which nothing happens.
        await square.minute(3)
        await square.speak("tea", 7)
        await square.minute()
        wanted, _ = await square.page(TAGS)
        first = (await follow(stream, state, wanted))[0]
        assert (first["__typename"], first["trend"]["subject"], first["trend"]["authors"]) == ("TrendUpdated", "tea", 7)


async def test_a_ranking_that_is_cut_anywhere_is_the_ranking_in_the_end(square: Square) -> None:
    _, cursor = await square.page(TAGS)
    for tag in ("one", "two", "three"):
        await square.speak(tag, 6)
    await square.minute()
    wanted, behind = await square.page(TAGS)
    async with square.served.stream(LIVE, {**TAGS, "after": cursor}) as stream:
        cursors = [cursor, *(one["cursor"] for one in [await event(stream) for _ in range(len(wanted))])]
    assert cursors[-1] == behind
    for start in cursors[:-1]:
        state: Ranked = {}
        async with square.served.stream(LIVE, {**TAGS, "after": start}) as stream:
            while len(state) < len(wanted):
                take(state, await event(stream))
        assert state == wanted


async def test_what_was_folded_after_the_page_is_told_to_who_has_the_page(square: Square) -> None:
    state, cursor = await square.page(TAGS)
    await square.speak("late", 6)
    # The page's minute is over, and is ranked anew.
    wanted, _ = await square.page(TAGS)
    assert wanted.keys() - state.keys() == {"t_TAG_H24_late"}
    async with square.served.stream(LIVE, {**TAGS, "after": cursor}) as stream:
        await follow(stream, state, wanted)


@pytest.mark.slow
async def test_what_fell_out_when_a_minute_was_ranked_anew_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.trends.RANKED", 1)
    clock = Still()
    async with product(embedded_settings(tmp_path), now=clock) as served:
        square = await on_square(served, clock)
        await square.speak("tea", 5)
        _, cursor = await square.page(TAGS)
        await square.speak("late", 7)
        assert [*(await square.page(TAGS))[0]] == ["t_TAG_H24_late"]
        # What has gone cannot be named: the client is to read the page anew.
        assert await refused(square, {**TAGS, "after": cursor}, None) == ["CURSOR_TOO_OLD"]


@pytest.mark.slow
async def test_a_trend_goes_when_it_is_over_and_a_cursor_after_seven_days(tmp_path: Path) -> None:
    clock = Still()
    async with product(embedded_settings(tmp_path), now=clock) as served:
        square = await on_square(served, clock)
        await square.speak("brief", 6)
        await square.minute()
        state, cursor = await square.page(HOURLY)
        async with served.stream(LIVE, {**HOURLY, "after": cursor}) as stream:
            await eventually(lambda: not served.services.rankings.idle)
            await square.minute(35 * 60)
            await follow(stream, state, {})
        assert (await square.page(HOURLY))[0] == {}
        async with served.stream(LIVE, {**HOURLY, "after": cursor}) as stream:
            assert (await event(stream))["__typename"] == "TrendRemoved"
        await square.minute(5 * 24 * 60)
        async with served.stream(LIVE, {**HOURLY, "after": cursor}) as stream:
            assert (await event(stream))["__typename"] == "TrendRemoved"
        await square.minute(2 * 24 * 60)
        assert await refused(square, {**HOURLY, "after": cursor}, None) == ["CURSOR_TOO_OLD"]


async def test_a_trending_post_is_for_those_who_may_see_it(square: Square) -> None:
    ann, bob, eve, mute = await square.people(4)
    post, other = await ann.post("look at this"), await bob.post("and at that")
    await eve.done("blockUser", userId=ann.id)
    await mute.done("muteUser", userId=ann.id)
    await settled(square.served)
    cursors = {one.handle: (await square.page(POSTS, one.access))[1] for one in (bob, eve, mute)}
    async with (
        square.served.stream(LIVE, {**POSTS, "after": cursors[bob.handle]}, bob.access) as open_,
        square.served.stream(LIVE, {**POSTS, "after": cursors[eve.handle]}, eve.access) as blocked,
        square.served.stream(LIVE, {**POSTS, "after": cursors[mute.handle]}, mute.access) as muted,
    ):
        await eventually(lambda: followers(square.served, TrendKind.POST, TrendWindow.H1) == 3)
        await square.like(post, 6)
        await square.like(other, 5)
        await square.minute()
        first, second = await event(open_), await event(open_)
        assert (first["trend"]["post"]["text"], second["trend"]["post"]["text"]) == ("look at this", "and at that")
        assert (first["trend"]["rank"], second["trend"]["rank"]) == (1, 2)
        for stream in (blocked, muted):
            assert (await event(stream))["trend"]["post"]["text"] == "and at that"
        await ann.done("deletePost", postId=post)
        await square.minute()
        gone = await event(open_)
        assert (gone["__typename"], gone["id"]) == ("TrendRemoved", first["trend"]["id"])
    # Who was away is told too, and who never saw it is not.
    async with square.served.stream(LIVE, {**POSTS, "after": second["cursor"]}, bob.access) as stream:
        assert (await event(stream))["id"] == first["trend"]["id"]


@pytest.mark.slow
async def test_a_trend_that_was_hidden_since_is_taken_back_and_one_that_was_for_some_alone_is_not(
    tmp_path: Path,
) -> None:
    clock = Still()
    async with product(embedded_settings(tmp_path), now=clock) as served:
        await _told_of_what_was_hidden(await on_square(served, clock))


async def _told_of_what_was_hidden(square: Square) -> None:
    ann, bea, bob = await square.people(3)
    for person in square.crowd:
        await person.done("followUser", userId=bea.id)
    post, other = await ann.post("for everybody"), await bea.post("for followers", visibility="FOLLOWERS")
    for liked in (post, other):
        await square.like(liked, 6)
    await square.minute()
    state, cursor = await square.page(POSTS, bob.access)
    assert post in [trend["subject"] for trend in state.values()]
    await bob.done("blockUser", userId=ann.id)
    for liked in (post, other):
        await square.like(liked, 7)
    await square.minute()
    wanted, behind = await square.page(POSTS, bob.access)
    async with square.served.stream(LIVE, {**POSTS, "after": cursor}, bob.access) as stream:
        seen = [await event(stream)]
        while seen[-1]["cursor"] != behind:
            seen.append(await event(stream))
    for happened in seen:
        take(state, happened)
    assert state == wanted
    assert not [happened for happened in seen if other in happened.get("id", "")]


async def test_cursors_are_good_for_one_ranking_and_viewer(square: Square) -> None:
    ann, bob = await square.people(2)
    _, own = await square.page(TAGS, ann.access)
    for asked, access in (
        ({**TAGS, "after": own}, bob.access),
        ({**TAGS, "after": own}, None),
        ({**TAGS, "window": "H1", "after": own}, ann.access),
        ({**POSTS, "after": own}, ann.access),
        ({**TAGS, "after": "made up"}, ann.access),
    ):
        assert await refused(square, asked, access) == ["CURSOR_INVALID"], asked


@pytest.mark.slow
async def test_a_ranking_ends_with_its_session(tmp_path: Path) -> None:
    clock = Still()
    async with product(embedded_settings(tmp_path), now=clock) as served:
        square = await on_square(served, clock)
        (ann,) = await square.people(1)
        async with served.stream(LIVE, TAGS, ann.access) as stream:
            await eventually(lambda: not served.services.rankings.idle)
            await square.speak("tea", 5)
            await square.minute(11)
            assert await stream.next() is None
        assert [error["extensions"]["code"] for error in stream.errors] == ["EXPIRED"]


async def test_many_who_follow_one_ranking_read_it_once(square: Square, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    async def counted(*asked: Any) -> Snapshot:
        snapshot = await get_snapshot(*asked)
        read.append(snapshot.at)
        return snapshot

    monkeypatch.setattr("api.live.rankings.get_snapshot", counted)
    streams = [square.served.stream(LIVE, TAGS) for _ in range(20)]
    opened = await asyncio.gather(*(stream.__aenter__() for stream in streams))
    await eventually(lambda: followers(square.served, TrendKind.TAG, TrendWindow.H24) == 20)
    await square.speak("many", 6)
    await square.minute()
    assert {(await event(stream))["trend"]["subject"] for stream in opened} == {"many"}
    assert len(read) == 2
    await asyncio.gather(*(stream.__aexit__(None, None, None) for stream in streams))
    await eventually(lambda: square.served.services.rankings.idle)


async def test_trends_come_as_server_sent_events(square: Square) -> None:
    _, cursor = await square.page(TAGS)
    await square.speak("sent", 6)
    await square.minute()
    body, headers = {"query": LIVE, "variables": {**TAGS, "after": cursor}}, {"accept": "text/event-stream"}
    async with asyncio.timeout(30), square.served.client.stream("POST", "/graphql", json=body, headers=headers) as sent:
        await anext(line async for line in sent.aiter_lines() if '"subject":"sent"' in line)


class Away(Faults):
    def __init__(self) -> None:
        super().__init__()
        self.away = False

    async def before(self, operation: str) -> None:
        await super().before(operation)
        if self.away:
            raise UnavailableError("The documents are away.")


async def test_who_follows_is_told_when_the_ranking_stands_still(tmp_path: Path) -> None:
    clock, store = Still(), Away()
    documents = await open_sqlite_documents(tmp_path / "documents.db")
    await documents.prepare(FAMILY.collections)
    faulty = Rankings(FaultyDocuments(documents, store), clock, look=0.01, patience=0.05)
    try:
        store.away = True
        with pytest.raises(UnavailableError):
            async with faulty.following(TrendKind.TAG, TrendWindow.H1):
                raise AssertionError("nothing could be read")
        assert faulty.idle
        store.away = False
        async with faulty.following(TrendKind.TAG, TrendWindow.H1) as ranking:
            began = ranking.newest.at
            store.away = True
            clock.ahead += MINUTE
            assert await ranking.newer(began) is None
            store.away = False
            newer = await ranking.newer(began)
            assert newer is not None
            assert newer.at == began + MINUTE
    finally:
        await documents.close()


@pytest.mark.slow
async def test_a_stream_says_that_it_lags_when_the_ranking_stands_still(tmp_path: Path) -> None:
    clock, store = Still(), Away()
    async with product(embedded_settings(tmp_path), now=clock) as served:
        of_all = served.services.rankings
        of_all._look, of_all._patience = 0.02, 0.1
        of_all._documents = FaultyDocuments(served.services.documents, store)
        async with served.stream(LIVE, TAGS) as stream:
            await eventually(lambda: not of_all.idle and of_all._rankings.copy().popitem()[1].reading is not None)
            store.away = True
            clock.ahead += MINUTE
            lagged = await event(stream)
            assert (lagged["__typename"], lagged["count"]) == ("Lagged", 0)
            assert await stream.next() is None
            store.away = False
        square = await on_square(served, clock)
        await square.speak("tea", 5)
        await square.minute()
        async with served.stream(LIVE, {**TAGS, "after": lagged["cursor"]}) as stream:
            assert (await event(stream))["trend"]["subject"] == "tea"


async def test_live_trends_on_a_cluster(cassandra_address: str, mongodb_url: str) -> None:
    addresses, clock = Addresses(cassandra_address, mongodb_url), Still()
    async with cluster_stack(addresses) as stack:
        settings = stack.settings.model_copy(update=GENEROUS | TOKENS)
        async with product(settings, now=clock) as served:
            square = await on_square(served, clock)
            await test_who_follows_has_what_the_next_page_says(square)
            await test_a_trending_post_is_for_those_who_may_see_it(square)

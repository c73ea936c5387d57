"""Sessions as their owner sees and ends them: whatever ends one ends its streams at once, and it can not be refreshed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest

from projections.runtime.lag import projection_status
from tests.edge_kit import eventually
from tests.product_kit import GENEROUS, PASSWORD, Person, Product, Stream, embedded_settings, product, settled
from tests.servers import Addresses
from tests.stack import cluster_stack

SESSIONS = "query S($first: Int, $after: String) { viewer { sessions(first: $first, after: $after) { nodes { id createdAt lastUsedAt expiresAt userAgent current } edges { cursor } pageInfo { hasNextPage endCursor } } } }"
LIVE = "subscription { homeFeed { __typename ... on FeedItemAdded { item { post { ... on Post { text } } } } } }"


@pytest.fixture(scope="module", params=["files", pytest.param("cluster", marks=pytest.mark.cluster)])
async def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Product]:
    if request.param == "files":
        async with product(embedded_settings(tmp_path_factory.mktemp("sessions"))) as running:
            yield running
        return
    addresses = Addresses(*map(request.getfixturevalue, ("cassandra_address", "mongodb_url")))
    async with cluster_stack(addresses) as stack, product(stack.settings.model_copy(update=GENEROUS)) as running:
        yield running


_numbers = count()


async def somebody(served: Product) -> Person:
    return await served.register(f"user_{next(_numbers)}")


async def elsewhere(person: Person, password: str = PASSWORD) -> Person:
    """The same person at another place."""
    payload = await person.done(
        "signIn", select="session { accessToken refreshToken }", handleOrEmail=person.handle, password=password
    )
    session = payload["session"]
    return Person(
        person.product, person.handle, person.id, session["accessToken"], session["refreshToken"], person.token
    )


async def sessions(person: Person, **variables: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await person.ask(SESSIONS, **variables))["viewer"]["sessions"]["nodes"]
    return found


@asynccontextmanager
async def streaming(person: Person) -> AsyncIterator[Stream]:
    """A stream that has begun: the guard has looked, and an own post has come through."""
    async with person.product.stream(LIVE, {}, person.access) as stream:
        topics = person.product.services.live._topics
        await eventually(lambda: f"author:{person.id[2:]}" in topics)
        yield stream


async def has_ended(stream: Stream) -> None:
    while await stream.next() is not None:
        pass
    assert [error["extensions"]["code"] for error in stream.errors] == ["UNAUTHENTICATED"]


async def hears(stream: Stream, person: Person) -> None:
    """The stream goes on."""
    text = f"still here {next(_numbers)}"
    await person.post(text)
    while (heard := await stream.next()) is not None:
        if heard["homeFeed"]["item"]["post"]["text"] == text:
            return
    raise AssertionError(stream.errors)


async def cannot_refresh(person: Person) -> None:
    refused = await person.do("refreshSession", refreshToken=person.refresh)
    assert [error["code"] for error in refused["userErrors"]] == ["UNAUTHENTICATED"]


async def refresh(person: Person) -> None:
    payload = await person.done("refreshSession", select="session { refreshToken }", refreshToken=person.refresh)
    person.refresh = payload["session"]["refreshToken"]


async def test_sessions_are_listed_with_where_they_are_from(served: Product) -> None:
    ann = await somebody(served)
    away = await elsewhere(ann)
    found = await sessions(away)
    assert [one["current"] for one in found] == [True, False]
    assert all(one["userAgent"].startswith("python-httpx") for one in found)
    before = found[0]
    await refresh(away)
    after = (await sessions(away))[0]
    assert (after["id"], after["createdAt"]) == (before["id"], before["createdAt"])
    assert after["lastUsedAt"] > before["lastUsedAt"]
    assert after["expiresAt"] > before["expiresAt"]


async def test_sessions_come_in_pages(served: Product) -> None:
    ann = await somebody(served)
    last = [await elsewhere(ann) for _ in range(4)][-1]
    everything = await sessions(last)
    assert len(everything) == 5
    page = (await last.ask(SESSIONS, first=3))["viewer"]["sessions"]
    rest = (await last.ask(SESSIONS, first=3, after=page["pageInfo"]["endCursor"]))["viewer"]["sessions"]
    assert page["nodes"] + rest["nodes"] == everything
    assert (page["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (True, False)


async def test_signing_out_ends_the_streams_of_that_session_alone(served: Product) -> None:
    ann = await somebody(served)
    away = await elsewhere(ann)
    async with streaming(ann) as stays, streaming(away) as goes:
        await away.done("signOut")
        await has_ended(goes)
        await hears(stays, ann)
    await cannot_refresh(away)
    ann.token = away.token
    assert [one["current"] for one in await sessions(ann)] == [True]


async def test_a_session_is_revoked_from_another(served: Product) -> None:
    ann, eve = await somebody(served), await somebody(served)
    away = await elsewhere(ann)
    there = next(one["id"] for one in await sessions(away) if one["current"])
    refused = await eve.do("revokeSession", sessionId=there)
    assert [error["code"] for error in refused["userErrors"]] == ["NOT_FOUND"]
    async with streaming(away) as stream:
        assert (await ann.done("revokeSession", sessionId=there))["changed"]
        await has_ended(stream)
    assert not (await ann.done("revokeSession", sessionId=there))["changed"]
    await cannot_refresh(away)


async def test_a_stream_does_not_begin_in_a_session_that_has_ended(served: Product) -> None:
    ann = await somebody(served)
    away = await elsewhere(ann)
    await away.done("signOut")
    await settled(served)
    async with served.stream(LIVE, {}, away.access) as stream:
        await has_ended(stream)


async def test_all_other_sessions_end_together(served: Product) -> None:
    ann = await somebody(served)
    others = [await elsewhere(ann) for _ in range(3)]
    async with streaming(others[0]) as goes, streaming(ann) as stays:
        ann.token = others[-1].token
        assert (await ann.done("revokeOtherSessions"))["changed"]
        # At once, whether or not a reactor has been there.
        assert [one["current"] for one in await sessions(ann)] == [True]
        for other in others:
            await cannot_refresh(other)
        await has_ended(goes)
        await hears(stays, ann)
    await refresh(ann)
    later = await elsewhere(ann)
    await refresh(later)
    assert len(await sessions(later)) == 2


async def test_a_changed_password_ends_all_other_sessions(served: Product) -> None:
    ann = await somebody(served)
    away = await elsewhere(ann)
    given = {"currentPassword": PASSWORD, "newPassword": "another horse battery"}
    async with streaming(away) as goes, streaming(ann) as stays:
        changed = await ann.done("changePassword", select="account { handle }", **given)
        assert (changed["changed"], changed["account"]) == (True, {"handle": ann.handle})
        await cannot_refresh(away)
        await has_ended(goes)
        await hears(stays, ann)
    await refresh(ann)
    old = await ann.do("signIn", handleOrEmail=ann.handle, password=PASSWORD)
    assert [error["code"] for error in old["userErrors"]] == ["UNAUTHENTICATED"]
    await elsewhere(ann, "another horse battery")
    # Who was thrown out does not change it in turn.
    refused = await away.do("changePassword", currentPassword="another horse battery", newPassword=PASSWORD)
    assert [error["code"] for error in refused["userErrors"]] == ["UNAUTHENTICATED"]


async def test_a_token_that_comes_back_ends_its_sessions_streams(served: Product) -> None:
    ann = await somebody(served)
    stolen = ann.refresh
    await refresh(ann)
    async with streaming(ann) as stream:
        refused = await ann.do("refreshSession", refreshToken=stolen)
        assert [error["code"] for error in refused["userErrors"]] == ["UNAUTHENTICATED"]
        await has_ended(stream)
    await cannot_refresh(ann)


async def test_deleting_the_account_ends_everything(served: Product) -> None:
    ann = await somebody(served)
    away = await elsewhere(ann)
    async with streaming(ann) as here, streaming(away) as there:
        await ann.done("deleteAccount", password=PASSWORD)
        await has_ended(here)
        await has_ended(there)
    for one in (ann, away):
        await cannot_refresh(one)
        refused = await one.do("createPost", text="from beyond")
        assert [error["code"] for error in refused["userErrors"]] == ["UNAUTHENTICATED"]


async def test_nothing_watches_when_nobody_listens(served: Product) -> None:
    ann = await somebody(served)
    async with streaming(ann):
        pass
    await eventually(lambda: served.services.live.idle)
    runtime = served.services.runtime
    assert runtime is not None
    statuses = await projection_status(served.services.log, served.services.documents, runtime.names)
    assert not any(status.dead_letters for status in statuses)

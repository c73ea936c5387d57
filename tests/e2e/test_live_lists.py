"""Live lists beside the home: public posts, hashtags, notifications and a post, each resumed by its cursors and shown by its page's rules."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from projections.signals import PUBLIC_TOPIC
from tests.edge_kit import eventually
from tests.product_kit import GENEROUS, Person, Product, Stream, embedded_settings, product, settled
from tests.servers import Addresses
from tests.stack import cluster_stack

FEED = """__typename
  ... on FeedItemAdded { cursor item { id post { ... on Post { id text } } } }
  ... on FeedItemUpdated { cursor item { id post { ... on Post { id text } } } }
  ... on FeedItemRemoved { cursor item { id post { __typename ... on PostTombstone { reason } ... on Post { text } } } }"""
PUBLIC = f"subscription($after: String) {{ publicFeed(after: $after) {{ {FEED} }} }}"
TAG = f"subscription($name: String!, $after: String) {{ hashtagFeed(name: $name, after: $after) {{ {FEED} }} }}"
NOTES = """subscription($after: String) { notifications(after: $after) { __typename
  ... on NotificationAdded { cursor notification { id type count sampleActors { handle } } }
  ... on NotificationUpdated { cursor notification { id type count sampleActors { handle } } }
  ... on NotificationRemoved { cursor id } } }"""
POST = """subscription($id: ID!, $after: String) { post(id: $id, after: $after) { __typename
  ... on PostUpdated { cursor post { __typename ... on Post { text counts { likes replies } } } }
  ... on ReplyAdded { cursor post { ... on Post { text } } } } }"""

PUBLIC_PAGE = "{ publicFeed(first: 1) { liveCursor } }"
TAG_PAGE = "query($name: String!) { hashtagFeed(name: $name, first: 1) { liveCursor } }"
NOTES_PAGE = "{ viewer { notifications(first: 1) { liveCursor } } }"


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Product]:
    async with product(embedded_settings(tmp_path_factory.mktemp("lists"))) as running:
        yield running


_names = iter(range(10_000))


async def people(served: Product, count: int) -> list[Person]:
    return [await served.register(f"human_{next(_names)}") for _ in range(count)]


async def event(stream: Stream) -> dict[str, Any]:
    data = await stream.next()
    assert data is not None, stream.errors
    (found,) = data.values()
    return dict(found)


async def texts(stream: Stream, upto: str) -> list[str]:
    """The texts of what comes, up to and with ``upto``."""
    found: list[str] = []
    while upto not in found:
        found.append((await event(stream))["item"]["post"]["text"])
    return found


async def cursor_of(person: Person, page: str, **variables: Any) -> str:
    """A live cursor behind everything that anybody has done."""
    await settled(person.product)
    found = await person.ask(page, **variables)
    while "liveCursor" not in found:
        (found,) = found.values()
    return str(found["liveCursor"])


async def guests_cursor(served: Product) -> str:
    """A live cursor behind everything that has been posted."""
    await settled(served)
    return str((await served.ask(PUBLIC_PAGE))["data"]["publicFeed"]["liveCursor"])


async def refused(served: Product, query: str, variables: Mapping[str, Any], access: str | None) -> list[str]:
    async with served.stream(query, variables, access) as stream:
        assert await stream.next() is None
    return [error["extensions"]["code"] for error in stream.errors]


async def resumed(
    served: Product, query: str, variables: Mapping[str, Any], access: str | None, cursor: str, count: int
) -> Sequence[dict[str, Any]]:
    """So many events, two to a stream."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        async with served.stream(query, {**variables, "after": cursor}, access) as stream:
            for _ in range(min(2, count - len(found))):
                found.append(await event(stream))
                cursor = found[-1]["cursor"]
    return found


async def test_the_public_feed_is_told_to_guests_too(served: Product) -> None:
    ann, bob = await people(served, 2)
    first = await ann.post("a beginning")
    async with served.stream(PUBLIC, {"after": await guests_cursor(served)}) as stream:
        reply = await bob.post("an answer", replyTo=first)
        await bob.done("editPost", postId=reply, text="another answer")
        await ann.post("for followers", visibility="FOLLOWERS")
        await ann.post("not listed", visibility="UNLISTED")
        await bob.done("repost", postId=first)
        hidden = await ann.post("deleted unseen", visibility="FOLLOWERS")
        await ann.done("deletePost", postId=hidden)
        shown = await ann.post("to everybody")
        assert await texts(stream, "to everybody") == ["to everybody"]
        await ann.done("editPost", postId=shown, text="to everybody, again")
        updated = await event(stream)
        assert (updated["__typename"], updated["item"]["post"]["text"]) == ("FeedItemUpdated", "to everybody, again")
        await ann.done("deletePost", postId=shown)
        removed = await event(stream)
        assert removed["item"] == {
            "id": updated["item"]["id"],
            "post": {"__typename": "PostTombstone", "reason": "DELETED"},
        }


async def test_what_guests_are_shown_together_a_viewer_is_shown_alone(served: Product) -> None:
    ann, bob = await people(served, 2)
    asked = """subscription($after: String) { publicFeed(after: $after) { ... on FeedItemAdded {
        cursor item { post { ... on Post { text author { viewer { muting } } viewer { liked } } } } } } }"""
    first = await guests_cursor(served)
    await ann.post("missed")
    second = await guests_cursor(served)
    async with (
        served.stream(asked, {"after": first}) as back,
        served.stream(asked, {"after": second}) as near,
        served.stream(PUBLIC, {"after": second}) as other,
        served.stream(asked, {}, bob.access) as viewer,
    ):
        assert (await event(back))["item"]["post"]["text"] == "missed"
        listening = served.services.live._topics
        await eventually(lambda: len(listening.get(PUBLIC_TOPIC, ())) == 4)
        await ann.post("now")
        shown = await event(back)
        assert shown["item"]["post"] == {"text": "now", "author": {"viewer": None}, "viewer": None}
        assert await event(near) == shown
        assert (await event(other))["item"]["post"]["text"] == "now"
        own = (await event(viewer))["item"]["post"]
        assert own == {"text": "now", "author": {"viewer": {"muting": False}}, "viewer": {"liked": False}}
    await ann.post("later")
    (found,) = await resumed(served, PUBLIC, {}, None, shown["cursor"], 1)
    assert found["item"]["post"]["text"] == "later"


async def test_a_public_stream_that_is_cut_has_no_gap_and_nothing_twice(served: Product) -> None:
    ann, bea = await people(served, 2)
    cursor = await cursor_of(ann, PUBLIC_PAGE)

    async def write(author: Person) -> list[str]:
        return [await author.post(f"{author.handle} says {number}") for number in range(7)]

    writing = [asyncio.create_task(write(author)) for author in (ann, bea)]
    seen = [got["item"]["post"]["id"] for got in await resumed(served, PUBLIC, {}, ann.access, cursor, 14)]
    written = [await task for task in writing]
    assert sorted(seen) == sorted(post for own in written for post in own)


async def test_a_hashtag_is_told_of_what_comes_and_what_leaves_it(served: Product) -> None:
    ann, bob, cas = await people(served, 3)
    await bob.done("muteUser", userId=cas.id)
    variables = {"name": "#Tea"}
    cursor = await cursor_of(bob, TAG_PAGE, **variables)
    async with served.stream(TAG, {**variables, "after": cursor}, bob.access) as stream:
        await ann.post("#coffee")
        await cas.post("#tea of somebody who is muted")
        await ann.post("#tea for followers", visibility="FOLLOWERS")
        post = await ann.post("#tea it is")
        assert await texts(stream, "#tea it is") == ["#tea it is"]
        await ann.done("editPost", postId=post, text="rather #coffee")
        left = await event(stream)
        assert left["__typename"] == "FeedItemRemoved"
        assert left["item"]["post"] == {"__typename": "Post", "text": "rather #coffee"}
        await ann.done("editPost", postId=post, text="no, #tea")
        back = await event(stream)
        assert (back["__typename"], back["item"]["post"]["text"]) == ("FeedItemUpdated", "no, #tea")
    again = await resumed(served, TAG, variables, bob.access, cursor, 2)
    # Both are as they are now: the post has come, and what it had left it is in again.
    assert [got["__typename"] for got in again] == ["FeedItemAdded", "FeedItemRemoved"]


async def test_what_comes_is_judged_when_it_is_delivered(served: Product) -> None:
    ann, bob = await people(served, 2)
    cursor = await cursor_of(bob, PUBLIC_PAGE)
    await ann.post("before the block")
    await bob.done("blockUser", userId=ann.id)
    await bob.post("of my own")
    await settled(served)
    async with served.stream(PUBLIC, {"after": cursor}, bob.access) as stream:
        assert await texts(stream, "of my own") == ["of my own"]


async def test_notifications_come_grow_shrink_and_go(served: Product) -> None:
    ann, bob, cas, mute = await people(served, 4)
    post = await ann.post("something to like")
    await ann.done("muteUser", userId=mute.id)
    cursor = await cursor_of(ann, NOTES_PAGE)
    async with served.stream(NOTES, {"after": cursor}, ann.access) as stream:
        await mute.done("likePost", postId=post)
        await ann.done("likePost", postId=post)
        await bob.done("likePost", postId=post)
        added = await event(stream)
        assert added["__typename"] == "NotificationAdded"
        note = added["notification"]
        assert (note["type"], note["count"], note["sampleActors"]) == ("LIKE", 1, [{"handle": bob.handle}])
        await cas.done("likePost", postId=post)
        more = await event(stream)
        assert (more["__typename"], more["notification"]["count"]) == ("NotificationUpdated", 2)
        await bob.done("unlikePost", postId=post)
        less = await event(stream)
        assert less["notification"]["sampleActors"] == [{"handle": cas.handle}]
        await cas.done("unlikePost", postId=post)
        gone = await event(stream)
        assert (gone["__typename"], gone["id"]) == ("NotificationRemoved", note["id"])
        await bob.post(f"@{ann.handle} hello")
        assert (await event(stream))["notification"]["type"] == "MENTION"
        await bob.post("indeed", replyTo=post)
        assert (await event(stream))["notification"]["type"] == "REPLY"
        await bob.done("followUser", userId=ann.id)
        assert (await event(stream))["notification"]["type"] == "FOLLOW"
    kinds = [got["__typename"] for got in await resumed(served, NOTES, {}, ann.access, more["cursor"], 5)]
    assert kinds == ["NotificationRemoved", "NotificationRemoved", *3 * ["NotificationAdded"]]


async def notes_upto(stream: Stream, last: str) -> dict[str, dict[str, Any]]:
    """What is told up to a note of a type, by id: of an edit who took part may be told twice, at either event."""
    found: dict[str, dict[str, Any]] = {}
    while last not in [note["type"] for note in found.values()]:
        got = await event(stream)
        assert got["__typename"] == "NotificationAdded"
        found[got["notification"]["id"]] = got["notification"]
    return found


async def test_posts_that_somebody_asked_to_be_told_of_and_edits_come_live(served: Product) -> None:
    ann, bob, cas = await people(served, 3)
    await bob.done("followUser", userId=ann.id, notify=True)
    cursor = await cursor_of(bob, NOTES_PAGE)
    async with served.stream(NOTES, {"after": cursor}, bob.access) as stream:
        post = await ann.post("of which bob is told")
        (first,) = (await notes_upto(stream, "POST")).values()
        assert first["sampleActors"] == [{"handle": ann.handle}]
        await cas.done("likePost", postId=post)
        await bob.done("repost", postId=post)
        await ann.done("editPost", postId=post, text="otherwise")
        await notes_upto(stream, "POST_EDITED")
        await bob.done("followUser", userId=ann.id, notify=False)
        await ann.post("of which he is not")
        await settled(served)
        await cas.post(f"@{bob.handle} hello")
        await notes_upto(stream, "MENTION")
    async with served.stream(NOTES, {"after": cursor}, bob.access) as stream:
        again = await notes_upto(stream, "MENTION")
    assert [note["type"] for note in again.values()] == ["POST", "POST_EDITED", "MENTION"]
    page = await bob.ask("{ viewer { notifications { nodes { id } } } }")
    assert [node["id"] for node in page["viewer"]["notifications"]["nodes"]] == [*reversed(again)]


async def test_a_post_is_told_of_its_counts_and_the_answers_that_the_viewer_may_see(served: Product) -> None:
    ann, bob = await people(served, 2)
    post = await ann.post("a beginning")
    await settled(served)
    async with served.stream(POST, {"id": post}) as stream:
        await eventually(lambda: f"post:{post[2:]}" in served.services.live._topics)
        await bob.done("likePost", postId=post)
        liked = await event(stream)
        assert liked["post"]["counts"] == {"likes": 1, "replies": 0}
        await bob.post("for followers", replyTo=post, visibility="FOLLOWERS")
        assert (await event(stream))["__typename"] == "PostUpdated"
        await bob.post("for everybody", replyTo=post)
        counted, reply = await event(stream), await event(stream)
        assert counted["post"]["counts"] == {"likes": 1, "replies": 2}
        assert (reply["__typename"], reply["post"]["text"]) == ("ReplyAdded", "for everybody")
    again = await resumed(served, POST, {"id": post}, None, liked["cursor"], 4)
    # What breaks off between an event's two halves gets both again.
    assert [got["__typename"] for got in again] == [*3 * ["PostUpdated"], "ReplyAdded"]
    await ann.done("deletePost", postId=post)
    async with served.stream(POST, {"id": post, "after": reply["cursor"]}) as stream:
        assert (await event(stream))["post"] == {"__typename": "PostTombstone"}


async def test_a_post_that_is_not_for_the_viewer_is_told_of_to_others_alone(served: Product) -> None:
    ann, bob, eve = await people(served, 3)
    await bob.done("followUser", userId=ann.id)
    post = await ann.post("for followers", visibility="FOLLOWERS")
    await settled(served)
    async with (
        served.stream(POST, {"id": post}, bob.access) as seen,
        served.stream(POST, {"id": post}, eve.access) as hidden,
    ):
        topics = served.services.live._topics
        await eventually(lambda: len(topics.get(f"post:{post[2:]}", ())) == 2)
        await bob.done("likePost", postId=post)
        assert (await event(seen))["post"]["counts"]["likes"] == 1
        await eve.done("followUser", userId=ann.id)
        await settled(served)
        await bob.done("unlikePost", postId=post)
        # What was hidden when it came stays so.
        assert (await event(hidden))["post"]["counts"]["likes"] == 0


async def test_a_cursor_is_good_for_its_list_and_viewer_alone(served: Product) -> None:
    ann, bob = await people(served, 2)
    public, tag = await cursor_of(ann, PUBLIC_PAGE), await cursor_of(ann, TAG_PAGE, name="tea")
    notes = await cursor_of(ann, NOTES_PAGE)
    post = await ann.post("one")
    tries: list[tuple[str, dict[str, Any], str | None]] = [
        (PUBLIC, {"after": tag}, ann.access),
        (PUBLIC, {"after": public}, bob.access),
        (PUBLIC, {"after": public}, None),
        (TAG, {"name": "tea", "after": public}, ann.access),
        (TAG, {"name": "coffee", "after": tag}, ann.access),
        (NOTES, {"after": public}, ann.access),
        (NOTES, {"after": notes}, bob.access),
        (POST, {"id": post, "after": public}, ann.access),
        (POST, {"id": post, "after": "made up"}, ann.access),
    ]
    for query, variables, access in tries:
        assert await refused(served, query, variables, access) == ["CURSOR_INVALID"], (query, variables)
    assert await refused(served, NOTES, {}, None) == ["UNAUTHENTICATED"]
    assert await refused(served, TAG, {"name": "no tag"}, None) == ["INVALID"]
    assert await refused(served, POST, {"id": ann.id}, None) == ["NOT_FOUND"]


async def test_the_public_feed_comes_to_a_guest_as_server_sent_events(served: Product) -> None:
    (ann,) = await people(served, 1)
    await settled(served)
    cursor = (await served.ask(PUBLIC_PAGE))["data"]["publicFeed"]["liveCursor"]
    await ann.post("over HTTP alone")
    body = {"query": PUBLIC, "variables": {"after": cursor}}
    async with asyncio.timeout(30):
        async with served.client.stream(
            "POST", "/graphql", json=body, headers={"accept": "text/event-stream"}
        ) as answer:
            found = await anext(line async for line in answer.aiter_lines() if line.startswith("data: {"))
    assert "over HTTP alone" in found


async def test_who_comes_back_for_events_goes_on_behind_the_last(served: Product) -> None:
    (ann,) = await people(served, 1)
    await settled(served)
    cursor = (await served.ask(PUBLIC_PAGE))["data"]["publicFeed"]["liveCursor"]
    asked = {"query": PUBLIC, "variables": msgspec.json.encode({"after": cursor}).decode()}
    headers = {"accept": "text/event-stream"}
    for text in ("the first", "the second", "the third"):
        await ann.post(text)
        await settled(served)
        # As an EventSource does: the same address, and the id of the last event.
        async with (
            asyncio.timeout(30),
            served.client.stream("GET", "/graphql", params=asked, headers=headers) as answer,
        ):
            lines = answer.aiter_lines()
            id_ = await anext(line async for line in lines if line.startswith("id: "))
            data = await anext(line async for line in lines if line.startswith("data: {"))
        assert text in data
        headers["last-event-id"] = id_.removeprefix("id: ")
    headers["last-event-id"] = "made up"
    refusal = await served.client.get("/graphql", params=asked, headers=headers)
    assert "CURSOR_INVALID" in refusal.text
    # Which forgets the id: the next try is behind ``after`` again.
    assert refusal.text.startswith("id:\n")


async def test_live_lists_on_a_cluster(cassandra_address: str, mongodb_url: str) -> None:
    addresses = Addresses(cassandra_address, mongodb_url)
    async with cluster_stack(addresses) as stack, product(stack.settings.model_copy(update=GENEROUS)) as served:
        await test_the_public_feed_is_told_to_guests_too(served)
        await test_a_hashtag_is_told_of_what_comes_and_what_leaves_it(served)
        await test_notifications_come_grow_shrink_and_go(served)
        await test_posts_that_somebody_asked_to_be_told_of_and_edits_come_live(served)
        await test_a_post_is_told_of_its_counts_and_the_answers_that_the_viewer_may_see(served)

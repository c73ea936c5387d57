"""What people are told of: each kind once, in groups, with a marker, and nothing from those whom they do not want to hear."""

from pathlib import Path
from typing import Any

import pytest

from tests.product_kit import GENEROUS, Person, Product, embedded_settings, product
from tests.servers import Addresses
from tests.stack import cluster_stack

LIST = """query N($types: [NotificationType!], $grouped: Boolean!, $first: Int, $after: String) { viewer { unreadCount
  notifications(types: $types, grouped: $grouped, first: $first, after: $after) { pageInfo { hasNextPage endCursor }
    nodes { id type count unread latestAt sampleActors { handle } post { ... on Post { id text } }
      actors(first: 1) { nodes { handle } pageInfo { hasNextPage endCursor } } } } } }"""
MARK = "changed unreadCount userErrors { code } receipt { position }"


async def told(person: Person, **variables: Any) -> list[tuple[str, list[str], int]]:
    """(type, by whom, how many), the latest first."""
    nodes = (await listed(person, **variables))["notifications"]["nodes"]
    return [(one["type"], [actor["handle"] for actor in one["sampleActors"]], one["count"]) for one in nodes]


async def listed(person: Person, **variables: Any) -> dict[str, Any]:
    viewer: dict[str, Any] = (await person.ask(LIST, **({"grouped": True} | variables)))["viewer"]
    return viewer


@pytest.mark.slow
async def test_notifications_embedded(tmp_path: Path) -> None:
    async with product(embedded_settings(tmp_path)) as served:
        await the_story(served)


async def test_notifications_on_a_cluster(cassandra_address: str, mongodb_url: str) -> None:
    addresses = Addresses(cassandra_address, mongodb_url)
    async with cluster_stack(addresses) as stack, product(stack.settings.model_copy(update=GENEROUS)) as served:
        await the_story(served)


def knows(person: Person, *others: Person) -> None:
    """Their next question waits for what the others did."""
    for other in others:
        person.token = other.token


async def the_story(served: Product) -> None:
    ann, bob, cyd = [await served.register(name) for name in ("ann", "bob", "cyd")]
    await they_do_things(ann, bob, cyd)
    await they_take_back(ann, bob, cyd)
    await they_read(ann, bob, cyd)
    await they_edit(ann, bob)
    await they_subscribe(ann, bob)
    await they_do_not_listen(ann, bob, cyd)


async def they_do_things(ann: Person, bob: Person, cyd: Person) -> None:
    post = await ann.post("Hello")
    bob.token = ann.token
    await bob.done("followUser", userId=ann.id)
    await bob.done("likePost", postId=post)
    await bob.post("Hello @ann and @cyd", replyTo=post)
    await bob.post("Look", quote=post)
    await bob.done("repost", postId=post)
    cyd.token = bob.token
    await cyd.done("likePost", postId=post)
    await cyd.post("Hello @ann")
    await ann.done("likePost", postId=post)
    ann.token = cyd.token
    assert sorted(await told(ann)) == [
        ("FOLLOW", ["bob"], 1),
        ("LIKE", ["cyd", "bob"], 2),
        ("MENTION", ["cyd"], 1),
        ("QUOTE", ["bob"], 1),
        ("REPLY", ["bob"], 1),
        ("REPOST", ["bob"], 1),
    ]
    assert await told(cyd) == [("MENTION", ["bob"], 1)]
    await they_are_all_named(ann)
    assert (await told(ann, grouped=False)).count(("LIKE", ["bob"], 1)) == 1
    assert await told(ann, types=["FOLLOW", "REPLY"]) == [("REPLY", ["bob"], 1), ("FOLLOW", ["bob"], 1)]
    pages = []
    after = None
    while True:
        page = (await listed(ann, first=2, after=after))["notifications"]
        pages.append([one["type"] for one in page["nodes"]])
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert [len(page) for page in pages] == [2, 2, 2]


async def they_are_all_named(ann: Person) -> None:
    """Page by page, where ``sampleActors`` has some."""
    likes = (await listed(ann, types=["LIKE"]))["notifications"]["nodes"][0]
    first = likes["actors"]
    assert (first["nodes"], first["pageInfo"]["hasNextPage"]) == ([{"handle": "cyd"}], True)
    rest = "query R($after: String!) { viewer { notifications(types: LIKE) { nodes { actors(after: $after) { nodes { handle } } } } } }"
    more = await ann.ask(rest, after=first["pageInfo"]["endCursor"])
    assert more["viewer"]["notifications"]["nodes"] == [{"actors": {"nodes": [{"handle": "bob"}]}}]
    for one in (await listed(ann, grouped=False))["notifications"]["nodes"]:
        assert (one["actors"]["nodes"], one["actors"]["pageInfo"]["hasNextPage"]) == (one["sampleActors"], False)


async def they_take_back(ann: Person, bob: Person, cyd: Person) -> None:
    post = (await listed(ann, types=["LIKE"]))["notifications"]["nodes"][0]["post"]["id"]
    await cyd.done("unlikePost", postId=post)
    await bob.done("unfollowUser", userId=ann.id)
    knows(ann, cyd)
    assert (await told(ann, types=["LIKE"])) == [("LIKE", ["bob"], 1)]
    knows(ann, bob)
    assert (await told(ann, types=["FOLLOW"])) == []


async def they_read(ann: Person, bob: Person, cyd: Person) -> None:
    before = await listed(ann)
    assert (before["unreadCount"], {one["unread"] for one in before["notifications"]["nodes"]}) == (5, {True})
    seen = before["notifications"]["nodes"][1]["latestAt"]
    payload = await ann.do("markNotificationsRead", upTo=seen, select="unreadCount")
    assert (payload["unreadCount"], payload["changed"]) == (1, True)
    assert (await ann.do("markNotificationsRead", upTo=seen))["changed"] is False
    payload = await ann.do("markNotificationsRead", select="unreadCount")
    assert payload["unreadCount"] == 0
    # A time that is yet to come marks nothing that is yet to come.
    await ann.do("markNotificationsRead", upTo="2999-01-01T00:00:00Z")
    await cyd.post("@ann again")
    ann.token = cyd.token
    assert (await listed(ann))["unreadCount"] == 1


async def they_edit(ann: Person, bob: Person) -> None:
    post = (await listed(ann, types=["REPLY"]))["notifications"]["nodes"][0]["post"]["id"]
    own = await bob.ask(
        "query P($id: ID!) { post(id: $id) { ... on Post { replyTo { ... on Post { id } } } } }", id=post
    )
    await ann.done("editPost", postId=own["post"]["replyTo"]["id"], text="Hello, all of you")
    bob.token = ann.token
    assert await told(bob, types=["POST_EDITED"]) == [("POST_EDITED", ["ann"], 1)]
    fresh = await ann.post("Nobody in it")
    await ann.done("editPost", postId=fresh, text="But @bob")
    bob.token = ann.token
    assert await told(bob, types=["MENTION"]) == [("MENTION", ["ann"], 1)]
    await ann.done("editPost", postId=fresh, text="But @bob, still")
    bob.token = ann.token
    assert await told(bob, types=["MENTION"]) == [("MENTION", ["ann"], 1)]


async def they_subscribe(ann: Person, bob: Person) -> None:
    await bob.done("followUser", userId=ann.id, notify=True)
    ann.token = bob.token
    await ann.post("Worth a bell")
    bob.token = ann.token
    assert await told(bob, types=["POST"]) == [("POST", ["ann"], 1)]
    await bob.done("followUser", userId=ann.id, notify=False)
    await ann.post("Not any more")
    bob.token = ann.token
    assert await told(bob, types=["POST"]) == [("POST", ["ann"], 1)]
    await ann.done("updateProfile", locked=True)
    await bob.done("unfollowUser", userId=ann.id)
    await bob.done("followUser", userId=ann.id)
    ann.token = bob.token
    assert await told(ann, types=["FOLLOW_REQUEST"]) == [("FOLLOW_REQUEST", ["bob"], 1)]
    await ann.done("acceptFollow", userId=bob.id)
    assert await told(ann, types=["FOLLOW_REQUEST"]) == []
    bob.token = ann.token
    assert await told(bob, types=["FOLLOW_ACCEPTED"]) == [("FOLLOW_ACCEPTED", ["ann"], 1)]


async def they_do_not_listen(ann: Person, bob: Person, cyd: Person) -> None:
    post = await ann.post("Liked by many")
    for person in (bob, cyd):
        person.token = ann.token
        await person.done("likePost", postId=post)
        knows(ann, person)
    await ann.done("muteUser", userId=bob.id)
    assert (await told(ann, types=["LIKE"]))[0] == ("LIKE", ["cyd"], 1)
    assert all("bob" not in people for _, people, _ in await told(ann))
    await ann.done("blockUser", userId=cyd.id)
    heard = await told(ann)
    assert all({"bob", "cyd"}.isdisjoint(people) for _, people, _ in heard)
    assert (await listed(ann))["unreadCount"] == 0

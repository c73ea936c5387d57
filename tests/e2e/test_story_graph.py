"""What people are to each other: asking and being let in, blocking, muting, and who knows whom."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from api.schema.scalars import format_time
from tests.product_kit import GENEROUS, Clock, Person, Product, embedded_settings, product, settled
from tests.servers import Addresses
from tests.stack import cluster_stack

MINUTE = 60_000_000
LIMITS = {"follows": 4}
BETWEEN = """user { counts { followers following } viewer { following followedBy requested requestedBy blocking blockedBy muting
  mutedUntil showsReposts notifies } }"""
PERSON = f"query P($id: ID!) {{ {BETWEEN.replace('user', 'user(id: $id)', 1)} }}"
OWN = """query { viewer { blocks { nodes { handle } } mutes { nodes { handle } } followRequests { nodes { handle } }
  user { counts { followers following } } } }"""
PEOPLE = """query W($id: ID!, $first: Int, $after: String) { user(id: $id) {
  followers(first: $first, after: $after) { nodes { handle } pageInfo { hasNextPage endCursor } }
  knownFollowers { nodes { handle } } } }"""
HOME = "query { viewer { homeFeed { nodes { post { ... on Post { text } } reason { __typename } } } } }"
POST = "query P($id: ID!) { post(id: $id) { __typename } }"
NOTHING = {
    "following": False,
    "followedBy": False,
    "requested": False,
    "requestedBy": False,
    "blocking": False,
    "blockedBy": False,
    "muting": False,
    "mutedUntil": None,
    "showsReposts": False,
    "notifies": False,
}


@asynccontextmanager
async def served_on(folder: Path, addresses: Addresses | None, clock: Clock) -> AsyncIterator[Product]:
    if addresses is None:
        async with product(embedded_settings(folder, limits=LIMITS), now=clock) as served:
            yield served
        return
    async with cluster_stack(addresses) as stack:
        settings = stack.settings.model_copy(update=GENEROUS | {"limits": LIMITS})
        async with product(settings, now=clock) as served:
            yield served


@pytest.mark.slow
async def test_people_embedded(tmp_path: Path) -> None:
    clock = Clock()
    async with served_on(tmp_path, None, clock) as served:
        await the_story(served, clock)


async def test_people_on_a_cluster(cassandra_address: str, mongodb_url: str, tmp_path: Path) -> None:
    clock = Clock()
    async with served_on(tmp_path, Addresses(cassandra_address, mongodb_url), clock) as served:
        await the_story(served, clock)


async def the_story(served: Product, clock: Clock) -> None:
    ann, bob, cyd, dan = [await served.register(name) for name in ("ann", "bob", "cyd", "dan")]
    await they_ask(served, ann, bob, cyd)
    await they_know_each_other(served, ann, bob, cyd, dan)
    await they_mute(served, clock, ann, bob)
    await they_part(served, ann, bob)
    await they_follow_enough(served, ann, bob, cyd, dan)


async def between(person: Person, other: Person) -> dict[str, Any]:
    user: dict[str, Any] = (await person.ask(PERSON, id=other.id))["user"]
    return user


async def own(person: Person) -> dict[str, Any]:
    """The viewer's lists as handles, and counts as (followers, following)."""
    viewer = (await person.ask(OWN))["viewer"]
    counts = viewer.pop("user")["counts"]
    lists = {name: [node["handle"] for node in viewer[name]["nodes"]] for name in viewer}
    return lists | {"counts": (counts["followers"], counts["following"])}


async def home(person: Person) -> Sequence[str]:
    return [item["post"]["text"] for item in (await person.ask(HOME))["viewer"]["homeFeed"]["nodes"]]


async def they_ask(served: Product, ann: Person, bob: Person, cyd: Person) -> None:
    """Ann is locked, lets Bob in, turns Cyd down, and takes who has asked again when she unlocks."""
    await ann.done("updateProfile", locked=True)
    asked = await bob.done("followUser", userId=ann.id, reposts=False, notify=True, select=BETWEEN)
    assert asked["user"]["viewer"] == NOTHING | {"requested": True}
    assert asked["user"]["counts"]["followers"] == 0
    await cyd.done("followUser", userId=ann.id)
    await settled(served)
    assert (await own(ann))["followRequests"] == ["cyd", "bob"]
    assert (await between(ann, bob))["viewer"] == NOTHING | {"requestedBy": True}
    accepted = await ann.done("acceptFollow", userId=bob.id, select=BETWEEN)
    assert accepted["user"] == {"counts": {"followers": 0, "following": 1}, "viewer": NOTHING | {"followedBy": True}}
    rejected = await ann.done("rejectFollow", userId=cyd.id, select=BETWEEN)
    assert rejected["user"]["viewer"] == NOTHING
    bob.token = ann.token
    assert (await between(bob, ann))["viewer"] == NOTHING | {"following": True, "notifies": True}
    assert (await own(ann))["followRequests"] == []
    await cyd.done("followUser", userId=ann.id)
    await ann.done("updateProfile", locked=False)
    await settled(served)
    # Twice: what the reactor has appended is to be folded too.
    await settled(served)
    assert (await between(cyd, ann))["viewer"] == NOTHING | {"following": True, "showsReposts": True}
    assert await own(ann) == {"blocks": [], "mutes": [], "followRequests": [], "counts": (2, 0)}


async def they_know_each_other(served: Product, ann: Person, bob: Person, cyd: Person, dan: Person) -> None:
    await dan.done("followUser", userId=bob.id)
    await dan.done("followUser", userId=cyd.id)
    await settled(served)
    found = (await dan.ask(PEOPLE, id=ann.id, first=1))["user"]
    assert [node["handle"] for node in found["followers"]["nodes"]] == ["cyd"]
    assert [node["handle"] for node in found["knownFollowers"]["nodes"]] == ["cyd", "bob"]
    # The cursor survives whoever comes before it.
    await dan.done("followUser", userId=ann.id)
    rest = (await dan.ask(PEOPLE, id=ann.id, first=1, after=found["followers"]["pageInfo"]["endCursor"]))["user"]
    assert [node["handle"] for node in rest["followers"]["nodes"]] == ["bob"]
    assert rest["followers"]["pageInfo"]["hasNextPage"] is False
    removed = await ann.done("removeFollower", userId=dan.id, select=BETWEEN)
    assert removed["user"]["viewer"] == NOTHING
    again = await ann.done("removeFollower", userId=dan.id)
    assert (removed["changed"], again["changed"]) == (True, False)


async def they_mute(served: Product, clock: Clock, ann: Person, bob: Person) -> None:
    await ann.done("followUser", userId=bob.id)
    await bob.post("Hello")
    await settled(served)
    assert await home(ann) == ["Hello"]
    until = format_time(clock() + MINUTE)
    muted = await ann.done("muteUser", userId=bob.id, until=until, select=BETWEEN)
    expected = NOTHING | {"following": True, "followedBy": True, "showsReposts": True}
    assert muted["user"]["viewer"] == expected | {"muting": True, "mutedUntil": until}
    assert await home(ann) == []
    assert (await own(ann))["mutes"] == ["bob"]
    clock.ahead += 2 * MINUTE
    assert await home(ann) == ["Hello"]
    assert (await own(ann))["mutes"] == []
    assert (await between(ann, bob))["viewer"] == expected | {"mutedUntil": until}
    forever = await ann.done("muteUser", userId=bob.id, select=BETWEEN)
    assert forever["user"]["viewer"] == expected | {"muting": True}
    ended = await ann.done("unmuteUser", userId=bob.id, select=BETWEEN)
    assert ended["user"]["viewer"] == expected


async def they_part(served: Product, ann: Person, bob: Person) -> None:
    post = await bob.post("Goodbye")
    blocked = await ann.done("blockUser", userId=bob.id, select=BETWEEN)
    assert blocked["user"]["viewer"] == NOTHING | {"blocking": True}
    assert (await ann.done("blockUser", userId=bob.id))["changed"] is False
    assert (await ann.ask(POST, id=post))["post"] == {"__typename": "PostBlocked"}
    await settled(served)
    await settled(served)
    assert (await between(bob, ann))["viewer"] == NOTHING | {"blockedBy": True}
    assert (await own(ann))["blocks"] == ["bob"]
    # Each follow was taken off once, whoever ended it.
    assert ((await own(ann))["counts"], (await own(bob))["counts"]) == ((1, 0), (1, 0))
    refused = await bob.do("followUser", userId=ann.id)
    assert [error["code"] for error in refused["userErrors"]] == ["BLOCKED"]
    refused = await bob.do("createPost", text="Hm, @ann and @bob")
    assert [(error["code"], error["message"].split()[0]) for error in refused["userErrors"]] == [("BLOCKED", "@ann")]
    unblocked = await ann.done("unblockUser", userId=bob.id, select=BETWEEN)
    assert unblocked["user"]["viewer"] == NOTHING
    assert (await ann.ask(POST, id=post))["post"] == {"__typename": "Post"}
    assert (await own(ann))["blocks"] == []


async def they_follow_enough(served: Product, ann: Person, bob: Person, cyd: Person, dan: Person) -> None:
    """One can follow four here, change how, and unfollow to follow another."""
    eve = await served.register("eve")
    fay = await served.register("fay")
    for other in (bob, cyd, dan, eve):
        await ann.done("followUser", userId=other.id)
    await settled(served)
    refused = await ann.do("followUser", userId=fay.id)
    assert [(error["code"], error["field"]) for error in refused["userErrors"]] == [("LIMIT_REACHED", ["userId"])]
    assert (await ann.done("followUser", userId=bob.id, notify=True))["changed"]
    await ann.done("unfollowUser", userId=bob.id)
    assert (await ann.done("followUser", userId=fay.id))["changed"]

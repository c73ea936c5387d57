"""One story from registering to resuming a live feed, told over HTTP and WebSocket as a client would: embedded, and on a cluster's stores."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.product_kit import GENEROUS, Clock, Person, Product, embedded_settings, product, settled
from tests.servers import Addresses
from tests.stack import cluster_stack

LATER = 120_000_000
"""Microseconds: a ranking is of a minute that has ended, and nobody wants to wait for that."""

ITEMS = """
  id sortAt
  reason { ... on RepostReason { by { handle } } ... on ReplyReason { to { handle } } }
  post { __typename
    ... on Post { id text author { handle } counts { replies reposts likes } viewer { liked reposted canEdit } }
    ... on PostTombstone { id reason } }"""
HOME = f"query Home($first: Int, $after: String) {{ viewer {{ homeFeed(first: $first, after: $after) {{ state liveCursor nodes {{ {ITEMS} }} pageInfo {{ hasNextPage endCursor }} }} }} }}"
LIVE = f"""subscription Live($after: String) {{ homeFeed(after: $after) {{ __typename
  ... on FeedItemAdded {{ cursor item {{ {ITEMS} }} }} ... on FeedItemUpdated {{ cursor item {{ {ITEMS} }} }}
  ... on FeedItemRemoved {{ cursor item {{ {ITEMS} }} }} ... on Lagged {{ cursor count }} }} }}"""
POST = """query Post($id: ID!) { post(id: $id) { __typename
  ... on Post { text editedAt counts { replies } replies { nodes { __typename ... on Post { text replyTo { ... on Post { id } ... on PostTombstone { reason } } root { ... on Post { id } } } } } }
  ... on PostTombstone { reason } } }"""


async def test_the_story_embedded(tmp_path: Path) -> None:
    clock = Clock()
    async with product(embedded_settings(tmp_path), now=clock) as served:
        await the_story(served, clock)


async def test_the_story_on_a_cluster(cassandra_address: str, mongodb_url: str) -> None:
    async with cluster_stack(Addresses(cassandra_address, mongodb_url)) as stack:
        settings, clock = stack.settings.model_copy(update=GENEROUS), Clock()
        async with product(settings, now=clock) as served:
            await the_story(served, clock)


async def the_story(served: Product, clock: Clock) -> None:
    ann, bob = await served.register("ann", displayName="Ann"), await served.register("bob")
    await they_meet(ann, bob)
    post = await they_talk(ann, bob)
    await they_listen(ann, bob, post)
    await they_leave(ann, bob, post)
    await they_trend(served, ann, bob, clock)


async def home(person: Person, **variables: Any) -> dict[str, Any]:
    feed: dict[str, Any] = (await person.ask(HOME, **variables))["viewer"]["homeFeed"]
    return feed


async def they_meet(ann: Person, bob: Person) -> None:
    user = "user { handle displayName counts { followers following } viewer { following followedBy } }"
    followed = await bob.done("followUser", userId=ann.id, select=user)
    assert followed["changed"]
    assert followed["user"] == {
        "handle": "ann",
        "displayName": "Ann",
        "counts": {"followers": 1, "following": 0},
        "viewer": {"following": True, "followedBy": False},
    }
    again = await bob.done("followUser", userId=ann.id, select=user)
    assert (again["changed"], again["user"]["counts"]["followers"]) == (False, 1)
    people = await bob.ask(
        "query P($h: String) { user(handle: $h) { followers { nodes { handle } } } viewer { user { following { nodes { handle } } } } }",
        h="@Ann",
    )
    assert people["user"]["followers"]["nodes"] == [{"handle": "bob"}]
    assert people["viewer"]["user"]["following"]["nodes"] == [{"handle": "ann"}]
    own = (await ann.ask("{ viewer { id } }"))["viewer"]["id"]
    oneself = "query N($id: ID!) { node(id: $id) { ... on Viewer { user { handle } } } nodes(ids: [$id]) { id } }"
    assert await ann.ask(oneself, id=own) == {"node": {"user": {"handle": "ann"}}, "nodes": [{"id": own}]}
    assert await bob.ask(oneself, id=own) == {"node": None, "nodes": [None]}


async def they_talk(ann: Person, bob: Person) -> str:
    """Ann posts, Bob answers, likes and reposts, Ann edits; the id of Ann's post."""
    post = await ann.post("Good morning #Tidings, @bob")
    bob.token = ann.token
    assert [item["post"]["text"] for item in (await home(bob))["nodes"]] == ["Good morning #Tidings, @bob"]
    shown = "post { counts { replies reposts likes } viewer { liked reposted } }"
    reply = await bob.done(
        "createPost", text="Good morning!", replyTo=post, select="post { replyTo { ... on Post { id } } }"
    )
    assert reply["post"]["replyTo"] == {"id": post}
    liked = await bob.done("likePost", postId=post, select=shown)
    assert liked["post"] == {
        "counts": {"replies": 1, "reposts": 0, "likes": 1},
        "viewer": {"liked": True, "reposted": False},
    }
    reposted = await bob.done("repost", postId=post, select=shown)
    assert reposted["post"]["counts"] == {"replies": 1, "reposts": 1, "likes": 1}
    edited = await ann.done("editPost", postId=post, text="Good day #Tidings", select="post { text editedAt }")
    assert (edited["post"]["text"], edited["post"]["editedAt"] is None) == ("Good day #Tidings", False)
    bob.token = ann.token
    told = (await bob.ask(POST, id=post))["post"]
    assert told["replies"]["nodes"] == [
        {"__typename": "Post", "text": "Good morning!", "replyTo": {"id": post}, "root": {"id": post}}
    ]
    # Bob's own reply, and Ann's post, which his repost does not bring in once more.
    nodes = (await home(bob))["nodes"]
    assert [(node["post"]["text"], node["reason"]) for node in nodes] == [
        ("Good morning!", {"to": {"handle": "ann"}}),
        ("Good day #Tidings", None),
    ]
    assert nodes[1]["post"]["viewer"] == {"liked": True, "reposted": True, "canEdit": False}
    return post


async def they_listen(ann: Person, bob: Person, post: str) -> None:
    """From a page to the stream, and from the stream's cursor to the stream again, without a gap."""
    feed = await home(bob)
    between = await ann.post("Between the page and the stream")
    async with listening(bob, feed["liveCursor"]) as stream:
        first = await stream.next()
        assert first is not None
        assert (first["homeFeed"]["__typename"], first["homeFeed"]["item"]["post"]["id"]) == ("FeedItemAdded", between)
        await ann.done("editPost", postId=between, text="While it streams")
        second = await stream.next()
        assert second is not None
        assert second["homeFeed"]["__typename"] == "FeedItemUpdated"
        assert second["homeFeed"]["item"]["post"]["text"] == "While it streams"
    await ann.done("deletePost", postId=between)
    last = await ann.post("While nobody listened")
    async with listening(bob, first["homeFeed"]["cursor"]) as stream:
        # The edit is not told again: what it edited is gone by now.
        missed = [await stream.next() for _ in range(2)]
        assert [event and event["homeFeed"]["__typename"] for event in missed] == ["FeedItemRemoved", "FeedItemAdded"]
        assert missed[0] is not None
        assert missed[1] is not None
        assert missed[0]["homeFeed"]["item"]["post"] == {
            "__typename": "PostTombstone",
            "id": between,
            "reason": "DELETED",
        }
        assert missed[1]["homeFeed"]["item"]["post"]["id"] == last
    await ann.done("deletePost", postId=last)


@asynccontextmanager
async def listening(person: Person, after: str | None) -> AsyncIterator[Any]:
    async with person.product.stream(LIVE, {"after": after}, person.access) as stream:
        yield stream


async def they_leave(ann: Person, bob: Person, post: str) -> None:
    """What is taken back is gone everywhere, and what was answered leaves a tombstone."""
    taken = await bob.done("undoRepost", postId=post, select="post { counts { reposts } viewer { reposted } }")
    assert taken["post"] == {"counts": {"reposts": 0}, "viewer": {"reposted": False}}
    unliked = await bob.done("unlikePost", postId=post, select="post { counts { likes } }")
    assert unliked["post"]["counts"]["likes"] == 0
    gone = await ann.done("deletePost", postId=post, select="post { id reason }")
    assert gone["post"] == {"id": post, "reason": "DELETED"}
    bob.token = ann.token
    assert (await bob.ask(POST, id=post))["post"] == {"__typename": "PostTombstone", "reason": "DELETED"}
    assert [node["post"]["text"] for node in (await home(bob))["nodes"]] == ["Good morning!"]
    unfollowed = await bob.done(
        "unfollowUser", userId=ann.id, select="user { counts { followers } viewer { following } }"
    )
    assert unfollowed["user"] == {"counts": {"followers": 0}, "viewer": {"following": False}}


async def they_trend(served: Product, ann: Person, bob: Person, clock: Clock) -> None:
    crowd = [ann, bob, *[await served.register(f"fan_{name}") for name in ("one", "two", "six")]]
    for number, person in enumerate(crowd):
        await person.post(f"#Weather it is, says {number}")
    # A token is of what one person has seen; the crowd is heard when all is folded.
    await settled(served)
    tagged = "query T($name: String!) { hashtagFeed(name: $name) { nodes { post { ... on Post { text } } } } }"
    answer = await crowd[-1].ask(tagged, name="#weather")
    assert [node["post"]["text"][-1] for node in answer["hashtagFeed"]["nodes"]] == ["4", "3", "2", "1", "0"]
    clock.ahead = LATER
    trends = "{ trends(kind: TAG, window: H1) { nodes { kind subject rank score authors uses window history { authors } } } }"
    found = (await crowd[-1].ask(trends))["trends"]["nodes"]
    assert [trend["subject"] for trend in found] == ["weather"]
    assert (found[0]["rank"], found[0]["authors"], found[0]["uses"]) == (1, 5, 5)
    assert found[0]["score"] == pytest.approx(16, rel=0.05)


async def test_mutations_of_one_request_see_one_another(tmp_path: Path) -> None:
    async with product(embedded_settings(tmp_path)) as served:
        ann, bob = await served.register("ann"), await served.register("bob")
        post = await ann.post("A post")
        counted = "post { counts { likes reposts replies } } receipt { position }"
        query = f"""mutation M($post: ID!) {{
          likePost(input: {{postId: $post}}) {{ {counted} }}
          repost(input: {{postId: $post}}) {{ {counted} }}
          createPost(input: {{text: "An answer", replyTo: $post}}) {{ receipt {{ position }} post {{ replyTo {{ ... on Post {{ counts {{ likes reposts replies }} }} }} }} }}
        }}"""
        answer = await bob.ask(query, post=post)
        counts = [
            answer["likePost"]["post"]["counts"],
            answer["repost"]["post"]["counts"],
            answer["createPost"]["post"]["replyTo"]["counts"],
        ]
        assert counts[0] == {"likes": 1, "reposts": 0, "replies": 0}
        assert counts[1] == {"likes": 1, "reposts": 1, "replies": 0}
        assert counts[2]["likes"] == 1
        bob.token = answer["createPost"]["receipt"]["position"]
        read = await bob.ask(
            "query P($id: ID!) { post(id: $id) { ... on Post { counts { likes reposts } } } }", id=post
        )
        assert read["post"]["counts"] == {"likes": 1, "reposts": 1}

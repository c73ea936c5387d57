"""What people do with posts: quote, show media, edit and look back, delete and restore, keep, like and pin."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.product_kit import GENEROUS, Person, Product, embedded_settings, product
from tests.servers import Addresses
from tests.stack import cluster_stack

MEDIA = {
    "url": "https://pictures.example/a%20cat.jpg",
    "mimeType": "image/jpeg",
    "alt": "A cat on a mat",
    "width": 640,
    "height": 480,
    "blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj",
}
POST = """query P($id: ID!) { post(id: $id) { __typename
  ... on PostTombstone { reason }
  ... on Post { text contentWarning pinned media { url mimeType alt width height duration blurhash }
    counts { replies quotes likes bookmarks } viewer { liked bookmarked canQuote }
    quote { __typename ... on Post { id text quote { ... on Post { id } } } ... on PostTombstone { reason } }
    revisions { revision text contentWarning media { alt } facets { kind target } }
    quotes { nodes { ... on Post { id } } } } } }"""
LISTS = """query { viewer { likes { nodes { post { ... on Post { id } } } } bookmarks { nodes { post { ... on Post { id } } } } } }"""
OF = """query O($handle: String!, $filter: PostsFilter!) { user(handle: $handle) { counts { posts } pinnedPosts { id }
  posts(filter: $filter) { nodes { post { ... on Post { id } } } } } }"""

WHEREVER = """query W {
  viewer { homeFeed { nodes { ...I } } user { posts { nodes { ...I } } } likes { nodes { ...I } } bookmarks { nodes { ...I } } }
  hashtagFeed(name: "kettle") { nodes { ...I } } }
fragment I on FeedItem { id sortAt reason { ... on ReplyReason { to { handle } } } post { ... on Post { id } } }"""


@asynccontextmanager
async def served_on(folder: Path, addresses: Addresses | None) -> AsyncIterator[Product]:
    if addresses is None:
        async with product(embedded_settings(folder)) as served:
            yield served
        return
    async with cluster_stack(addresses) as stack, product(stack.settings.model_copy(update=GENEROUS)) as served:
        yield served


@pytest.mark.slow
async def test_posts_embedded(tmp_path: Path) -> None:
    async with served_on(tmp_path, None) as served:
        await the_story(served)


async def test_posts_on_a_cluster(cassandra_address: str, mongodb_url: str, tmp_path: Path) -> None:
    async with served_on(tmp_path, Addresses(cassandra_address, mongodb_url)) as served:
        await the_story(served)


@pytest.fixture(scope="module")
async def writer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Person]:
    async with product(embedded_settings(tmp_path_factory.mktemp("media")), workers=False) as served:
        yield await served.register("ann")


async def the_story(served: Product) -> None:
    ann, bob = await served.register("ann"), await served.register("bob")
    await they_quote(ann, bob)
    await they_show(ann, bob)
    await they_look_back(ann, bob)
    await they_keep(ann, bob)
    await they_answer(ann, bob)
    await they_pin(ann, bob)


async def seen(person: Person, post: str) -> dict[str, Any]:
    found: dict[str, Any] = (await person.ask(POST, id=post))["post"]
    return found


async def of(person: Person, handle: str, filter_: str = "POSTS") -> dict[str, Any]:
    user: dict[str, Any] = (await person.ask(OF, handle=handle, filter=filter_))["user"]
    return user


def ids(connection: dict[str, Any]) -> list[str]:
    return [node["post"]["id"] for node in connection["nodes"]]


async def they_quote(ann: Person, bob: Person) -> None:
    first = await ann.post("A first one")
    quote = await bob.post("Look at this", quote=first)
    again = await ann.post("And at that", quote=quote)
    bob.token = ann.token
    found = await seen(bob, again)
    assert (found["quote"]["text"], found["quote"]["quote"]) == ("Look at this", {"id": first})
    quoted = await seen(bob, first)
    assert (quoted["counts"]["quotes"], quoted["quotes"]["nodes"]) == (1, [{"id": quote}])
    await ann.done("deletePost", postId=first)
    bob.token = ann.token
    assert (await seen(bob, quote))["quote"] == {"__typename": "PostTombstone", "reason": "DELETED"}
    await ann.done("restorePost", postId=first)
    bob.token = ann.token
    assert (await seen(bob, quote))["quote"]["text"] == "A first one"
    hidden = ""
    for text, visibility, code in (("For some", "FOLLOWERS", "NOT_FOUND"), ("For me", "DIRECT", "NOT_FOUND")):
        hidden = await ann.post(text, visibility=visibility)
        payload = await bob.do("createPost", text="I quote", quote=hidden)
        assert [error["code"] for error in payload["userErrors"]] == [code]
    own = await ann.do("createPost", text="I quote myself", quote=hidden)
    assert [error["code"] for error in own["userErrors"]] == ["FORBIDDEN"]


async def they_show(ann: Person, bob: Person) -> None:
    shown = await ann.post("", media=[MEDIA])
    bob.token = ann.token
    assert (await seen(bob, shown))["media"] == [{**MEDIA, "duration": None}]
    assert ids((await of(bob, "ann", "MEDIA"))["posts"]) == [shown]
    await ann.done("editPost", postId=shown, text="No picture after all", media=[])
    bob.token = ann.token
    assert (await of(bob, "ann", "MEDIA"))["posts"]["nodes"] == []
    payload = await ann.do(
        "createPost", text="", media=[{**MEDIA, "url": "javascript:alert(1)"}, {**MEDIA, "mimeType": "text/html"}]
    )
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [
        ("INVALID", ["media", "0", "url"]),
        ("INVALID", ["media", "1", "mimeType"]),
    ]


async def they_look_back(ann: Person, bob: Person) -> None:
    post = await ann.post("One #first", contentWarning="numbers", media=[MEDIA])
    await ann.done("editPost", postId=post, text="Two", contentWarning="", media=[])
    await ann.done("editPost", postId=post, text="Three")
    bob.token = ann.token
    found = (await seen(bob, post))["revisions"]
    assert [(one["revision"], one["text"], one["contentWarning"]) for one in found] == [
        (3, "Three", None),
        (2, "Two", None),
        (1, "One #first", "numbers"),
    ]
    assert (found[2]["media"], found[2]["facets"]) == (
        [{"alt": "A cat on a mat"}],
        [{"kind": "TAG", "target": "first"}],
    )
    await bob.done("likePost", postId=post)
    ann.token = bob.token
    before = (await of(ann, "ann"))["counts"]
    await ann.done("deletePost", postId=post)
    bob.token = ann.token
    assert await seen(bob, post) == {"__typename": "PostTombstone", "reason": "DELETED"}
    payload = await ann.done("restorePost", postId=post, select="post { text }")
    assert (payload["post"], payload["changed"]) == ({"text": "Three"}, True)
    assert (await ann.done("restorePost", postId=post))["changed"] is False
    bob.token = ann.token
    back = await seen(bob, post)
    assert (back["text"], back["counts"]["likes"], back["viewer"]["liked"]) == ("Three", 1, True)
    assert [one["revision"] for one in back["revisions"]] == [3]
    assert (await of(bob, "ann"))["counts"] == before
    refused = await bob.do("restorePost", postId=post)
    assert [error["code"] for error in refused["userErrors"]] == ["FORBIDDEN"]


async def they_keep(ann: Person, bob: Person) -> None:
    posts = [await ann.post(f"Worth keeping {number}") for number in range(3)]
    bob.token = ann.token
    await bob.done("unlikePost", postId=(await bob.ask(LISTS))["viewer"]["likes"]["nodes"][0]["post"]["id"])
    for post in posts:
        payload = await bob.done(
            "bookmarkPost", postId=post, select="post { viewer { bookmarked } counts { bookmarks } }"
        )
        assert payload["post"] == {"viewer": {"bookmarked": True}, "counts": {"bookmarks": 1}}
        await bob.done("likePost", postId=post)
    assert (await bob.done("bookmarkPost", postId=posts[0]))["changed"] is False
    await ann.done("deletePost", postId=posts[1])
    bob.remember({"receipt": {"position": ann.token}})
    await bob.done("unbookmarkPost", postId=posts[0])
    lists = (await bob.ask(LISTS))["viewer"]
    assert (ids(lists["bookmarks"]), ids(lists["likes"])) == ([posts[2]], [posts[2], posts[0]])
    assert (await seen(bob, posts[0]))["counts"]["bookmarks"] == 0
    ann.token = bob.token
    assert (await ann.ask(LISTS))["viewer"] == {"likes": {"nodes": []}, "bookmarks": {"nodes": []}}


async def they_answer(ann: Person, bob: Person) -> None:
    """An item says the same of itself wherever it stands, for clients keep what they were told by its id."""
    bob.token = ann.token
    answer = await bob.post("Put it on the #kettle", replyTo=await ann.post("Where does it go?"))
    await bob.done("likePost", postId=answer)
    await bob.done("bookmarkPost", postId=answer)
    found = await bob.ask(WHEREVER)
    lists = [found["hashtagFeed"], *(found["viewer"][name] for name in ("homeFeed", "likes", "bookmarks"))]
    lists.append(found["viewer"]["user"]["posts"])
    items = [next(item for item in one["nodes"] if item["post"]["id"] == answer) for one in lists]
    assert [item["reason"] for item in items] == [{"to": {"handle": "ann"}}] * 5
    assert len({item["id"] for item in items}) == len({(item["id"], item["sortAt"]) for item in items}) == 3


async def they_pin(ann: Person, bob: Person) -> None:
    posts = [await ann.post(f"Pinned {number}") for number in range(6)]
    for post in posts[:5]:
        await ann.done("pinPost", postId=post)
    full = await ann.do("pinPost", postId=posts[5])
    assert [error["code"] for error in full["userErrors"]] == ["LIMIT_REACHED"]
    await ann.done("deletePost", postId=posts[0])
    await ann.done("pinPost", postId=posts[5])
    await ann.done("unpinPost", postId=posts[3])
    bob.token = ann.token
    assert [post["id"] for post in (await of(bob, "ann"))["pinnedPosts"]] == [posts[5], posts[4], posts[2], posts[1]]
    assert (await seen(bob, posts[5]))["pinned"] is True
    refused = await bob.do("pinPost", postId=posts[5])
    assert [error["code"] for error in refused["userErrors"]] == ["FORBIDDEN"]


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"url": "http://pictures.example/a.jpg"}, "INVALID", "url"),
        ({"url": "https://user:secret@pictures.example/a.jpg"}, "INVALID", "url"),
        ({"url": "https://pictures.example/a b.jpg"}, "INVALID", "url"),
        ({"url": "https:///a.jpg"}, "INVALID", "url"),
        ({"url": 'https://pictures.example/a.jpg"onerror="alert(1)'}, "INVALID", "url"),
        ({"url": "https://pictures.example/<script>"}, "INVALID", "url"),
        ({"url": "https://pictures.example/" + "a" * 2_048}, "INVALID", "url"),
        ({"url": "data:image/png;base64,AAAA"}, "INVALID", "url"),
        ({"mimeType": "text/html"}, "INVALID", "mimeType"),
        ({"alt": "a" * 1_501}, "TOO_LONG", "alt"),
        ({"alt": "é" * 10_000}, "TOO_LONG", "alt"),
        ({"alt": "a\x00b"}, "INVALID", "alt"),
        ({"width": -1}, "INVALID", "width"),
        ({"duration": 2_000_000_000}, "INVALID", "duration"),
        ({"blurhash": "no blurhash"}, "INVALID", "blurhash"),
    ],
)
async def test_bad_media_are_refused(writer: Person, given: dict[str, Any], code: str, field: str) -> None:
    payload = await writer.do("createPost", text="x", media=[MEDIA, MEDIA | given])
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [(code, ["media", "1", field])]


async def test_too_many_media_are_refused(writer: Person) -> None:
    payload = await writer.do("createPost", text="x", media=[MEDIA] * 5)
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [("TOO_MANY", ["media"])]

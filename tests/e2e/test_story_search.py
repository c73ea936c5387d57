"""Finding posts, people and hashtags, as far as the viewer may see them."""

from pathlib import Path
from typing import Any

import pytest

from tests.product_kit import GENEROUS, Person, Product, embedded_settings, product
from tests.servers import Addresses
from tests.stack import cluster_stack

SEARCH = """query S($query: String!, $type: SearchType!) { search(query: $query, type: $type) { nodes { __typename
  ... on Post { text } ... on User { handle } ... on Hashtag { name } } } }"""
TYPEAHEAD = (
    """query T($query: String!) { typeahead(query: $query) { ... on User { handle } ... on Hashtag { name } } }"""
)
THREAD = """query T($id: ID!) { thread(postId: $id) { anchor { ... on Post { text } ... on PostTombstone { reason } }
  ancestors { ... on Post { text } ... on PostTombstone { reason } } moreReplies
  replies { depth moreReplies post { ... on Post { text } ... on PostTombstone { reason } ... on PostBlocked { id } } } } }"""
PUBLIC = "query { publicFeed { nodes { post { ... on Post { text } } } } }"


async def found(person: Person, query: str, type_: str = "POST") -> list[str]:
    nodes = (await person.ask(SEARCH, query=query, type=type_))["search"]["nodes"]
    return [str(node.get("text") or node.get("handle") or node.get("name")) for node in nodes]


@pytest.mark.slow
async def test_search_embedded(tmp_path: Path) -> None:
    async with product(embedded_settings(tmp_path)) as served:
        await the_story(served)


async def test_search_on_a_cluster(cassandra_address: str, mongodb_url: str) -> None:
    addresses = Addresses(cassandra_address, mongodb_url)
    async with cluster_stack(addresses) as stack, product(stack.settings.model_copy(update=GENEROUS)) as served:
        await the_story(served)


async def the_story(served: Product) -> None:
    ann = await served.register("ann", displayName="Ann Ångström")
    bob = await served.register("bobby", displayName="Bob")
    await they_search(ann, bob)
    await they_follow_a_thread(ann, bob)
    await they_are_told_what_is_wrong(ann)


async def they_search(ann: Person, bob: Person) -> None:
    await ann.post("The cat sat on the mat #cats", language="en")
    cafe = await ann.post("Un café pour le CAT, s'il vous plaît", language="fr-CA")
    await ann.post("東京都に行きます")
    await ann.post("A secret cat", visibility="DIRECT")
    bob.token = ann.token
    assert await found(bob, "cat") == ["Un café pour le CAT, s'il vous plaît", "The cat sat on the mat #cats"]
    assert await found(bob, "CAFE cat") == ["Un café pour le CAT, s'il vous plaît"]
    assert await found(bob, "cat language:en") == ["The cat sat on the mat #cats"]
    assert await found(bob, "cat tag:cats from:@ann") == ["The cat sat on the mat #cats"]
    assert await found(bob, "東京") == ["東京都に行きます"]
    assert await found(ann, "secret") == ["A secret cat"]
    assert await found(bob, "secret") == await found(bob, "dog") == await found(bob, "from:nobody cat") == []
    await ann.done("editPost", postId=cafe, text="Un thé")
    bob.token = ann.token
    assert (await found(bob, "cafe"), await found(bob, "the")) == ([], ["Un thé", "The cat sat on the mat #cats"])
    assert await found(bob, "angs", "USER") == await found(bob, "@AN", "USER") == ["ann"]
    assert await found(bob, "#ca", "TAG") == ["cats"]
    assert (await bob.ask(TYPEAHEAD, query="b"))["typeahead"] == [{"handle": "bobby"}]
    assert (await bob.ask(TYPEAHEAD, query="#c"))["typeahead"] == [{"name": "cats"}]
    assert (await bob.ask(TYPEAHEAD, query=" "))["typeahead"] == []
    await ann.done("blockUser", userId=bob.id)
    bob.token = ann.token
    assert (await found(bob, "cat"), await found(bob, "ann", "USER")) == ([], [])
    await ann.done("unblockUser", userId=bob.id)
    bob.token = ann.token


async def they_read_on(bob: Person, root: str, answer: str) -> None:
    """The replies that a thread leaves out, from where it ends."""
    later = await bob.post("A later answer", replyTo=root)
    one = "query O($id: ID!, $sort: ThreadSort!) { thread(postId: $id, branching: 1, sort: $sort) { repliesCursor moreReplies } }"
    rest = "query R($id: ID!, $after: String, $last: Int, $before: String) { post(id: $id) { ... on Post { replies(after: $after, last: $last, before: $before) { nodes { ... on Post { id } } } } } }"
    for sort, given, left in (("OLDEST", {"after": ""}, later), ("NEWEST", {"last": 5, "before": ""}, answer)):
        thread = (await bob.ask(one, id=root, sort=sort))["thread"]
        window = {name: value or thread["repliesCursor"] for name, value in given.items()}
        assert (await bob.ask(rest, id=root, **window))["post"]["replies"]["nodes"] == [{"id": left}]
        assert thread["moreReplies"] == 1
    await bob.done("deletePost", postId=later)


async def they_follow_a_thread(ann: Person, bob: Person) -> None:
    root = await ann.post("The root")
    bob.token = ann.token
    answer = await bob.post("An answer", replyTo=root)
    ann.token = bob.token
    below = await ann.post("Below", replyTo=answer)
    bob.token = ann.token
    thread = (await bob.ask(THREAD, id=root))["thread"]
    assert [(reply["depth"], reply["post"]["text"]) for reply in thread["replies"]] == [(1, "An answer"), (2, "Below")]
    assert [post["text"] for post in (await bob.ask(THREAD, id=below))["thread"]["ancestors"]] == [
        "The root",
        "An answer",
    ]
    await they_read_on(bob, root, answer)
    await bob.done("deletePost", postId=answer)
    thread = (await bob.ask(THREAD, id=root))["thread"]
    assert [reply["post"] for reply in thread["replies"]] == [{"reason": "DELETED"}, {"text": "Below"}]
    assert (await bob.ask(THREAD, id="p_" + "a" * 26))["thread"] is None
    feed = [node["post"]["text"] for node in (await bob.ask(PUBLIC))["publicFeed"]["nodes"]]
    assert feed[0] == "The root"
    assert {"Below", "A secret cat"}.isdisjoint(feed)


async def they_are_told_what_is_wrong(ann: Person) -> None:
    for query, code in (
        ("", "INVALID"),
        ("language:en", "INVALID"),
        ("cat before:yesterday", "INVALID"),
        (" ".join(f"w{number}" for number in range(21)), "INVALID"),
        ("é" * 251, "TOO_LONG"),
    ):
        assert await refused(ann, SEARCH, query=query, type="POST") == code
    assert await refused(ann, SEARCH, query="@", type="USER") == "INVALID"
    thread = "query T($id: ID!, $depth: Int!) { thread(postId: $id, depth: $depth) { moreReplies } }"
    assert await refused(ann, thread, id="p_" + "a" * 26, depth=21) == "INVALID"


async def refused(person: Person, query: str, /, **variables: Any) -> str:
    answer = await person.product.ask(query, variables, person.headers)
    return str(answer["errors"][0]["extensions"]["code"])

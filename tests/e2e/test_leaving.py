"""Leaving for a while and for good, as clients see it: on files, and on a cluster's stores."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from api.secrets import load_secrets
from api.stores import open_verifier
from domain.log.findings import Report
from projections import families
from projections.documents.port import Collection, Documents, Fidelity
from projections.documents.sqlite import open_sqlite_documents
from projections.runtime import COLLECTIONS
from projections.runtime.comparing import compare
from projections.runtime.replay import checkpoints_of, replay
from tests.product_kit import GENEROUS, PASSWORD, Clock, Person, Product, embedded_settings, product, settled
from tests.servers import Addresses
from tests.stack import cluster_stack

pytestmark = pytest.mark.slow

DAY = 86_400_000_000
MARK = "zanzibar"
"""Stands in everything that Ann types and in nothing else."""
TAG = "spice"
"""Of her posts; hashtags are not sealed."""
POST = """__typename ... on Post { id text author { id handle displayName }
  counts { replies reposts quotes likes bookmarks } } ... on PostTombstone { id reason }"""
SEEN = f"""query Seen($ann: ID!, $handle: String!, $post: ID!, $own: ID!) {{
  user(id: $ann) {{ handle displayName bio avatar banner fields {{ name value }} counts {{ followers following posts }}
    posts {{ nodes {{ post {{ {POST} }} }} }} followers {{ nodes {{ handle }} }} following {{ nodes {{ handle }} }} }}
  named: user(handle: $handle) {{ id }}
  node(id: $ann) {{ id }}
  post(id: $post) {{ {POST} }}
  own: post(id: $own) {{ {POST} ... on Post {{ replies {{ nodes {{ {POST} }} }} }} }}
  hashtagFeed(name: "{TAG}") {{ nodes {{ post {{ {POST} }} }} }}
  viewer {{ user {{ counts {{ followers following posts }} followers {{ nodes {{ handle }} }} following {{ nodes {{ handle }} }} }}
    homeFeed {{ nodes {{ id post {{ {POST} }} }} }} likes {{ nodes {{ post {{ {POST} }} }} }} }}
}}"""


@pytest.fixture(params=["files", pytest.param("cluster", marks=[pytest.mark.cluster, pytest.mark.slow])])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator["World"]:
    clock = Clock()
    if request.param == "files":
        async with product(embedded_settings(tmp_path / "live"), now=clock) as served:
            yield await inhabited(served, clock)
        return
    addresses = Addresses(*map(request.getfixturevalue, ("cassandra_address", "mongodb_url")))
    async with cluster_stack(addresses) as stack:
        settings = stack.settings.model_copy(update=GENEROUS)
        async with product(settings, now=clock) as served:
            yield await inhabited(served, clock)


class World:
    """Ann, who will leave, and Bob and Cyd, who have to do with her. ``post`` is Ann's, ``own`` Bob's."""

    def __init__(self, served: Product, clock: Clock, ann: Person, bob: Person, cyd: Person) -> None:
        self.served, self.clock = served, clock
        self.ann, self.bob, self.cyd = ann, bob, cyd
        self.post = self.own = ""

    async def seen(self, viewer: Person) -> dict[str, Any]:
        await settled(self.served)
        variables = {"ann": self.ann.id, "handle": self.ann.handle, "post": self.post, "own": self.own}
        return await viewer.ask(SEEN, **variables)


async def inhabited(served: Product, clock: Clock) -> World:
    """Waits for the folds now and then: on a slow machine an answer may not wait for what was done long before."""
    ann, bob, cyd = [await served.register(name) for name in ("ann", "bob", "cyd")]
    world = World(served, clock, ann, bob, cyd)
    await ann.done("changeHandle", handle=f"ann_{MARK}")
    ann.handle = f"ann_{MARK}"
    await ann.done(
        "updateProfile",
        displayName=f"Ann {MARK}",
        bio=f"I like {MARK} #{TAG} and @bob, see https://{MARK}.example",
        fields=[{"name": f"{MARK}", "value": f"always {MARK}"}],
        avatar=f"https://{MARK}.example/me.png",
        banner=f"https://{MARK}.example/all.png",
    )
    for one, other in ((ann, bob), (bob, ann), (cyd, ann), (ann, cyd)):
        await one.done("followUser", userId=other.id)
    await settled(served)
    world.post = await ann.post(f"First {MARK} #{TAG}, dear @bob", contentWarning=f"about {MARK}")
    world.own = await bob.post("What Bob says")
    await ann.done("editPost", postId=world.post, text=f"Second {MARK} #{TAG}, dear @bob")
    await settled(served)
    await ann.done("pinPost", postId=world.post)
    answer = await ann.post(f"An answer from {MARK}", replyTo=world.own)
    await settled(served)
    await ann.post(f"Look: {MARK}", quote=world.own)
    await ann.post(f"For followers: {MARK}", visibility="FOLLOWERS")
    await ann.post(f"For bob: @bob {MARK}", visibility="DIRECT")
    await settled(served)
    await ann.done("deletePost", postId=await ann.post(f"Never mind {MARK}"))
    await settled(served)
    for mutation in ("likePost", "repost", "bookmarkPost"):
        await ann.done(mutation, postId=world.own)
        await bob.done(mutation, postId=world.post)
    await settled(served)
    await bob.post("An answer to Ann", replyTo=answer)
    await settled(served)
    dan = await served.register("dan")
    await ann.done("muteUser", userId=dan.id)
    await ann.done("blockUser", userId=(await served.register("eve")).id)
    await dan.done("updateProfile", locked=True)
    await ann.done("followUser", userId=dan.id)
    await settled(served)
    return world


def says_nothing_of(answer: Mapping[str, Any], ann: Person) -> None:
    told = json.dumps(answer)
    assert MARK not in told
    assert ann.id not in told


async def test_who_leaves_for_a_while_comes_back_as_they_were(world: World) -> None:
    ann, bob = world.ann, world.bob
    before = {person.handle: await world.seen(person) for person in (ann, bob, world.cyd)}
    gone = await ann.done("deactivateAccount", select="account { handle state }")
    assert gone["account"] == {"handle": ann.handle, "state": "DEACTIVATED"}
    assert not (await ann.done("deactivateAccount"))["changed"]
    hidden = await world.seen(bob)
    says_nothing_of(hidden, ann)
    assert (hidden["user"], hidden["named"], hidden["node"]) == (None, None, None)
    assert hidden["viewer"]["user"]["followers"]["nodes"] == []
    # Nobody gets the handle meanwhile, and nobody can do anything with her.
    assert not (await bob.ask("query A($h: String!) { handleAvailable(handle: $h) }", h=ann.handle))["handleAvailable"]
    for mutation, given in (
        ("likePost", {"postId": world.post}),
        ("createPost", {"text": "Hello?", "replyTo": world.post}),
    ):
        refused = await bob.do(mutation, **given)
        assert [error["code"] for error in refused["userErrors"]] == ["NOT_FOUND"]
    refused = await ann.do("createPost", text="I am still here")
    assert [error["code"] for error in refused["userErrors"]] == ["FORBIDDEN"]
    back = await ann.done(
        "signIn",
        handleOrEmail=ann.handle,
        password=PASSWORD,
        select="account { state } session { accessToken }",
    )
    assert back["account"] == {"state": "DEACTIVATED"}
    ann.access = back["session"]["accessToken"]
    again = await ann.done("reactivateAccount", select="account { handle state }")
    assert again["account"] == {"handle": ann.handle, "state": "ACTIVE"}
    assert not (await ann.done("reactivateAccount"))["changed"]
    assert {person.handle: await world.seen(person) for person in (ann, bob, world.cyd)} == before


async def test_who_leaves_for_good_is_gone_and_forgotten(world: World, tmp_path: Path) -> None:
    ann, bob = world.ann, world.bob
    refused = await ann.do("deleteAccount", password="not the password")
    assert [(error["code"], error["field"]) for error in refused["userErrors"]] == [("UNAUTHENTICATED", ["password"])]
    deleted = await ann.done("deleteAccount", password=PASSWORD)
    assert deleted["changed"]
    assert not (await ann.done("deleteAccount", password=PASSWORD))["changed"]
    bob.token = ann.token
    gone = await bob.ask("query G($ann: ID!) { user(id: $ann) { id } }", ann=ann.id)
    assert gone == {"user": None}
    seen = await world.seen(bob)
    says_nothing_of(seen, ann)
    assert seen["own"]["counts"] == {"replies": 0, "reposts": 0, "quotes": 0, "likes": 0, "bookmarks": 0}
    assert seen["viewer"]["user"]["counts"] == {"followers": 0, "following": 0, "posts": 2}
    assert (await world.seen(world.cyd))["viewer"]["user"]["counts"] == {"followers": 0, "following": 0, "posts": 0}
    await nothing_is_kept(world)
    await replays_alike(world.served, tmp_path)
    await names_are_free_again(world)


async def nothing_is_kept(world: World) -> None:
    """Neither documents nor the log hold what Ann typed, and the log is whole."""
    services = world.served.services
    for family in families.ALL:
        for collection in family.collections:
            for id_, fields in (await everything(services.documents, collection)).items():
                assert MARK not in json.dumps(fields), (family.name, collection.name, id_)
    opened = 0
    for shard in range(services.log.identity.shards):
        head, after = await services.log.head(shard), 0
        while after < head:
            events = await services.log.read(shard, after, 500)
            for recorded in events:
                private = getattr(recorded.event, "private", None)
                opened += private is not None
                assert MARK not in str(msgspec.to_builtins(private)), recorded
            after = events[-1].sequence
    assert opened
    verifier = await open_verifier(services.settings, load_secrets(services.settings))
    try:
        report = Report()
        await verifier.verify(report)
        assert report.clean, report.findings
    finally:
        await verifier.close()


async def everything(documents: Documents, collection: Collection) -> dict[str, Any]:
    found: dict[str, Any] = {}
    after: str | None = None
    while page := await documents.scan(collection, after=after, limit=500):
        found |= {row.id: row.fields for row in page}
        after = page[-1].id
    return found


@asynccontextmanager
async def empty_documents(path: Path) -> AsyncIterator[Documents]:
    documents = await open_sqlite_documents(path)
    try:
        await documents.prepare([*COLLECTIONS, *(c for family in families.ALL for c in family.collections)])
        yield documents
    finally:
        await documents.close()


async def replays_alike(served: Product, folder: Path) -> None:
    """What was purged as it happened is what a replay never sees, in every family."""
    live = served.services.documents
    # Nothing was swept yet: what is equal above a horizon is equal throughout.
    compared = [
        replace(collection, fidelity=Fidelity.EXACT)
        for family in families.ALL
        for collection in family.collections
        if collection.fidelity is not Fidelity.CACHE
    ]
    async with empty_documents(folder / "replayed.db") as replayed:
        await replay(served.services.log, replayed, families.ALL, await checkpoints_of(live, families.ALL))
        assert [difference async for difference in compare(live, replayed, compared)] == []


async def names_are_free_again(world: World) -> None:
    """The address at once, the handle when it has rested."""
    ann, served = world.ann, world.served
    for name in (ann.handle, "ann@example.org"):
        refused = await world.bob.do("signIn", handleOrEmail=name, password=PASSWORD)
        assert [error["code"] for error in refused["userErrors"]] == ["UNAUTHENTICATED"]
    again = await served.register("ann_again", email="ann@example.org")
    assert again.id != ann.id
    given = {"handle": ann.handle, "email": "other@example.org", "password": PASSWORD}
    refused = await world.bob.do("registerAccount", **given)
    assert [(error["code"], error["field"]) for error in refused["userErrors"]] == [("DUPLICATE", ["handle"])]
    available = "query A($h: String!) { handleAvailable(handle: $h) }"
    assert not (await world.bob.ask(available, h=ann.handle))["handleAvailable"]
    world.clock.ahead = 30 * DAY
    assert (await served.ask(available, {"h": ann.handle}))["data"]["handleAvailable"]
    newcomer = await served.register(ann.handle, email="other@example.org")
    assert newcomer.id not in (ann.id, again.id)

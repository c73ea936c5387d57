"""kill -9 in the middle: what is acknowledged stays, what was under way is finished by a repeat, and every document is what the log says."""

import asyncio
import itertools
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from api.services import Services, open_services
from api.stores import COLLECTIONS_OF_ALL
from domain.envelope import split_sequence
from projections.documents.port import Collection, Documents, Fidelity, Value
from projections.documents.sqlite import open_sqlite_documents
from projections.families import ALL
from projections.feeds import AUTHOR_FEED, EDGES
from projections.homefeed import home_page
from projections.notes import GROUPS
from projections.paging import Window
from projections.runtime.comparing import compare
from projections.runtime.replay import checkpoints_of, replay
from projections.timelines import DEFAULT_LIMITS, TIMELINES, build
from projections.trends import MINUTE, USES, TrendKind, TrendWindow, build_snapshot, get_snapshot
from tests.servers import Addresses
from tests.stack import Stack, cluster_stack, embedded_stack

SIZES = ("--accounts", "300", "--posts", "1500", "--likes", "4000", "--reposts", "600")
EVENTS = 300 * 4 + 4_092 + 1_500 + 4_000 + 600
"""Fewer than this are in the log of the whole world: only a scale for when to kill."""
WATCHED = 40
"""People whose timelines stand while the rest of the world is loaded."""

MakeStack = Callable[[str], AbstractAsyncContextManager[Stack]]

TIMES = {"createdAt", "sortAt", "editedAt", "key", "followedAt", "likedAt", "repostedAt", "at", "hour"}
TIMES |= {"heldAt", "since", "lastUsedAt", "expiresAt", "group", "wanted", "position", "opened"}
"""Fields that tell when, or at which position, in which two runs of one world differ."""


@pytest.fixture(params=["embedded", pytest.param("cluster", marks=pytest.mark.cluster)])
def make_stack(request: pytest.FixtureRequest, tmp_path: Path) -> MakeStack:
    if request.param == "embedded":
        return lambda name: embedded_stack(tmp_path / name)
    addresses = Addresses(request.getfixturevalue("cassandra_address"), request.getfixturevalue("mongodb_url"))
    return lambda _: cluster_stack(addresses)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_world_that_was_killed_three_times_is_the_world(make_stack: MakeStack, tmp_path: Path) -> None:
    async with make_stack("killed") as killed:
        await _load_with_kills(killed)
        async with open_services(killed.settings) as services:
            await _documents_are_the_log(services, tmp_path / "replayed.db")
            await _caches_answer_by_definition(services)
            found = await _world(services.documents)
    async with make_stack("whole") as whole:
        server = await whole.serve()
        await whole.run("seed", *SIZES)
        async with open_services(whole.settings) as services:
            await _projected(services)
            assert found == await _world(services.documents)
        assert server.returncode is None


async def _load_with_kills(stack: Stack) -> None:
    server = await stack.serve()
    seeder = await stack.start("seed", *SIZES)
    async with open_services(stack.settings) as services:
        # The server dies, and the seeder goes on without it.
        await _events(services, EVENTS // 4)
        server.kill()
        await server.wait()
        # Timelines are to stand before most of what they show happens: the seeder waits for them.
        seeder.send_signal(signal.SIGSTOP)
        server = await stack.serve()
        await _build_timelines(services)
        seeder.send_signal(signal.SIGCONT)
        # The seeder dies in the middle of its posts, with the server beside it.
        await _events(services, EVENTS // 2)
        assert seeder.returncode is None, "the seeder was done before it could be killed"
        seeder.kill()
        server.kill()
        await asyncio.gather(seeder.wait(), server.wait())
        # Folding is cut off in the middle too.
        server = await stack.serve()
        await stack.run("seed", *SIZES)
        server.kill()
        await server.wait()
        before = await _heads(services)
        await stack.run("seed", *SIZES)
        assert await _heads(services) == before, "a repeat changed something"
        server = await stack.serve()
        await _projected(services)
    await stack.stop()


async def _heads(services: Services) -> Mapping[int, int]:
    shards = range(services.log.identity.shards)
    heads = await asyncio.gather(*(services.log.head(shard) for shard in shards))
    return dict(zip(shards, heads, strict=True))


async def _events(services: Services, count: int) -> None:
    async with asyncio.timeout(120):
        while True:
            if sum(split_sequence(head)[1] for head in (await _heads(services)).values()) >= count:
                return
            await asyncio.sleep(0.02)


async def _projected(services: Services) -> None:
    """Until every family has taken every event; reactors add some to the log meanwhile."""
    async with asyncio.timeout(180):
        while True:
            heads = {shard: head for shard, head in (await _heads(services)).items() if head}
            done = await checkpoints_of(services.documents, ALL)
            reactor = await services.documents.load_checkpoints("reactor.confirm-email-claim")
            if all({**own, **heads} == own for own in (*done.values(), reactor)):
                return
            await asyncio.sleep(0.1)


async def _build_timelines(services: Services) -> None:
    async with asyncio.timeout(120):
        while True:
            owners = await _ids(services.documents, EDGES, "follower")
            if len(owners) >= WATCHED:
                break
            await asyncio.sleep(0.1)
    for owner in sorted(owners)[:WATCHED]:
        assert await build(services.documents, owner, "test", services.now())


async def _ids(documents: Documents, collection: Collection, name: str) -> set[str]:
    return {str(fields[name]) for _, fields in await _all(documents, collection) if name in fields}


async def _all(documents: Documents, collection: Collection) -> Sequence[tuple[str, Mapping[str, Value]]]:
    found: list[tuple[str, Mapping[str, Value]]] = []
    while page := await documents.scan(collection, after=found[-1][0] if found else None, limit=1_000):
        found += [(document.id, document.fields) for document in page]
    return found


async def _documents_are_the_log(services: Services, path: Path) -> None:
    """Every exact collection equals a replay of the same log into empty documents; so do the uses that trends are made of."""
    replayed = await open_sqlite_documents(path)
    await replayed.prepare(COLLECTIONS_OF_ALL)
    await replay(services.log, replayed, ALL, await checkpoints_of(services.documents, ALL))
    exact = [collection for family in ALL for collection in family.collections]
    assert [difference async for difference in compare(services.documents, replayed, exact)] == []
    assert dict(await _all(services.documents, USES)) == dict(await _all(replayed, USES))
    assert sum([len(await _all(replayed, c)) for c in exact if c.fidelity is Fidelity.EXACT]) > EVENTS
    # A minute that nobody has asked for, and in which all of it has happened.
    minute = (services.now() // MINUTE + 1) * MINUTE
    for kind, window in itertools.product(TrendKind, TrendWindow):
        stored = await get_snapshot(services.documents, kind, window, minute)
        assert stored.trends, kind
        assert stored == await build_snapshot(replayed, kind, window, minute)
    await replayed.close()


async def _caches_answer_by_definition(services: Services) -> None:
    """A home that is read from its timeline shows what everyone whom its owner follows has posted and reposted, newest first, a repost only where
    its post does not stand a little further down."""
    documents = services.documents
    following: dict[str, set[str]] = {}
    for _, edge in await _all(documents, EDGES):
        following.setdefault(str(edge["follower"]), set()).add(str(edge["followee"]))
    entries = [entry for _, entry in await _all(documents, AUTHOR_FEED) if "key" in entry]
    owners = [owner for owner, timeline in await _all(documents, TIMELINES) if timeline["live"]]
    assert len(owners) == WATCHED
    for owner in owners:
        authors = following[owner] | {owner}
        allowed = [entry for entry in entries if _belongs(entry, owner, authors)]
        allowed.sort(key=lambda entry: str(entry["key"]), reverse=True)
        posts = [entry["post"] for entry in allowed]
        expected = [
            str(entry["key"])
            for place, entry in enumerate(allowed)
            if entry["item"] == entry["post"]
            or entry["post"] not in posts[place + 1 : place + 1 + DEFAULT_LIMITS.apart]
        ]
        assert await _home(services, owner, first=100) == expected[: 5 * 100]


def _belongs(entry: Mapping[str, Value], owner: str, authors: set[str]) -> bool:
    """The rule of docs/visibility: from somebody who is followed; a reply only where the one replied to is followed as well."""
    if entry["author"] not in authors:
        return False
    return not entry.get("reply") or entry.get("replyToAuthor") in authors | {owner, entry["author"]}


async def _home(services: Services, owner: str, *, first: int) -> list[str]:
    """Keys of five pages."""
    keys: list[str] = []
    after = None
    for _ in range(5):
        answer = await home_page(services.documents, owner, Window(first, after), services.now())
        keys += [str(item.cursor.sort) for item in answer.page.items]
        after = answer.page.end
        if not answer.page.has_next:
            break
    return keys


async def _world(documents: Documents) -> Mapping[str, Mapping[str, Mapping[str, Value]]]:
    """All that is exact, by collection and id, without what tells when."""
    return {
        f"{family.name}.{collection.name}": {
            id_: {name: value for name, value in fields.items() if name not in TIMES}
            for id_, fields in await _all(documents, collection)
        }
        for family in ALL
        for collection in family.collections
        # A group's own name tells when; all of it is in its notes.
        if collection.fidelity is Fidelity.EXACT and collection is not GROUPS
    }

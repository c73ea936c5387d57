"""All families rebuilt under people who read, write and listen: nothing is missed, nothing comes twice, nobody is turned away."""

import asyncio
import time
from pathlib import Path

import pytest

from projections.families import ALL
from projections.runtime.leases import claim
from projections.runtime.rebuilding import LEASE, Outcome, Rebuild
from tests.product_kit import Person, Product, embedded_settings, product

pytestmark = pytest.mark.slow

HOME = "{ viewer { homeFeed(first: 50) { nodes { post { ... on Post { text } } } } } }"
NOTES = "subscription { notifications { __typename ... on NotificationAdded { notification { type } } } }"
LIVE = "subscription { homeFeed { __typename ... on FeedItemAdded { item { post { ... on Post { text } } } } } }"


async def rebuild(served: Product) -> list[Outcome]:
    services = served.services
    tenure = await claim(services.documents, LEASE, "test", 60.0, time.monotonic)
    assert tenure is not None
    keep = asyncio.create_task(tenure.keep())
    outcomes = await Rebuild(services.log, services.documents, ALL, tenure, period=0.05, grace=0.0).run()
    keep.cancel()
    await asyncio.gather(keep, return_exceptions=True)
    await tenure.release()
    return list(outcomes)


async def post_and_look(author: Person, reader: Person, number: int) -> list[str]:
    """Both see a post as soon as it was answered: the author's token goes along."""
    await author.post(f"number {number}")
    found = (await author.ask(HOME))["viewer"]["homeFeed"]["nodes"]
    return [node["post"]["text"] for node in found]


async def test_nobody_notices_a_rebuild(tmp_path: Path) -> None:
    async with product(embedded_settings(tmp_path)) as served:
        served.services.editions._linger = 1.0
        async with served.services.editions.watched():
            ada, ben = await served.register("ada"), await served.register("ben")
            await ben.done("followUser", userId=ada.id)
            async with served.stream(LIVE, {}, ben.access) as stream, served.stream(NOTES, {}, ben.access) as notes:
                work: asyncio.Task[list[Outcome]] | None = None
                heard: list[str] = []
                number = 0
                while work is None or not work.done():
                    seen = await post_and_look(ada, ben, number)
                    assert seen[: number + 1] == [f"number {n}" for n in reversed(range(number + 1))][:50]
                    got = await stream.next()
                    assert got is not None
                    heard.append(got["homeFeed"]["item"]["post"]["text"])
                    number += 1
                    if number == 5:
                        work = asyncio.create_task(rebuild(served))
                    await asyncio.sleep(0.05)
                assert heard == [f"number {n}" for n in range(number)]
                assert [one.family for one in work.result() if not one.switched] == []
                assert {served.services.editions.current.documents.version(family.name) for family in ALL} == {2}
                await ada.post("for @ben, of whom nobody reads what there was before")
                told = await notes.next()
                assert told is not None
                assert told["notifications"]["notification"]["type"] == "MENTION"

"""An author with ten thousand followers: a post is pushed in bounded steps, and nobody else waits for it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from domain.envelope import Metadata
from domain.events import Followed, PostCreated
from domain.ids import mint_id, post_stream
from domain.log.port import Draft, EventLog, Execution, View
from projections import posts
from projections.documents.port import Collection, Documents, Row
from projections.home import home_family
from projections.latches import pulled_authors
from projections.pushing import ROWS
from projections.runtime import COLLECTIONS, Runtime, Tuning
from projections.timelines import TIMELINE_ROWS, TIMELINES, HomeLimits, Timeline
from tests.runtime_kit import Faults, FaultyDocuments, account, append, mongo_documents, sqlite_documents, sqlite_log

FOLLOWERS = 10_000
FAMILIES = (posts.FAMILY, home_family(HomeLimits(push_threshold=2 * FOLLOWERS)))
STAR, OTHER = account(1, 1), account(2, 2)
"""In one shard."""

pytestmark = pytest.mark.slow


class Held(FaultyDocuments):
    """Rows of timelines wait at the second call until they are let go; the largest call is remembered."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(documents, Faults())
        self.begun, self.let_go = asyncio.Event(), asyncio.Event()
        self.calls: list[int] = []

    def pinned(self, _: Mapping[str, int]) -> Documents:
        return self

    async def put(self, collection: Collection, rows: Sequence[Row]) -> None:
        if collection == TIMELINE_ROWS:
            self.calls.append(len(rows))
            if len(self.calls) > 1:
                self.begun.set()
                await self.let_go.wait()
        await super().put(collection, rows)


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.cluster)])
async def documents(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Documents]:
    collections = [*COLLECTIONS, *(collection for family in FAMILIES for collection in family.collections)]
    store = (
        sqlite_documents(tmp_path / "documents.db", collections)
        if request.param == "sqlite"
        else mongo_documents(request.getfixturevalue("mongodb_url"), collections)
    )
    async with store as opened:
        yield opened


async def _followed(log: EventLog, followers: Sequence[str]) -> None:
    for start in range(0, len(followers), 50):
        drafts = [
            Draft(f"follow-{follower}-{STAR}", Followed(follower=follower, followee=STAR))
            for follower in followers[start : start + 50]
        ]
        metadata = Metadata(command_id=os.urandom(8).hex())
        await log.execute(Execution(0, tuple(draft.stream for draft in drafts), _saying(drafts), metadata))


def _saying(drafts: Sequence[Draft]) -> Callable[[View], Sequence[Draft]]:
    return lambda _: drafts


async def _reached(documents: Documents, family: str, log: EventLog) -> None:
    head = await log.head(0)
    async with asyncio.timeout(300):
        while (await documents.load_checkpoints(family)).get(0, 0) < head:  # noqa: ASYNC110 -- another handle's progress sets no event
            await asyncio.sleep(0.05)


async def _here(documents: Documents, owners: Sequence[str]) -> None:
    """They have all been here a moment ago."""
    for start in range(0, len(owners), 100):
        timelines = [
            Timeline(owner=owner, epoch=1, ready=True, touched_at=2**60) for owner in owners[start : start + 100]
        ]
        await asyncio.gather(
            *(documents.put_if(TIMELINES, one.owner, None, msgspec.to_builtins(one)) for one in timelines)
        )


async def _post(log: EventLog, author: str) -> str:
    post = mint_id(1, os.urandom)
    await append(log, post_stream(post), PostCreated(post=post, author=author, root=post))
    return post


async def test_ten_thousand_rows_delay_nobody_and_go_in_steps(tmp_path: Path, documents: Documents) -> None:
    owners = [mint_id(n % 1024, os.urandom) for n in range(FOLLOWERS)]
    held = Held(documents)
    async with sqlite_log(tmp_path / "log.db") as log:
        runtime = Runtime(log, held, FAMILIES, tuning=Tuning(idle=0.05, quick=1))
        await runtime.start()
        try:
            await _followed(log, owners)
            await _reached(documents, "home", log)
            await _here(documents, owners)
            before = (await documents.load_checkpoints("home"))[0]
            post = await _post(log, STAR)
            await asyncio.wait_for(held.begun.wait(), 120)
            # The post of another author in the same shard is there, while the first one is still being pushed.
            later = await _post(log, OTHER)
            await _reached(documents, "posts", log)
            assert later in await documents.get(posts.POSTS, [later])
            assert (await documents.load_checkpoints("home"))[0] == before
            held.let_go.set()
            await _reached(documents, "home", log)
        finally:
            held.let_go.set()
            await runtime.stop()
    counts = [await documents.count(TIMELINE_ROWS, "by_owner", [owner], 2) for owner in owners]
    assert counts == [1] * FOLLOWERS
    assert max(held.calls) <= ROWS < sum(held.calls)
    assert not await pulled_authors(documents, owners[0])
    assert post

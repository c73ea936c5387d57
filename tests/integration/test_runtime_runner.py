"""A runner and its one consumer, turn by turn, on both stores: what is applied, what is parked, and what halts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from domain.envelope import Recorded
from domain.errors import UnavailableError
from domain.events import PostLiked
from domain.log.port import EventLog
from projections.documents.port import Change, Collection, Documents, FencedError, Fidelity, Lease, Shape
from projections.folding import Alter, Deferred, Family, Operation, on
from projections.runtime import deadletters
from projections.runtime.applying import Folding, Slots
from projections.runtime.deadletters import dead_letters
from projections.runtime.faults import HaltedError
from projections.runtime.leases import claim
from projections.runtime.progress import Board
from projections.runtime.replay import replay
from projections.runtime.runner import Runner
from projections.runtime.tail import Tail
from tests.runtime_kit import (
    TALLIES,
    Faults,
    FaultyDocuments,
    account,
    like,
    mongo_documents,
    sqlite_documents,
    sqlite_log,
    tally_family,
    unlike,
)

POST, OTHER = account(1, 1), account(2, 2)
ADA, BEN, CY = (account(900, n) for n in range(3))
SHARD = 0
SEEN = Collection("seen", "seen", Shape.STATE, Fidelity.CACHE)


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.cluster)])
async def documents(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Documents]:
    store = (
        sqlite_documents(tmp_path / "documents.db", [TALLIES, SEEN])
        if request.param == "sqlite"
        else mongo_documents(request.getfixturevalue("mongodb_url"), [TALLIES, SEEN])
    )
    async with store as opened:
        yield opened


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EventLog]:
    async with sqlite_log(tmp_path / "log.db") as opened:
        yield opened


class Desk:
    """Opens runners one after another, each as a new process would."""

    def __init__(self, log: EventLog, documents: Documents) -> None:
        self.log = log
        self.documents = documents
        self.holders = 0
        self.lease: Lease | None = None

    async def open(self, family: Family, *, through: Documents | None = None, events: int = 100) -> Runner:
        documents = through or self.documents
        if self.lease is not None:
            await self.documents.release_lease(self.lease)
        self.holders += 1
        tenure = await claim(self.documents, f"shard-{SHARD}", f"holder-{self.holders}", 3600, lambda: 0.0)
        assert tenure is not None
        self.lease = tenure.lease
        tail = Tail(self.log, SHARD)
        # All that there is lies behind the tail: runners read it from the log.
        tail.seen = tail._floor = await self.log.head(SHARD)
        runner = Runner(
            Folding(family, documents, Slots(), tenure.ensure), tail, documents, tenure, Board(), events=events
        )
        await runner.open()
        return runner

    async def tally(self, post: str) -> dict[str, object]:
        return dict((await self.documents.get(TALLIES, [post])).get(post, {}))

    async def likes(self, post: str) -> object:
        return (await self.tally(post)).get("likes", 0)

    async def checkpoint(self, family: str = "tallies") -> int:
        return (await self.documents.load_checkpoints(family)).get(SHARD, 0)


@pytest.fixture
def desk(log: EventLog, documents: Documents) -> Desk:
    return Desk(log, documents)


class Once(Faults):
    """Fails the first call of one operation, before or after it took effect."""

    def __init__(self, operation: str, when: str, error: BaseException) -> None:
        super().__init__()
        self.operation = operation
        self.when = when
        self.error = error

    async def before(self, operation: str) -> None:
        await super().before(operation)
        self._fail(operation, "before")

    async def after(self, operation: str) -> None:
        self._fail(operation, "after")

    def _fail(self, operation: str, when: str) -> None:
        if (operation, when) == (self.operation, self.when) and not self.fired[operation, when]:
            self.fired[operation, when] += 1
            raise self.error


class Crash(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("operation", ["apply", "save_checkpoint"])
async def test_a_batch_that_was_cut_takes_effect_once(desk: Desk, operation: str, when: str) -> None:
    for actor in (ADA, BEN, CY):
        await like(desk.log, POST, actor)
    faults = Once(operation, when, Crash())
    with pytest.raises(Crash):
        await (await desk.open(tally_family(), through=FaultyDocuments(desk.documents, faults))).turn()
    assert faults.fired[operation, when] == 1
    await unlike(desk.log, POST, BEN)
    await (await desk.open(tally_family())).turn()
    last = await desk.log.head(SHARD)
    assert await desk.tally(POST) == {"likes": 2, "events": 4, "last": last}
    assert await desk.checkpoint() == last


def third(recorded: Recorded) -> bool:
    return recorded.position == 3


async def test_a_poison_event_parks_only_its_stream(desk: Desk) -> None:
    await like(desk.log, POST, ADA)
    await like(desk.log, POST, BEN)
    await unlike(desk.log, POST, ADA)
    await like(desk.log, OTHER, ADA)
    await like(desk.log, POST, ADA)
    await (await desk.open(tally_family(poison=third))).turn()
    assert await desk.likes(POST) == 2
    assert await desk.likes(OTHER) == 1
    letters = await dead_letters(desk.documents, "tallies", SHARD)
    assert [(letter["stage"], letter["stream"]) for letter in letters] == [
        ("fold", f"reaction-{POST}-{ADA}"),
        ("parked", f"reaction-{POST}-{ADA}"),
    ]
    assert "typed" not in str(letters)
    assert await desk.checkpoint() == await desk.log.head(SHARD)


async def test_what_is_parked_stays_so_when_the_fold_is_mended(desk: Desk) -> None:
    for act in (like, like, unlike):
        await act(desk.log, POST, ADA if act is unlike else BEN if await desk.log.head(SHARD) else ADA)
    await (await desk.open(tally_family(poison=third))).turn()
    await like(desk.log, POST, ADA)
    await like(desk.log, POST, CY)
    await (await desk.open(tally_family())).turn()
    assert await desk.likes(POST) == 3
    stages = [letter["stage"] for letter in await dead_letters(desk.documents, "tallies", SHARD)]
    assert stages == ["fold", "parked"]


async def test_what_lies_before_a_poison_event_is_folded_though_the_letter_is_there_already(desk: Desk) -> None:
    await like(desk.log, POST, ADA)
    await like(desk.log, POST, BEN)
    await unlike(desk.log, POST, ADA)
    faults = Once("put", "after", Crash())
    with pytest.raises(Crash):
        await (await desk.open(tally_family(poison=third), through=FaultyDocuments(desk.documents, faults))).turn()
    assert len(await dead_letters(desk.documents, "tallies", SHARD)) == 1
    assert await desk.likes(POST) == 0
    await (await desk.open(tally_family(poison=third))).turn()
    assert await desk.likes(POST) == 2
    assert [letter["stage"] for letter in await dead_letters(desk.documents, "tallies", SHARD)] == ["fold"]


async def test_a_store_that_is_out_of_reach_parks_nothing(desk: Desk) -> None:
    await like(desk.log, POST, ADA)
    await unlike(desk.log, POST, ADA)
    faults = Once("put", "before", UnavailableError("away"))
    poison = tally_family(poison=lambda recorded: recorded.position == 2)
    runner = await desk.open(poison, through=FaultyDocuments(desk.documents, faults))
    with pytest.raises(UnavailableError):
        await runner.turn()
    await runner.turn()
    assert await desk.likes(POST) == 1
    assert [letter["stage"] for letter in await dead_letters(desk.documents, "tallies", SHARD)] == ["fold"]


def refused_family() -> Family:
    """The store refuses what comes of the third event."""

    def fold(recorded: Recorded, event: PostLiked) -> list[Operation]:
        field = "_private" if third(recorded) else "likes"
        return [Alter(TALLIES, event.post, Change(inc={field: 1}))]

    return Family("tallies", (TALLIES,), dict((on(PostLiked, fold),)))


async def test_an_event_that_the_store_refuses_is_found_in_its_batch_and_parked_alone(desk: Desk) -> None:
    for post, actor in ((POST, ADA), (POST, BEN), (POST, CY), (OTHER, ADA), (OTHER, BEN)):
        await like(desk.log, post, actor)
    await (await desk.open(refused_family())).turn()
    assert await desk.likes(POST) == 2
    assert await desk.likes(OTHER) == 2
    (letter,) = await dead_letters(desk.documents, "tallies", SHARD)
    assert (letter["stage"], letter["stream"]) == ("store", f"reaction-{POST}-{CY}")
    assert await desk.checkpoint() == await desk.log.head(SHARD)


def seeing_family(work: Callable[[Documents, Recorded], Awaitable[None]]) -> Family:
    def fold(recorded: Recorded, event: PostLiked) -> list[Operation]:
        async def run(documents: Documents, _: Sequence[Recorded]) -> None:
            await work(documents, recorded)

        return [Deferred(run), Alter(SEEN, event.post, Change(inc={"likes": 1}))]

    return Family("seen", (SEEN,), dict((on(PostLiked, fold),)))


async def test_deferred_work_sees_all_that_its_batch_has_written_and_comes_before_the_checkpoint(desk: Desk) -> None:
    seen: list[tuple[object, int]] = []

    async def look(documents: Documents, recorded: Recorded) -> None:
        event = recorded.event
        assert isinstance(event, PostLiked)
        found = await documents.get(SEEN, [POST])
        seen.append((found[POST]["likes"], await desk.checkpoint("seen")))

    for actor in (ADA, BEN, CY):
        await like(desk.log, POST, actor)
    await (await desk.open(seeing_family(look))).turn()
    assert seen == [(3, 0)] * 3
    assert await desk.checkpoint("seen") == await desk.log.head(SHARD)


async def test_deferred_work_that_fails_parks_its_event_and_the_others_are_done(desk: Desk) -> None:
    done: list[int] = []

    async def work(_: Documents, recorded: Recorded) -> None:
        if recorded.position == 2:
            raise LookupError("nothing there")
        done.append(recorded.position)

    for actor in (ADA, BEN, CY):
        await like(desk.log, POST, actor)
    await (await desk.open(seeing_family(work))).turn()
    (letter,) = await dead_letters(desk.documents, "seen", SHARD)
    assert (letter["stage"], letter["stream"]) == ("deferred", f"reaction-{POST}-{BEN}")
    assert set(done) == {1, 3}


async def test_a_runner_that_lost_its_lease_moves_no_checkpoint(desk: Desk) -> None:
    await like(desk.log, POST, ADA)
    late = await desk.open(tally_family())
    await like(desk.log, POST, BEN)
    await (await desk.open(tally_family())).turn()
    with pytest.raises(FencedError):
        await late.turn()
    assert await desk.tally(POST) == {"likes": 2, "events": 2, "last": await desk.log.head(SHARD)}


async def test_a_family_that_fails_everywhere_halts_instead_of_parking_the_log(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadletters, "PARKED_LIMIT", 2)
    for n in range(5):
        await like(desk.log, POST, account(900, n))
    runner = await desk.open(tally_family(poison=lambda _: True), events=1)
    await runner.turn()
    await runner.turn()
    with pytest.raises(HaltedError):
        await runner.turn()
    before = await desk.checkpoint()
    # The next process sees it before it begins, though its fold is mended.
    async with asyncio.timeout(60):
        await (await desk.open(tally_family())).run()
    assert await desk.checkpoint() == before < await desk.log.head(SHARD)


async def test_a_replay_stops_at_what_a_running_family_parks(desk: Desk, tmp_path: Path) -> None:
    for actor in (ADA, BEN, CY):
        await like(desk.log, POST, actor)
    upto = {"tallies": {SHARD: await desk.log.head(SHARD)}}
    async with sqlite_documents(tmp_path / "replayed.db", [TALLIES]) as empty:
        with pytest.raises(HaltedError, match="position 3 of shard 0"):
            await replay(desk.log, empty, [tally_family(poison=third)], upto)

"""Rebuilds on both stores: beside the live version, to the switch, and whatever breaks off between. And verification, which compares as they do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from domain.envelope import Recorded
from domain.errors import UnavailableError
from domain.events import PostLiked
from domain.log.port import EventLog
from projections import signals
from projections.documents.port import Change, Doc, Documents
from projections.folding import Alter, Family, Operation, on
from projections.notifications import ANNOUNCED
from projections.runtime import Runtime, Tuning
from projections.runtime.deadletters import dead_letter_at, dead_letters
from projections.runtime.editions import Edition, Editions
from projections.runtime.filling import Pace
from projections.runtime.leases import claim
from projections.runtime.rebuilding import LEASE, Outcome, Rebuild
from projections.runtime.skips import Skip, record_skip
from projections.runtime.verifying import Verification
from projections.runtime.versions import (
    Phase,
    RebuildError,
    Standing,
    aborted,
    adopt,
    change,
    more_skips,
    read_versions,
)
from tests.runtime_kit import (
    SHARDS,
    TALLIES,
    TRAIL,
    account,
    like,
    mongo_documents,
    sqlite_documents,
    sqlite_log,
    tally_family,
    trail_family,
    unlike,
)

T = TypeVar("T")

POST, FAR = account(1, 1), account(900, 2)
ACTORS = [account(512, n) for n in range(12)]
COLLECTIONS = [TALLIES, TRAIL]
QUICK = Tuning(ttl=1.0, idle=0.05, measure=0.05, watch=0.05, grace=0.0)


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.cluster)])
async def documents(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Documents]:
    store = (
        sqlite_documents(tmp_path / "documents.db", COLLECTIONS)
        if request.param == "sqlite"
        else mongo_documents(request.getfixturevalue("mongodb_url"), COLLECTIONS)
    )
    async with store as opened:
        yield opened


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EventLog]:
    async with sqlite_log(tmp_path / "log.db") as opened:
        yield opened


@asynccontextmanager
async def working(log: EventLog, documents: Documents, *families: Family) -> AsyncIterator[Runtime]:
    runtime = Runtime(log, documents, families or [tally_family()], tuning=QUICK)
    await runtime.start()
    try:
        yield runtime
    finally:
        await runtime.stop()


@asynccontextmanager
async def rebuild(
    log: EventLog, documents: Documents, *families: Family, differ: bool = False, pace: Pace | None = None
) -> AsyncIterator[Rebuild]:
    tenure = await claim(documents, LEASE, "test", 60.0, lambda: 0.0)
    assert tenure is not None
    yield Rebuild(
        log,
        documents,
        families or [tally_family()],
        tenure,
        differ=differ,
        pace=pace,
        period=0.02,
        grace=0.0,
        still=2.0,
    )
    await tenure.release()


async def rebuilt(log: EventLog, documents: Documents, *families: Family, differ: bool = False) -> Sequence[Outcome]:
    async with rebuild(log, documents, *families, differ=differ) as work:
        return await work.run()


async def folded(log: EventLog, documents: Documents, family: str = "tallies") -> None:
    """Waits until the family's live version has folded all that is in the log now."""
    heads = {shard: await log.head(shard) for shard in range(SHARDS)}
    while True:
        await documents.refresh()
        saved = await documents.load_checkpoints(family)
        if all(saved.get(shard, 0) >= head for shard, head in heads.items()):
            return
        await asyncio.sleep(0.01)


async def live_on(log: EventLog, actors: Sequence[str] = ACTORS) -> None:
    for actor in actors:
        await asyncio.gather(like(log, POST, actor), like(log, FAR, actor))
        await unlike(log, POST, actor)


async def standing(documents: Documents, family: str = "tallies") -> Standing:
    return (await read_versions(documents)).of(family)


async def waited(look: Callable[[], Awaitable[T]]) -> T:
    """What a look gives as soon as it gives anything; the test's own timeout ends what never comes."""
    while not (found := await look()):  # noqa: ASYNC110 -- what is waited for sets no event
        await asyncio.sleep(0.01)
    return found


async def until(true: Callable[[Standing], bool], documents: Documents, family: str = "tallies") -> None:
    async def look() -> bool:
        return true(await standing(documents, family))

    await waited(look)


async def anew(editions: Editions, old: Edition) -> bool:
    return editions.current is not old


async def likes(documents: Documents, post: str) -> object:
    await documents.refresh()
    return (await documents.get(TALLIES, [post])).get(post, {}).get("likes", 0)


def doubled() -> Family:
    """The same family under changed folds."""

    def fold(recorded: Recorded, event: PostLiked) -> list[Operation]:
        return [Alter(TALLIES, event.post, Change(inc={"likes": 2, "events": 1}, max={"last": recorded.sequence}))]

    return replace(tally_family(), folds=dict((on(PostLiked, fold),)), version=2)


async def test_a_family_is_rebuilt_beside_the_live_one_and_switched(log: EventLog, documents: Documents) -> None:
    async with working(log, documents, tally_family(), trail_family(follows=("tallies",))):
        await live_on(log)
        await folded(log, documents)
        before = await documents.get(TALLIES, [POST, FAR])
        (outcome,) = await rebuilt(log, documents)
        assert (outcome.switched, outcome.version) == (True, 2)
        assert outcome.verdict is not None
        assert (outcome.verdict.differences, outcome.verdict.compared) == ([], 2)
        assert documents.version("tallies") == 2
        assert await documents.get(TALLIES, [POST, FAR]) == before
        await like(log, POST, ACTORS[0])
        await folded(log, documents)
        assert await likes(documents, POST) == 1
        await folded(log, documents, "trail")
        assert await standing(documents) == Standing(live=2, last=2, since=(await standing(documents)).since)
        assert await documents.pinned({"tallies": 1}).load_checkpoints("tallies") == {}


async def test_what_happens_meanwhile_is_in_both(log: EventLog, documents: Documents) -> None:
    async with working(log, documents):
        await live_on(log)

        async def go_on() -> None:
            for n in range(1000):
                await live_on(log, [account(513, n)])

        busy = asyncio.create_task(go_on())
        outcomes = [outcome for _ in range(3) for outcome in await rebuilt(log, documents)]
        busy.cancel()
        with suppress(asyncio.CancelledError):
            await busy
        assert [(one.switched, one.verdict and one.verdict.differences) for one in outcomes] == [(True, [])] * 3
        await folded(log, documents)
        counted = 0
        for recorded in [r for shard in range(SHARDS) for r in await log.read(shard, 0, 100_000)]:
            counted += isinstance(recorded.event, PostLiked) and recorded.event.post == FAR
        assert await likes(documents, FAR) == counted
        assert await likes(documents, POST) in {0, 1}


async def test_a_rebuild_that_was_killed_goes_on_where_it_was(
    log: EventLog, documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.runtime.filling.READ", 5)
    async with working(log, documents):
        await live_on(log)
        await folded(log, documents)
        async with rebuild(log, documents, pace=Pace(50)) as slow:
            task = asyncio.create_task(slow.run())
            filled = documents.pinned({"tallies": 2})
            done = await waited(lambda: filled.load_checkpoints("tallies"))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        build = (await standing(documents)).build
        assert build is not None
        assert (build.version, build.phase) == (2, Phase.FILLING)
        seen: list[tuple[int, int]] = []
        fold = tally_family().folds[PostLiked]

        def watching(recorded: Recorded) -> Iterable[Operation]:
            seen.append((recorded.shard, recorded.sequence))
            return fold(recorded)

        watched = replace(tally_family(), folds={**tally_family().folds, PostLiked: watching})
        (outcome,) = await rebuilt(log, documents, watched)
        assert (outcome.switched, outcome.version) == (True, 2)
        assert seen
        assert not [at for shard, at in seen if at <= done.get(shard, 0)]
        assert outcome.verdict is not None
        assert outcome.verdict.differences == []


async def test_a_difference_keeps_the_live_version_until_the_operator_decides(
    log: EventLog, documents: Documents
) -> None:
    async with working(log, documents):
        await live_on(log)
        await folded(log, documents)
        spoilt = Change(inc={"likes": 1})
        head = await log.head(0)
        await documents.apply(TALLIES, [Doc(POST, 0, ((head + 1, (spoilt,)),))])
        (outcome,) = await rebuilt(log, documents)
        assert not outcome.switched
        assert outcome.verdict is not None
        (difference,) = outcome.verdict.differences
        assert (difference.id, difference.field, difference.live, difference.replayed) == (POST, "likes", 1, 0)
        assert await likes(documents, POST) == 1
        (again,) = await rebuilt(log, documents, differ=True)
        assert (again.switched, again.version) == (True, 2)
        assert await likes(documents, POST) == 0


@pytest.mark.slow
async def test_an_aborted_rebuild_leaves_nothing(log: EventLog, documents: Documents) -> None:
    async with working(log, documents):
        await live_on(log)
        await folded(log, documents)
        async with rebuild(log, documents, pace=Pace(1)) as slow:
            task = asyncio.create_task(slow.run())
            await until(lambda now: now.build is not None, documents)
            await change(documents, "tallies", aborted)
            with pytest.raises(RebuildError, match="aborted"):
                await task
        await until(lambda now: now.quiet, documents)
        assert (await standing(documents)).live == 1
        assert await documents.pinned({"tallies": 2}).load_checkpoints("tallies") == {}
        (outcome,) = await rebuilt(log, documents)
        assert (outcome.switched, outcome.version) == (True, 3)


async def test_a_rebuild_that_is_on_its_way_is_not_begun_twice(log: EventLog, documents: Documents) -> None:
    async with rebuild(log, documents):
        assert await claim(documents, LEASE, "another", 60.0, lambda: 0.0) is None


async def test_a_new_family_is_filled_before_anybody_sees_it(log: EventLog, documents: Documents) -> None:
    async with working(log, documents):
        await live_on(log)
        await folded(log, documents)
    gate = asyncio.Event()
    held = trail_family()
    async with working(log, documents, tally_family(), held):
        await until(lambda now: now.live == 1, documents, "trail")
        await folded(log, documents, "trail")
        found = await documents.scan(TRAIL, limit=1000)
        assert len([one for one in found if one.id.startswith("event-")]) == 36
        gate.set()


async def test_a_family_that_has_no_version_yet_is_unavailable(log: EventLog, documents: Documents) -> None:
    await change(documents, "trail", lambda _: Standing(live=0, last=0, fold=0))
    await documents.refresh()
    with pytest.raises(UnavailableError, match="filled"):
        await documents.scan(TRAIL, limit=1)


async def test_changed_folds_rebuild_their_family_by_themselves(log: EventLog, documents: Documents) -> None:
    async with working(log, documents):
        await live_on(log)
        await folded(log, documents)
        assert await likes(documents, FAR) == 12
    async with working(log, documents, doubled()):
        await until(lambda now: now.live == 2 and now.quiet, documents)
        assert await likes(documents, FAR) == 24
        await like(log, FAR, account(514, 1))
        await folded(log, documents)
        assert await likes(documents, FAR) == 26


async def test_older_folds_keep_their_hands_off(log: EventLog, documents: Documents) -> None:
    async with working(log, documents, doubled()):
        await live_on(log)
        await folded(log, documents)
        async with working(log, documents, tally_family()) as old:
            await like(log, FAR, account(514, 1))
            await folded(log, documents)
            assert await likes(documents, FAR) == 26
            assert old.status().progress == {}


async def counted(documents: Documents, likes: int) -> bool:
    return (await documents.get(TALLIES, [FAR]))[FAR]["likes"] == likes


async def test_two_workers_and_a_reader_see_a_rebuild_through(log: EventLog, documents: Documents) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(working(log, documents))
        second = await stack.enter_async_context(working(log, documents))
        reader = documents.pinned({})
        editions = Editions(documents, linger=3600, period=0.05)
        await stack.enter_async_context(editions.watched())
        old = editions.current
        await live_on(log)
        await folded(log, documents)
        await first.stop()
        work = asyncio.create_task(rebuilt(log, documents))
        await until(lambda now: now.live == 2, documents)
        # Until it is confirmed it is read, and folded as well.
        await like(log, FAR, account(514, 1))
        await waited(lambda: counted(old.documents, 13))
        assert not work.done()
        # Before it has seen the switch there is nothing to confirm.
        await waited(lambda: anew(editions, old))
        editions._confirm_at = 0
        (outcome,) = await work
        assert outcome.switched
        assert editions.current.documents.version("tallies") == 2
        assert reader.version("tallies") == 1
        assert await old.documents.load_checkpoints("tallies") == {}
        await waited(lambda: counted(editions.current.documents, 13))
        assert second.status().progress


async def test_a_dead_reader_holds_nothing_up_and_knows_it_when_it_wakes(log: EventLog, documents: Documents) -> None:
    now = [0.0]
    editions = Editions(documents, linger=0.0, period=3600, ttl=0.2, monotonic=lambda: now[0])
    async with working(log, documents), editions.watched():
        await live_on(log)
        await folded(log, documents)
        old = editions.current
        assert await editions.still(old)
        await asyncio.sleep(0.3)
        (outcome,) = await rebuilt(log, documents)
        assert outcome.switched
        now[0] = 100.0
        assert not await editions.still(old)
        assert await editions.still(editions.current)
        assert editions.current.documents.version("tallies") == 2


async def no_letters(documents: Documents, shard: int) -> bool:
    return not await dead_letters(documents, "tallies", shard)


def poison(actor: str) -> Callable[[Recorded], bool]:
    return lambda recorded: isinstance(recorded.event, PostLiked) and recorded.event.actor == actor


async def test_a_rebuild_settles_dead_letters_and_stops_at_a_poison_event(log: EventLog, documents: Documents) -> None:
    async with working(log, documents, tally_family(poison=poison(ACTORS[3]))):
        await live_on(log)
        await folded(log, documents)
        letters = await dead_letters(documents, "tallies", 0)
        assert [letter["stage"] for letter in letters] == ["fold", "parked"]
        (outcome,) = await rebuilt(log, documents, tally_family(poison=poison(ACTORS[3])))
        assert not outcome.switched
        assert outcome.halted is not None
        assert "like" in str(outcome.halted)
        (better,) = await rebuilt(log, documents, differ=True)
        assert better.switched
        assert await dead_letters(documents, "tallies", 0) == []
        assert await likes(documents, FAR) == 12


async def test_a_skip_lets_a_stream_go_on_and_a_rebuild_honours_it(log: EventLog, documents: Documents) -> None:
    broken = tally_family(poison=poison(ACTORS[3]))
    async with working(log, documents, broken):
        await live_on(log)
        await folded(log, documents)
        for shard in range(SHARDS):
            for letter in await dead_letters(documents, "tallies", shard):
                if letter["stage"] == "fold":
                    at = int(str(letter["position"]))
                    assert await dead_letter_at(documents, "tallies", shard, at)
                    skip = Skip("tallies", shard, str(letter["stream"]), at, None, "a test", 1)
                    await record_skip(documents, skip)
        await change(documents, "tallies", more_skips)
        for shard in range(SHARDS):
            await waited(lambda shard=shard: no_letters(documents, shard))  # type: ignore[misc]
        await unlike(log, FAR, ACTORS[3])
        await folded(log, documents)
        assert await likes(documents, FAR) == 10
        (outcome,) = await rebuilt(log, documents, broken)
        assert outcome.switched
        assert outcome.verdict is not None
        assert outcome.verdict.differences == []
        assert await likes(documents, FAR) == 10


@asynccontextmanager
async def verifying(
    log: EventLog, documents: Documents, folder: Path, *families: Family
) -> AsyncIterator[Verification]:
    async with sqlite_documents(folder / "scratch.db", COLLECTIONS) as scratch:
        yield Verification(log, documents.pinned({}), scratch, families or [tally_family()], still=2.0)


async def test_verification_names_what_differs_and_nothing_else(
    log: EventLog, documents: Documents, tmp_path: Path
) -> None:
    async with working(log, documents, tally_family(), trail_family()):
        await live_on(log)
        await folded(log, documents)
        await folded(log, documents, "trail")
        head = await log.head(0)
        await documents.apply(TALLIES, [Doc(POST, 0, ((head + 1, (Change(inc={"likes": 3}),)),))])
        async with verifying(log, documents, tmp_path, tally_family(), trail_family()) as verification:
            found = await verification.run()
    (difference,) = found["tallies"].differences
    assert (difference.id, difference.field, difference.live, difference.replayed) == (POST, "likes", 3, 0)
    assert (found["tallies"].compared, found["trail"].differences, found["trail"].unsettled) == (2, [], [])
    assert found["trail"].compared == 36 + 24


@pytest.mark.slow
async def test_verification_goes_beside_workers_that_go_on(log: EventLog, documents: Documents, tmp_path: Path) -> None:
    async with working(log, documents):
        await live_on(log)

        async def go_on() -> None:
            for n in range(1000):
                await live_on(log, [account(513, n)])

        busy = asyncio.create_task(go_on())
        async with verifying(log, documents, tmp_path) as verification:
            found = await verification.run()
        busy.cancel()
        with suppress(asyncio.CancelledError):
            await busy
    assert found["tallies"].differences == []


async def test_verification_compares_a_family_as_it_stands(log: EventLog, documents: Documents, tmp_path: Path) -> None:
    broken = tally_family(poison=poison(ACTORS[3]))
    async with working(log, documents, broken):
        await live_on(log)
        await folded(log, documents)
        async with verifying(log, documents, tmp_path, broken) as verification:
            assert (await verification.run())["tallies"].differences == []
    assert len(await dead_letters(documents, "tallies", 0)) == 2


async def test_signals_begin_where_they_are_kept_and_say_so(log: EventLog, documents: Documents) -> None:
    family = replace(signals.FAMILY, follows=())
    await documents.prepare([*family.collections, ANNOUNCED])
    await live_on(log, ACTORS[:3])
    old = {shard: await log.head(shard) for shard in range(SHARDS)}
    await asyncio.sleep(0.01)
    await like(log, POST, ACTORS[4])
    await unlike(log, POST, ACTORS[4])
    (first, _) = await log.read(0, old[0], 10)
    await adopt(log, documents, (family,))
    async with rebuild(log, documents, family) as work:
        work._clock = lambda: first.recorded_at + signals.KEPT
        (outcome,) = await work.run()
    assert (outcome.switched, outcome.version) == (True, 1)
    found = (await signals.read_signals(documents, 0, 0, 100)).signals
    assert list(dict.fromkeys(signal.position for signal in found)) == [old[0] + 1, old[0] + 2]
    assert (await signals.read_signals(documents, 1, 0, 100)).signals == []
    assert await signals.signal_floors(documents, [0, 1]) == {0: old[0], 1: old[1]}

"""Replay and comparison: every difference between what is and what should be is named."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.log.port import EventLog
from projections.documents.port import Change, Collection, Doc, Documents, Fidelity, Row, Shape
from projections.runtime import comparing as module
from projections.runtime.comparing import Absent, Comparison, Difference, compare
from projections.runtime.replay import checkpoints_of, replay
from tests.runtime_kit import (
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

POST, OTHER = account(1, 1), account(900, 2)
ACTORS = [account(512, n) for n in range(12)]
LOOSE = Collection("trail", "loose", Shape.ROWS, Fidelity.HORIZON)
COLLECTIONS = [TALLIES, TRAIL, LOOSE]
FAMILIES = [tally_family(), trail_family()]


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.cluster)])
async def live(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Documents]:
    store = (
        sqlite_documents(tmp_path / "live.db", COLLECTIONS)
        if request.param == "sqlite"
        else mongo_documents(request.getfixturevalue("mongodb_url"), COLLECTIONS)
    )
    async with store as opened:
        yield opened


@pytest.fixture
async def replayed(tmp_path: Path) -> AsyncIterator[Documents]:
    async with sqlite_documents(tmp_path / "replayed.db", COLLECTIONS) as opened:
        yield opened


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EventLog]:
    async with sqlite_log(tmp_path / "log.db") as opened:
        for post in (POST, OTHER):
            for actor in ACTORS:
                await like(opened, post, actor)
            await unlike(opened, post, ACTORS[0])
        yield opened


async def differences(live: Documents, replayed: Documents) -> list[Difference]:
    return [one async for one in compare(live, replayed, COLLECTIONS)]


async def fold_both(log: EventLog, live: Documents, replayed: Documents) -> None:
    upto = {family.name: {shard: await log.head(shard) for shard in range(2)} for family in FAMILIES}
    await replay(log, live, FAMILIES, upto)
    await replay(log, replayed, FAMILIES, await checkpoints_of(live, FAMILIES))


async def test_two_stores_folded_from_one_log_are_equal(
    log: EventLog, live: Documents, replayed: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    await fold_both(log, live, replayed)
    assert len(await replayed.scan(TRAIL, limit=1000)) == 26 + 24
    assert await differences(live, replayed) == []
    assert await checkpoints_of(live, FAMILIES) == await checkpoints_of(replayed, FAMILIES)


async def test_every_difference_is_named(
    log: EventLog, live: Documents, replayed: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    await fold_both(log, live, replayed)
    above = (2 << 44) + 1
    at = (await replayed.get(TRAIL, [f"actor-0-{ACTORS[3]}"]))[f"actor-0-{ACTORS[3]}"]["at"]
    assert isinstance(at, int)
    wrong = Change(inc={"likes": 1}, set={"extra": {"deep": True}}, unset=("last",))
    await live.apply(TALLIES, [Doc(POST, 0, ((above, (wrong,)),))])
    await live.put(TRAIL, [Row("aaa", above, {"at": 1}), Row(f"actor-0-{ACTORS[3]}", above, {"at": float(at)})])
    await replayed.put(TRAIL, [Row("zzz", above, {"at": 1})])
    await live.put(LOOSE, [Row("swept", above, {"at": 1})])
    head = await log.head(0)
    assert await differences(live, replayed) == [
        Difference("tallies.tallies", POST, "extra", {"deep": True}, Absent.ABSENT),
        Difference("tallies.tallies", POST, "last", Absent.ABSENT, head),
        Difference("tallies.tallies", POST, "likes", 12, 11),
        Difference("trail.trail", "aaa", "", {"at": 1}, Absent.ABSENT),
        Difference("trail.trail", f"actor-0-{ACTORS[3]}", "at", float(at), at),
        Difference("trail.trail", f"actor-0-{ACTORS[3]}", "type", Absent.ABSENT, "reaction.liked"),
        Difference("trail.trail", "zzz", "", Absent.ABSENT, {"at": 1}),
    ]


async def test_a_replay_ends_where_the_live_family_stood(log: EventLog, live: Documents, replayed: Documents) -> None:
    early = await log.head(0) - 3
    await replay(log, live, FAMILIES[:1], {"tallies": {0: early}})
    await replay(log, replayed, FAMILIES[:1], await checkpoints_of(live, FAMILIES[:1]))
    assert (await replayed.get(TALLIES, [POST, OTHER])).keys() == {POST}
    assert (await replayed.get(TALLIES, [POST]))[POST]["last"] == early
    assert await differences(live, replayed) == []


async def test_a_replay_does_not_go_over_what_is_there(log: EventLog, replayed: Documents) -> None:
    await replayed.save_checkpoint("tallies", 0, 1, None)
    with pytest.raises(ValueError, match="empty"):
        await replay(log, replayed, FAMILIES, {})


async def test_what_moves_is_not_called_different(live: Documents, replayed: Documents) -> None:
    looks = 0

    async def count(documents: Documents, events: int) -> None:
        changes = tuple((position, (Change(inc={"likes": 1}),)) for position in range(1, events + 1))
        await documents.apply(TALLIES, [Doc(POST, 0, changes)])

    async def level() -> None:
        """The replay has come to where the live one was, which has gone on meanwhile: twice, then it stands."""
        nonlocal looks
        looks += 1
        await count(replayed, 1 + looks)
        await count(live, min(2 + looks, 4))

    await count(live, 2)
    await count(replayed, 1)
    verdict = await Comparison(FAMILIES[0], live, replayed, level, rest=0.0).run()
    assert (verdict.differences, verdict.unsettled, verdict.compared, looks) == ([], [], 1, 3)


async def test_what_stands_still_and_differs_is_named_once(live: Documents, replayed: Documents) -> None:
    async def level() -> None:
        """Nothing folds."""

    await live.apply(TALLIES, [Doc(POST, 0, ((1, (Change(inc={"likes": 2}),)),))])
    await replayed.apply(TALLIES, [Doc(POST, 0, ((1, (Change(inc={"likes": 1}),)),))])
    verdict = await Comparison(FAMILIES[0], live, replayed, level, rest=0.0).run()
    assert verdict.differences == [Difference("tallies.tallies", POST, "likes", 2, 1)]


async def test_what_never_stands_still_is_not_judged(live: Documents, replayed: Documents) -> None:
    position = 0

    async def level() -> None:
        nonlocal position
        position += 1
        await live.apply(TALLIES, [Doc(POST, 0, ((position, (Change(inc={"likes": 1}),)),))])

    await level()
    verdict = await Comparison(FAMILIES[0], live, replayed, level, rest=0.0).run()
    assert (verdict.differences, verdict.unsettled) == ([], [f"tallies.tallies {POST}"])

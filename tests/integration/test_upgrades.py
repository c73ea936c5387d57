"""A schema upgrade from end to end: what was stored in an older version is read as today's by everything that reads, and stays stored as it was."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from domain.envelope import Recorded
from domain.errors import UnknownEventError
from domain.events import REGISTRY, Event, event
from domain.ids import stream_shard
from domain.log import codec
from domain.log.port import Draft, EventLog, Execution, View
from domain.upcasters import UPCASTERS, Raw
from projections.documents.port import Change, Collection, Fidelity, Shape
from projections.folding import Alter, Family, on
from projections.runtime.replay import replay
from tests.contract.log_domain import (
    Aggregates,
    Counted,
    Tally,
    counting,
    metadata,
    new_id,
    note,
    noting,
    tally,
)
from tests.runtime_kit import sqlite_documents
from tests.transfer_kit import CLUSTER, MASTER_KEY, Home, NewHome, events_in, exported, imported

SUMS = Collection("sums", "sums", Shape.STATE, Fidelity.EXACT)


class CountedSteps(Event, frozen=True, kw_only=True):
    """What test.counted becomes: ``steps`` in place of ``amount``, and a reason that was not asked for before."""

    steps: int
    why: str


class NotedBy(Event, frozen=True, kw_only=True):
    """What test.noted becomes: the topic is what a person typed, so it moves into the sealed part."""

    private: "TopicPrivate | None" = None


class TopicPrivate(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    topic: str


class Upgraded(Aggregates):
    """The deciders of the day after; a note's state is its newest topic and text."""

    def evolve(self, _stream: str, state: object, recorded: Recorded) -> object:
        match state, recorded.event:
            case Tally(total=total, events=events), CountedSteps(steps=steps):
                return Tally(total=total + steps, events=events + 1)
            case _, NotedBy(private=private):
                return msgspec.structs.replace(
                    state,  # type: ignore[type-var]
                    topic=private.topic if private is not None else None,
                    texts=(private.text if private is not None else None,),
                )
        return state

    def edition(self) -> str:
        return "of the day after"


def counted_to_2(raw: Raw) -> Raw:
    return {"steps": raw["amount"], "why": "not said"}


def noted_to_2(raw: Raw) -> Raw:
    private = raw["private"]
    return {"private": private | {"topic": raw["topic"]} if isinstance(private, dict) else None}


@pytest.fixture
def upgrade() -> Iterator[type]:
    """Call it, and the program knows version 2 of both events."""

    class Upgrade:
        def __init__(self) -> None:
            event("test.counted", 2)(CountedSteps)
            event("test.noted", 2)(NotedBy)
            UPCASTERS["test.counted", 1] = counted_to_2
            UPCASTERS["test.noted", 1] = noted_to_2
            codec._reader.cache_clear()

    yield Upgrade
    for name in ("test.counted", "test.noted"):
        REGISTRY.pop((name, 2), None)
        UPCASTERS.pop((name, 1), None)
    codec._reader.cache_clear()


async def decided_on(log: EventLog, stream: str) -> Tally:
    seen: list[Tally] = []

    def count(view: View) -> Sequence[Draft]:
        seen.append(view.state(stream, Tally))
        return [Draft(stream, CountedSteps(steps=100, why="today"))]

    await log.execute(Execution(stream_shard(stream, 8), (stream,), count, metadata()))
    return seen[0]


async def before_the_upgrade(home: Home, stream: str, subject: str) -> None:
    log = await home.log()
    await log.execute(counting(stream, 8, 1, 2, 3))
    await log.execute(noting(note(subject), 8, subject, "rain", new_subject=True))
    await log.close()


@pytest.mark.parametrize("adapter", ["sqlite", CLUSTER])
async def test_what_was_stored_before_is_read_as_todays_everywhere(
    new_home: NewHome, tmp_path: Path, upgrade: type, adapter: str
) -> None:
    home = await new_home(adapter)
    stream, subject = tally(new_id()), new_id()
    await before_the_upgrade(home, stream, subject)
    before = events_in(await exported(await home.archive()))
    upgrade()
    log = await home.log(aggregates=Upgraded())
    # By loads, states and decisions …
    assert [one.event for one in await log.load(stream)] == [CountedSteps(steps=n, why="not said") for n in (1, 2, 3)]
    assert await decided_on(log, stream) == Tally(total=6, events=3)
    assert (await log.states([stream]))[stream] == Tally(total=106, events=4)
    [noted] = await log.load(note(subject))
    assert noted.event == NotedBy(private=TopicPrivate(text="rain", topic="weather"))
    # … by the tail, and by what is folded from it …
    found = await log.read(stream_shard(stream, 8), 0, 100)
    assert all(isinstance(one.event, CountedSteps | NotedBy) for one in found)
    assert await summed(log, tmp_path) == {stream: 106}
    # … and by exports, which hold what was stored, as it was stored.
    after = events_in(await exported(await home.archive()))
    assert after[: len(before)] == before
    assert [line.count(b":v2") for line in after] == [0] * len(before) + [1]
    await log.destroy_key(subject)
    [redacted] = await log.load(note(subject))
    assert redacted.event == NotedBy(private=None)


async def summed(log: EventLog, folder: Path) -> dict[str, object]:
    def fold(recorded: Recorded, counted: CountedSteps) -> Sequence[Alter]:
        return [Alter(SUMS, recorded.stream, Change(inc={"steps": counted.steps}))]

    family = Family("sums", (SUMS,), dict([on(CountedSteps, fold)]))
    async with sqlite_documents(folder / "sums.db", [SUMS]) as documents:
        heads = {shard: await log.head(shard) for shard in range(8)}
        await replay(log, documents, [family], {"sums": heads})
        return {found.id: found.fields["steps"] for found in await documents.scan(SUMS, limit=10)}


@pytest.mark.parametrize("adapter", ["sqlite", CLUSTER])
async def test_an_import_keeps_old_versions_and_reads_them_as_todays(
    new_home: NewHome, upgrade: type, adapter: str
) -> None:
    here, there = await new_home("sqlite"), await new_home(adapter)
    stream, subject = tally(new_id()), new_id()
    await before_the_upgrade(here, stream, subject)
    export = await exported(await here.archive())
    upgrade()
    await imported(await there.archive(), export)
    log = await there.log(master_key=MASTER_KEY, aggregates=Upgraded())
    assert await decided_on(log, stream) == Tally(total=6, events=3)
    await log.close()
    assert events_in(await exported(await there.archive()))[:4] == events_in(export)


@pytest.mark.parametrize("adapter", ["sqlite", CLUSTER])
async def test_a_program_that_was_not_upgraded_stops_at_what_the_upgraded_one_wrote(
    new_home: NewHome, upgrade: type, adapter: str
) -> None:
    home = await new_home(adapter)
    stream, subject = tally(new_id()), new_id()
    await before_the_upgrade(home, stream, subject)
    upgrade()
    log = await home.log(aggregates=Upgraded())
    await decided_on(log, stream)
    await log.close()
    for key in list(REGISTRY):
        if key in (("test.counted", 2), ("test.noted", 2)):
            del REGISTRY[key]
    codec._reader.cache_clear()
    old = await home.log()
    shard = stream_shard(stream, 8)
    read = await old.read(shard, 0, 100)
    assert {type(one.event) for one in read} >= {Counted}
    with pytest.raises(UnknownEventError, match="deploy readers before writers"):
        await old.read(shard, read[-1].sequence, 100)
    with pytest.raises(UnknownEventError):
        await old.execute(counting(stream, 8, 1))

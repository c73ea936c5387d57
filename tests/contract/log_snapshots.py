"""Part of the event log's contract: a snapshot changes nothing but the time that a loading takes."""

import random
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.ids import stream_shard
from domain.log.batching import Snapshot
from domain.log.port import Draft, EventLog, Execution, View
from domain.log.snapshots import Kept, keep
from tests.contract.log_domain import (
    Aggregates,
    Counted,
    Note,
    Noted,
    NotePrivate,
    Tally,
    always,
    counting,
    metadata,
    new_id,
    note,
    tally,
)
from tests.contract.log_kit import LogFactory, SnapshotStore

LONG = 150
"""More than one read of the index takes."""


@pytest.fixture(autouse=True)
def kept_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot is left behind after few events."""
    for module in ("sqlite.states", "cassandra.loading"):
        monkeypatch.setattr(f"domain.log.{module}.EVERY", 40)


async def cold(log_factory: LogFactory, log: EventLog) -> EventLog:
    """Another process, to which no stream is known; the one before has ended."""
    await log.close()
    return await log_factory()


async def decided_on(log: EventLog, stream: str, kind: type) -> object:
    """The state that a command is decided on: its loading may leave a snapshot behind."""
    seen: list[object] = []

    def look(view: View) -> Sequence[Draft]:
        seen.append(view.state(stream, kind))
        return ()

    await log.execute(Execution(stream_shard(stream, log.identity.shards), (stream,), look, metadata()))
    return seen[-1]


async def counted(log: EventLog, stream: str, times: int) -> None:
    for start in range(0, times, 50):
        await log.execute(counting(stream, log.identity.shards, *range(start, min(start + 50, times))))


def folded(events: Sequence[object], stream: str) -> object:
    """The state as the events alone give it."""
    aggregates = Aggregates()
    state = aggregates.initial(stream)
    for recorded in events:
        state = aggregates.evolve(stream, state, recorded)  # type: ignore[arg-type]
    return state


async def as_its_events(log: EventLog, stream: str, kind: type) -> object:
    """The state decided on, and the proof that it is the one that the events give, here and in ``states``."""
    state = await decided_on(log, stream, kind)
    assert state == folded(await log.load(stream), stream)
    assert (await log.states([stream]))[stream] == state
    return state


async def noted(log: EventLog, stream: str, subject: str, texts: Sequence[str]) -> None:
    for start in range(0, len(texts), 50):
        drafts = [
            Draft(stream, Noted(topic="weather", private=NotePrivate(text=text))) for text in texts[start : start + 50]
        ]
        await log.execute(
            Execution(
                stream_shard(stream, log.identity.shards),
                (stream,),
                always(*drafts),
                metadata(),
                subject=subject,
                new_subject=start == 0,
            )
        )


async def test_a_long_stream_loads_from_its_snapshot(log_factory: LogFactory, snapshot_store: SnapshotStore) -> None:
    stream = tally(new_id())
    first = await log_factory()
    await counted(first, stream, LONG)
    assert await snapshot_store.read(first, stream) is None
    log = first
    for turn in range(3):
        log = await cold(log_factory, log)
        assert await as_its_events(log, stream, Tally) == Tally(total=sum(range(LONG)) + turn, events=LONG + turn)
        await snapshot_store.settled(log)
        kept = await snapshot_store.read(log, stream)
        assert kept is not None
        assert (kept.version, kept.subject) == (LONG, None)
        await log.execute(counting(stream, log.identity.shards, 1))
    await counted(log, stream, LONG)
    log = await cold(log_factory, log)
    await as_its_events(log, stream, Tally)
    await snapshot_store.settled(log)
    renewed = await snapshot_store.read(log, stream)
    assert renewed is not None
    assert renewed.version == 2 * LONG + 3


async def test_what_is_read_from_a_snapshot_is_what_stands_in_it(
    log_factory: LogFactory, snapshot_store: SnapshotStore
) -> None:
    """The other tests show that nothing changes; this one, that a snapshot is used at all."""
    stream = tally(new_id())
    first = await log_factory()
    await counted(first, stream, LONG)
    await snapshot_store.settled(first)
    log = await cold(log_factory, first)
    await decided_on(log, stream, Tally)
    await snapshot_store.settled(log)
    kept = await snapshot_store.read(log, stream)
    assert kept is not None
    invented = Tally(total=-1, events=LONG)
    forged = keep(Aggregates(), stream, Snapshot(LONG, invented), kept.event_id, {})
    assert forged is not None
    await snapshot_store.write(log, stream, forged)
    assert await decided_on(await cold(log_factory, log), stream, Tally) == invented


@pytest.mark.parametrize("damage", ["body", "event", "version", "edition", "moved", "empty", "later"])
async def test_a_snapshot_that_is_not_right_is_not_used(
    log_factory: LogFactory, snapshot_store: SnapshotStore, damage: str
) -> None:
    stream, other = tally(new_id()), tally(new_id())
    first = await log_factory()
    for each, count in ((stream, LONG), (other, LONG + 7)):
        await counted(first, each, count)
    log = await cold(log_factory, first)
    for each in (stream, other):
        await decided_on(log, each, Tally)
    await snapshot_store.settled(log)
    kept, moved = await snapshot_store.read(log, stream), await snapshot_store.read(log, other)
    assert kept is not None
    assert moved is not None
    changed = {
        "body": msgspec.structs.replace(kept, body=kept.body[:-1] + b"!"),
        "event": msgspec.structs.replace(kept, event_id="another"),
        "version": msgspec.structs.replace(kept, version=kept.version - 1),
        "edition": msgspec.structs.replace(kept, edition="of yesterday"),
        "moved": moved,
        "empty": msgspec.structs.replace(kept, body=b""),
        "later": msgspec.structs.replace(kept, version=10_000),
    }[damage]
    await snapshot_store.write(log, stream, changed)
    fresh = await cold(log_factory, log)
    assert await as_its_events(fresh, stream, Tally) == Tally(total=sum(range(LONG)), events=LONG)
    await snapshot_store.settled(fresh)
    await fresh.execute(counting(stream, fresh.identity.shards, 1))
    await as_its_events(await cold(log_factory, fresh), stream, Tally)


async def test_another_edition_folds_anew(
    log_factory: LogFactory, snapshot_store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = tally(new_id())
    first = await log_factory()
    await counted(first, stream, LONG)
    log = await cold(log_factory, first)
    await decided_on(log, stream, Tally)
    await snapshot_store.settled(log)
    assert await snapshot_store.read(log, stream) is not None

    def doubled(self: Aggregates, _stream: str, state: object, recorded: object) -> object:
        event = getattr(recorded, "event", None)
        if isinstance(state, Tally) and isinstance(event, Counted):
            return Tally(total=state.total + 2 * event.amount, events=state.events + 1)
        return state

    # The deciders were changed, and with them their edition.
    monkeypatch.setattr(Aggregates, "evolve", doubled)
    monkeypatch.setattr(Aggregates, "edition", lambda _self: "of tomorrow")
    for _ in range(2):
        log = await cold(log_factory, log)
        assert await as_its_events(log, stream, Tally) == Tally(total=2 * sum(range(LONG)), events=LONG)
        await snapshot_store.settled(log)
    kept = await snapshot_store.read(log, stream)
    assert kept is not None
    assert kept.edition == "of tomorrow"


async def test_what_a_snapshot_holds_is_forgotten_with_its_key(
    log_factory: LogFactory, snapshot_store: SnapshotStore
) -> None:
    subject = new_id()
    stream = note(subject)
    texts = [f"secret {number}" for number in range(LONG)]
    first = await log_factory()
    await noted(first, stream, subject, texts)
    log = await cold(log_factory, first)
    assert await as_its_events(log, stream, Note) == Note(topic="weather", texts=tuple(texts))
    await snapshot_store.settled(log)
    kept = await snapshot_store.read(log, stream)
    assert kept is not None
    assert kept.subject == subject
    assert b"secret" not in kept.body
    log = await cold(log_factory, log)
    assert await as_its_events(log, stream, Note) == Note(topic="weather", texts=tuple(texts))
    await log.destroy_key(subject)
    for _ in range(2):
        log = await cold(log_factory, log)
        assert await as_its_events(log, stream, Note) == Note(topic="weather", texts=(None,) * LONG)
        await snapshot_store.settled(log)
    after = await snapshot_store.read(log, stream)
    assert after is None or b"secret" not in after.body


async def test_what_two_keys_have_opened_is_not_kept(log_factory: LogFactory, snapshot_store: SnapshotStore) -> None:
    one, other = new_id(), new_id()
    stream = note(one)
    first = await log_factory()
    await noted(first, stream, one, ["rain"] * LONG)
    await noted(first, stream, other, ["sun"] * LONG)
    log = await cold(log_factory, first)
    expected = Note(topic="weather", texts=("rain",) * LONG + ("sun",) * LONG)
    assert await as_its_events(log, stream, Note) == expected
    await snapshot_store.settled(log)
    assert await snapshot_store.read(log, stream) is None
    await log.destroy_key(one)
    expected = Note(topic="weather", texts=(None,) * LONG + ("sun",) * LONG)
    assert await as_its_events(await cold(log_factory, log), stream, Note) == expected


@given(seed=st.integers(0, 2**32))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_history_loads_with_snapshots_as_without(
    log_factory: LogFactory, snapshot_store: SnapshotStore, seed: int
) -> None:
    """Whatever is appended, loaded, destroyed and damaged in whatever order, through whichever process."""
    source = random.Random(seed)
    subject = new_id()
    streams = {tally(new_id()): Tally, note(subject): Note}
    logs = [await log_factory() for _ in range(2)]
    begun = False
    for _ in range(source.randrange(3, 12)):
        log = source.choice(logs)
        stream = source.choice(list(streams))
        match source.randrange(8):
            case 0 | 1 | 2 if streams[stream] is Tally:
                await counted(log, stream, source.randrange(1, 120))
            case 0 | 1 | 2 if not begun:
                texts = [f"text {source.random()}" for _ in range(source.randrange(1, 120))]
                await noted(log, stream, subject, texts)
                begun = True
            case 3 | 4:
                at = source.randrange(2)
                logs[at] = await cold(log_factory, logs[at])
            case 5 if begun and source.random() < 0.3:
                await log.destroy_key(subject)
            case 6:
                kept = await snapshot_store.read(log, stream)
                if kept is not None:
                    await snapshot_store.write(
                        log,
                        stream,
                        Kept(source.randrange(1, 200), kept.event_id, kept.edition, kept.subject, kept.body),
                    )
            case _:
                await as_its_events(log, stream, streams[stream])
        await snapshot_store.settled(log)
    logs[0] = await cold(log_factory, logs[0])
    for stream, kind in streams.items():
        await as_its_events(logs[0], stream, kind)
    for log in logs:
        await log.close()

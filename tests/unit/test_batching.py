"""Batching: what waiting commands become, without a store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.envelope import Metadata, Recorded, sequence
from domain.errors import Code, CorruptStreamError, LogError, Refusal, UnavailableError, refuse
from domain.events import GenerationClosed, SegmentPadded
from domain.log.batching import (
    Base,
    Batch,
    Decision,
    Fate,
    Limits,
    Snapshot,
    Waiting,
    blank,
    decide_batch,
    fold,
    log_stream,
    needed,
    room_after,
    segment_of,
)
from domain.log.codec import decode
from domain.log.generations import closing
from domain.log.port import Decide, Draft, Execution, View
from tests.contract.log_domain import (
    Aggregates,
    Counted,
    Note,
    Noted,
    NotePrivate,
    Tally,
    always,
    new_id,
    note,
    slot_in,
    tally,
)

AGGREGATES = Aggregates()
SHARD, SHARDS = 3, 8
KEY = bytes(32)


def at(seen: int = 0, *, segment_size: int = 8192, recorded_at: int = 0, now: int = 1_000) -> Base:
    return Base(
        shard=SHARD,
        shards=SHARDS,
        generation=1,
        segment_size=segment_size,
        seen=seen,
        recorded_at=recorded_at,
        now=now,
    )


def new_tally() -> str:
    return tally(new_id(slot_in(SHARD, SHARDS)))


def command(decide: Decide, *streams: str, given: Mapping[str, object] | None = None) -> Waiting:
    execution = Execution(
        shard=SHARD,
        streams=streams,
        decide=decide,
        metadata=Metadata(command_id=new_id()),
        given=tuple(given or ()),
    )
    return Waiting(execution, given=given or {})


def counting(stream: str, *amounts: int) -> Waiting:
    return command(always(*(Draft(stream, Counted(amount=amount)) for amount in amounts)), stream)


def batch_of(
    queue: Sequence[Waiting],
    base: Base | None = None,
    snapshots: Mapping[str, Snapshot] | None = None,
    limits: Limits | None = None,
    attempt_id: str = "attempt",
) -> Batch[Waiting]:
    """With the snapshots of all streams blank that are not given."""
    base = base or at()
    known = {stream: blank(AGGREGATES, stream) for stream in (*needed(base, queue), log_stream(SHARD))}
    return decide_batch(
        base,
        queue,
        {**known, **(snapshots or {})},
        AGGREGATES,
        attempt_id=attempt_id,
        limits=limits or Limits(),
    )


def fates(batch: Batch[Waiting]) -> list[Fate]:
    return [decision.fate for decision in batch.decisions]


def test_an_empty_queue_makes_an_empty_batch() -> None:
    batch = batch_of([], at(7, recorded_at=5))
    assert (batch.rows, batch.decisions, batch.head, batch.recorded_at) == ((), (), 7, 5)


def test_rows_continue_positions_versions_and_the_chain_of_ids() -> None:
    one, other = new_tally(), new_tally()
    snapshots = {one: Snapshot(4, Tally(total=9, events=4))}
    batch = batch_of([counting(one, 1, 2), counting(other, 3), counting(one, 4)], at(41), snapshots)
    assert [row.position for row in batch.rows] == [42, 43, 44, 45]
    assert [(row.stream, row.version) for row in batch.rows] == [(one, 5), (one, 6), (other, 1), (one, 7)]
    assert [row.event_id for row in batch.rows] == ["attempt-0", "attempt-1", "attempt-2", "attempt-3"]
    assert {row.attempt_id for row in batch.rows} == {"attempt"}
    assert batch.head == 45
    assert batch.changed == {one: Snapshot(7, Tally(total=16, events=7)), other: Snapshot(1, Tally(total=3, events=1))}
    assert [decode(row, {}) for row in batch.rows] == list(batch.recorded)


def test_every_command_sees_those_before_it() -> None:
    stream = new_tally()

    def next_number(view: View) -> Sequence[Draft]:
        return [Draft(stream, Counted(amount=view.state(stream, Tally).events + 1))]

    batch = batch_of([command(next_number, stream) for _ in range(5)])
    assert [decision.events[0].event for decision in batch.decisions] == [Counted(amount=n) for n in range(1, 6)]
    assert [decision.states[stream] for decision in batch.decisions][1] == Tally(total=3, events=2)


def test_a_given_state_of_the_written_shard_is_as_new_as_the_batch() -> None:
    counted, written = new_tally(), new_tally()
    seen: list[int] = []

    def look(view: View) -> Sequence[Draft]:
        seen.append(view.state(counted, Tally).events)
        return ()

    batch_of([counting(counted, 1), command(look, written, given={counted: Tally()})])
    assert seen == [1]


def test_what_is_not_named_cannot_be_read() -> None:
    stream = new_tally()

    def look(view: View) -> Sequence[Draft]:
        view.state(stream, Tally)
        return ()

    (decision,) = batch_of([command(look, new_tally())]).decisions
    assert (decision.fate, type(decision.error)) == (Fate.FAILED, KeyError)


def test_a_stream_that_was_not_loaded_fails_its_command() -> None:
    stream = new_tally()
    batch = decide_batch(at(), [counting(stream, 1)], {}, AGGREGATES, attempt_id="a")
    assert isinstance(batch.decisions[0].error, LogError)


def test_a_fresh_stream_is_blank_until_the_batch_fills_it() -> None:
    stream = new_tally()
    drafts = always(Draft(stream, Counted()))
    fresh = Execution(SHARD, (stream,), drafts, Metadata(command_id="c"), fresh=frozenset({stream}))
    batch = decide_batch(at(), [Waiting(fresh), Waiting(fresh)], {}, AGGREGATES, attempt_id="a")
    assert [row.version for row in batch.rows] == [1, 2]
    assert list(needed(at(), [Waiting(fresh)])) == []


def test_refusals_no_changes_and_defects_leave_no_trace() -> None:
    stream = new_tally()

    def refusing(_view: View) -> Sequence[Draft]:
        raise refuse(Code.CONFLICT, "no")

    def failing(_view: View) -> Sequence[Draft]:
        raise ZeroDivisionError

    queue = [
        counting(stream, 1),
        command(refusing, stream),
        command(failing, stream),
        counting(stream),
        counting(stream, 1),
    ]
    batch = batch_of(queue, at(10))
    assert fates(batch) == [Fate.APPENDED, Fate.REFUSED, Fate.FAILED, Fate.UNCHANGED, Fate.APPENDED]
    assert [row.version for row in batch.rows] == [1, 2]
    # Where there are no events, the answer rests on those before it in the batch.
    assert [decision.sequence for decision in batch.decisions] == [sequence(1, p) for p in (11, 11, 11, 11, 12)]
    with pytest.raises(Refusal):
        batch.decisions[1].outcome()
    with pytest.raises(ZeroDivisionError):
        batch.decisions[2].outcome()
    unchanged = batch.decisions[3].outcome()
    assert (unchanged.events, unchanged.states) == ((), {stream: Tally(total=1, events=1)})
    assert unchanged.positions == {SHARD: sequence(1, 11)}


def test_an_answer_on_an_empty_shard_holds_at_zero() -> None:
    (decision,) = batch_of([counting(new_tally())]).decisions
    assert decision.outcome().positions == {SHARD: 0}


def test_a_defect_in_evolve_takes_no_event_of_its_command_along() -> None:
    class Fragile(Aggregates):
        def evolve(self, stream: str, state: object, recorded: Recorded) -> object:
            if recorded.event == Counted(amount=13):
                raise ZeroDivisionError
            return super().evolve(stream, state, recorded)

    stream = new_tally()
    queue = [counting(stream, 1, 13), counting(stream, 2)]
    batch = decide_batch(at(), queue, {stream: blank(AGGREGATES, stream)}, Fragile(), attempt_id="a")
    assert fates(batch) == [Fate.FAILED, Fate.APPENDED]
    assert [(row.version, row.position) for row in batch.rows] == [(1, 1)]


@pytest.mark.parametrize(
    "drafts",
    [
        pytest.param(lambda _own: [Draft(new_tally(), Counted())], id="a stream that is not named"),
        pytest.param(lambda own: [Draft(own, Counted())] * 65, id="too many events"),
        pytest.param(lambda own: [Draft(own, Noted(topic="x", private=NotePrivate(text="y")))], id="no subject"),
        pytest.param(lambda own: [Draft(own, Noted(topic="x" * 300_000))], id="too many bytes"),
    ],
)
def test_what_breaks_the_port_fails(drafts: Callable[[str], list[Draft]]) -> None:
    stream = new_tally()
    batch = batch_of([command(always(*drafts(stream)), stream), counting(stream, 1)])
    assert fates(batch) == [Fate.FAILED, Fate.APPENDED]
    assert isinstance(batch.decisions[0].error, ValueError)


def test_a_stream_of_another_shard_fails() -> None:
    stream = tally(new_id(slot_in(SHARD + 1, SHARDS)))
    batch = batch_of([counting(stream, 1)])
    assert fates(batch) == [Fate.FAILED]
    assert "not in shard 3" in str(batch.decisions[0].error)


def test_sealing_uses_the_commands_own_key() -> None:
    one, other = note(new_id(slot_in(SHARD, SHARDS))), note(new_id(slot_in(SHARD, SHARDS)))

    def noting(stream: str, subject: str, key: bytes | None) -> Waiting:
        drafts = always(Draft(stream, Noted(topic="t", private=NotePrivate(text="typed"))))
        execution = Execution(SHARD, (stream,), drafts, Metadata(command_id="c"), subject=subject)
        return Waiting(execution, key=key)

    batch = batch_of([noting(one, "ada", KEY), noting(other, "bob", None), noting(other, "cyd", b"c" * 32)])
    assert fates(batch) == [Fate.APPENDED, Fate.REFUSED, Fate.APPENDED]
    assert [row.subject for row in batch.rows] == ["ada", "cyd"]
    assert batch.changed[one] == Snapshot(1, Note(topic="t", texts=("typed",)), frozenset({"ada"}))
    assert [decode(row, {"ada": KEY, "cyd": b"c" * 32}) for row in batch.rows] == list(batch.recorded)


def test_time_never_runs_backwards() -> None:
    stream = new_tally()
    behind = batch_of([counting(stream, 1)], at(5, recorded_at=9_000, now=8_000))
    ahead = batch_of([counting(stream, 1)], at(5, recorded_at=9_000, now=9_500))
    assert (behind.rows[0].recorded_at, behind.recorded_at) == (9_000, 9_000)
    assert (ahead.rows[0].recorded_at, ahead.recorded_at) == (9_500, 9_500)


def test_a_draft_keeps_its_own_time() -> None:
    stream = new_tally()
    drafts = always(Draft(stream, Counted(), occurred_at=77), Draft(stream, Counted()))
    batch = batch_of([command(drafts, stream)], at(now=1_234))
    assert [(row.occurred_at, row.recorded_at) for row in batch.rows] == [(77, 1_234), (1_234, 1_234)]


def test_a_full_batch_leaves_the_rest_of_the_queue_in_order() -> None:
    stream = new_tally()
    queue = [counting(stream, *range(1, size + 1)) for size in (30, 30, 5, 1)]
    batch = batch_of(queue)
    # The last one would fit, and must not overtake the one that does not.
    assert [decision.waiting for decision in batch.decisions] == queue[:2]
    assert len(batch.rows) == 60
    assert not any(isinstance(recorded.event, SegmentPadded) for recorded in batch.recorded)


def test_a_batch_is_bounded_by_bytes() -> None:
    streams = [note(new_id(slot_in(SHARD, SHARDS))) for _ in range(6)]
    queue = [command(always(Draft(stream, Noted(topic="x" * 100_000))), stream) for stream in streams]
    batch = batch_of(queue)
    assert len(batch.decisions) == 2
    assert sum(row.size for row in batch.rows) <= 256 * 1024


def test_a_segment_is_filled_up_where_the_next_command_does_not_fit() -> None:
    stream = new_tally()
    padded = Snapshot(11, None)
    queue = [counting(stream, 1, 2), counting(stream, 3, 4, 5), counting(stream, 6)]
    batch = batch_of(queue, at(64 * 5 - 4, segment_size=64), {"shard-3": padded})
    assert [recorded.stream for recorded in batch.recorded] == [stream, stream, "shard-3", "shard-3"]
    assert [row.version for row in batch.rows] == [1, 2, 12, 13]
    assert batch.head == 64 * 5
    assert len(batch.decisions) == 1
    assert batch.decisions[0].sequence == sequence(1, 64 * 5 - 2)
    assert batch.changed["shard-3"].version == 13


def test_a_batch_may_be_padding_alone() -> None:
    batch = batch_of([counting(new_tally(), *range(64))], at(1, segment_size=64))
    assert batch.decisions == ()
    assert (len(batch.rows), batch.head) == (63, 64)


def test_a_command_that_ends_with_its_segment_needs_no_padding() -> None:
    batch = batch_of([counting(new_tally(), 1, 2)], at(62, segment_size=64))
    assert (len(batch.rows), batch.head, len(batch.decisions)) == (2, 64, 1)


def test_a_segment_smaller_than_a_batch_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="segment"):
        batch_of([], at(segment_size=63))


def test_the_logs_own_stream_is_needed_near_a_segments_end_alone() -> None:
    queue = [counting("tally-a", 1)]
    assert list(needed(at(0, segment_size=100), queue)) == ["tally-a"]
    assert list(needed(at(36, segment_size=100), queue)) == ["tally-a"]
    assert list(needed(at(37, segment_size=100), queue)) == ["shard-3", "tally-a"]


@given(st.integers(0, 10_000), st.integers(64, 300))
def test_segment_arithmetic(seen: int, segment_size: int) -> None:
    room = room_after(seen, segment_size)
    assert 1 <= room <= segment_size
    assert segment_of(seen + 1, segment_size) == segment_of(seen + room, segment_size)
    assert segment_of(seen + room + 1, segment_size) == segment_of(seen + 1, segment_size) + 1


@given(
    sizes=st.lists(st.integers(0, 64), max_size=60),
    start=st.integers(0, 300),
    segment_size=st.integers(64, 100),
    byte_limit=st.integers(30_000, 100_000),
)
def test_any_queue_is_packed_whole_and_in_order(
    sizes: list[int], start: int, segment_size: int, byte_limit: int
) -> None:
    streams = [new_tally() for _ in range(4)]
    queue = [counting(streams[index % 4], *range(size)) for index, size in enumerate(sizes)]
    rest = list(queue)
    snapshots: dict[str, Snapshot] = {}
    base = at(start, segment_size=segment_size)
    batches: list[Batch[Waiting]] = []
    decisions: list[Decision[Waiting]] = []
    while rest:
        batch = batch_of(rest, base, snapshots, Limits(bytes=byte_limit), attempt_id=f"a{len(batches)}")
        assert batch.rows or batch.decisions, "a round that gets nowhere would go on for ever"
        snapshots.update(batch.changed)
        base = at(batch.head, segment_size=segment_size)
        batches.append(batch)
        decisions += batch.decisions
        del rest[: len(batch.decisions)]
    rows = [row for batch in batches for row in batch.rows]
    assert [row.position for row in rows] == list(range(start + 1, start + 1 + len(rows)))
    assert [decision.waiting for decision in decisions] == queue
    assert [len(decision.events) for decision in decisions] == sizes
    assert len({row.event_id for row in rows}) == len(rows)
    versions: dict[str, int] = {}
    for row in rows:
        versions[row.stream] = versions.get(row.stream, 0) + 1
        assert row.version == versions[row.stream]
    for batch in batches:
        assert len(batch.rows) <= 64
        assert len({segment_of(row.position, segment_size) for row in batch.rows}) <= 1
        padding = [row for row in batch.rows if row.type == "log.segment_padded"]
        if padding:
            assert batch.head % segment_size == 0
            assert list(batch.rows[-len(padding) :]) == padding


def test_the_snapshots_that_were_given_stay_as_they_are() -> None:
    stream = new_tally()
    snapshots = {stream: blank(AGGREGATES, stream)}
    decide_batch(at(), [counting(stream, 1)], snapshots, AGGREGATES, attempt_id="a")
    assert snapshots == {stream: Snapshot(0, Tally())}


def test_folding_skips_and_repeats_nothing() -> None:
    stream = new_tally()
    (first, second, third) = batch_of([counting(stream, 1, 2, 3)]).recorded
    once = fold(AGGREGATES, blank(AGGREGATES, stream), first, None)
    assert fold(AGGREGATES, once, second, "ada") == Snapshot(2, Tally(total=3, events=2), frozenset({"ada"}))
    for wrong in (first, third):
        with pytest.raises(CorruptStreamError, match="must follow"):
            fold(AGGREGATES, once, wrong, None)


def test_nothing_is_decided_behind_the_end_of_a_generation() -> None:
    stream = new_tally()
    ending = Waiting(closing(SHARD, 1, new_id()))
    queue = [counting(stream, 1), ending, counting(stream, 2), command(always(), stream)]
    batch = batch_of(queue)
    assert fates(batch) == [Fate.APPENDED, Fate.APPENDED, Fate.FAILED, Fate.FAILED]
    assert [row.type for row in batch.rows] == [Counted.name, GenerationClosed.name]
    assert batch.closed
    for decision in batch.decisions[2:]:
        with pytest.raises(UnavailableError, match="generation 1"):
            decision.outcome()


def test_a_generation_that_has_ended_is_not_even_filled_up() -> None:
    stream = new_tally()
    base = replace(at(60, segment_size=64), closed=True)
    batch = batch_of([counting(stream, *range(10)), command(always(), stream)], base)
    assert (fates(batch), batch.rows, batch.closed) == ([Fate.FAILED, Fate.FAILED], (), True)


def test_a_command_cannot_go_on_behind_the_end() -> None:
    stream = new_tally()
    drafts = [Draft(log_stream(SHARD), GenerationClosed(generation=1)), Draft(stream, Counted())]
    batch = batch_of([command(always(*drafts), log_stream(SHARD), stream), counting(stream, 1)])
    assert fates(batch) == [Fate.FAILED, Fate.APPENDED]
    assert isinstance(batch.decisions[0].error, ValueError)

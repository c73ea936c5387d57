"""What the log on Cassandra keeps in memory, against models of it: the tail, the view, the runs that were copied."""

from hypothesis import given
from hypothesis import strategies as st

from domain.log.batching import Snapshot
from domain.log.cassandra.copier import Copier
from domain.log.cassandra.index import CHUNK_BYTES, chunks
from domain.log.cassandra.table import contiguous
from domain.log.cassandra.tail import Tail
from domain.log.cassandra.view import Entry, View
from domain.log.codec import StoredEvent


def row(position: int, stream: str = "said-a", payload: bytes = b"{}") -> StoredEvent:
    return StoredEvent(
        1, 0, position, stream, position, f"e-{position}", "said", 1, payload, None, None, b"{}", 0, position * 10, "a"
    )


@given(st.lists(st.one_of(st.sampled_from("abc"), st.integers(0, 60)), max_size=60), st.integers(0, 5))
def test_the_tail_holds_what_came_after_its_floor(steps: list[str | int], floor: int) -> None:
    tail, model, seen = Tail(row(floor) if floor else None), [], floor
    for step in steps:
        if isinstance(step, str):
            seen += 1
            model.append(row(seen, step))
            tail.add(model[-1])
        else:
            tail.raise_floor(step)
            model = [each for each in model if each.position > min(step, seen)]
        assert (tail.seen, len(tail)) == (seen, len(model))
        assert tail.recorded_at == seen * 10
        assert list(tail.after(tail.floor, 100)) == model
        assert list(tail.after(tail.floor + 2, 3)) == model[2:5]
        for stream in "abc":
            assert list(tail.of(stream)) == [each for each in model if each.stream == stream]


@given(st.sets(st.integers(1, 40)), st.integers(0, 45))
def test_copied_runs_are_known_until_they_are_forgotten(positions: set[int], watermark: int) -> None:
    copier = Copier.__new__(Copier)
    copier._done = []
    for position in sorted(positions):
        copier._note(position)
    for start in range(45):
        end = start
        while end + 1 in positions:
            end += 1
        assert copier.copied_through(start) == end
    copier.forget(watermark)
    above = {position for position in positions if position > watermark}
    assert all(copier.copied_through(position - 1) >= position for position in above)
    assert all(last > watermark for _, last in copier._done)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=60), st.integers(1, 4))
def test_what_is_pinned_stays_in_the_view(steps: list[tuple[str, bool]], size: int) -> None:
    view = View(size)
    pinned: list[Entry] = []
    for stream, pins in steps:
        if pins or not pinned:
            pinned.append(view.pin(stream) or view.add(stream, Snapshot(0, None)))
        else:
            view.unpin(pinned.pop(0))
        assert not any(entry.dropped for entry in pinned)
        assert all(view.get(entry.stream) is entry for entry in pinned)
        assert len(view) <= max(size, len({entry.stream for entry in pinned}))


def test_a_dropped_entry_is_marked_for_whoever_holds_it() -> None:
    view = View(10)
    entry = view.add("said-a", Snapshot(1, "sealed", frozenset({"ada"})))
    other = view.add("said-b", Snapshot(1, "open"))
    view.drop_subject("ada")
    assert (entry.dropped, other.dropped) == (True, False)
    assert view.pin("said-a") is None
    view.unpin(entry)
    view.clear()
    assert other.dropped


@given(st.lists(st.integers(1, 2 * CHUNK_BYTES), max_size=30))
def test_chunks_keep_the_order_and_fit_a_batch(sizes: list[int]) -> None:
    rows = [row(n, payload=b"x" * size) for n, size in enumerate(sizes, 1)]
    made = list(chunks(rows))
    assert [each for chunk in made for each in chunk] == rows
    assert all(len(chunk) == 1 or sum(each.size for each in chunk) <= CHUNK_BYTES for chunk in made)


def test_a_run_ends_at_its_first_hole() -> None:
    rows = [row(position) for position in (3, 4, 6, 7)]
    assert contiguous(rows, 2) == rows[:2]
    assert contiguous(rows, 1) == []

"""Batches: grouping, cutting, and what becomes of an event that does not fold."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.envelope import Metadata, Recorded
from domain.errors import UnknownEventError
from domain.events import Followed, PostLiked
from projections import home
from projections.documents.port import Change, Collection, Documents, Fidelity, Shape
from projections.folding import DEFERRED_WEIGHT, Alter, Deferred, Family, Operation, Put, on
from projections.runtime.applying import OPERATIONS
from projections.runtime.batches import Batch, fold_batch
from projections.runtime.deadletters import Stage
from projections.runtime.runner import EVENTS

STATE = Collection("f", "state", Shape.STATE, Fidelity.EXACT)
ROWS = Collection("f", "rows", Shape.ROWS, Fidelity.EXACT)


def recorded(position: int, post: str = "p", actor: str = "a") -> Recorded:
    return Recorded(
        event_id=f"e{position}",
        stream=f"reaction-{post}-{actor}",
        version=1,
        event=PostLiked(post=post, author="x", actor=actor),
        metadata=Metadata(command_id="c"),
        occurred_at=position,
        recorded_at=position,
        attempt_id="t",
        generation=1,
        shard=3,
        position=position,
    )


def sequences(*positions: int) -> list[int]:
    return [recorded(position).sequence for position in positions]


async def nothing(_: Documents, __: Sequence[Recorded]) -> None: ...


def family(*, poison: frozenset[str] = frozenset(), unknown: frozenset[str] = frozenset()) -> Family:
    def fold(event: Recorded, liked: PostLiked) -> list[Operation]:
        if event.event_id in unknown:
            raise UnknownEventError("newer than this program")
        if event.event_id in poison:
            raise KeyError("a secret")
        return [
            Alter(STATE, liked.post, Change(inc={"likes": 1})),
            Alter(STATE, liked.post, Change(inc={"views": 1})),
            Put(ROWS, liked.actor, {"at": event.position}),
            Deferred(nothing),
        ]

    return Family("f", (STATE, ROWS), dict((on(PostLiked, fold),)))


def batch(events: list[Recorded], of: Family | None = None, *, operations: int = 10_000, since: int = 1 << 62) -> Batch:
    return fold_batch(of or family(), events, parked=lambda e: e.position >= since, operations=operations)


def test_a_document_is_written_once_with_its_changes_in_order() -> None:
    made = batch([recorded(1, "p"), recorded(2, "q"), recorded(3, "p")])
    docs = {doc.id: doc for doc in made.docs[STATE]}
    assert set(docs) == {"p", "q"}
    assert [at for at, _ in docs["p"].changes] == sequences(1, 3)
    assert all(len(changes) == 2 for _, changes in docs["p"].changes)
    assert {doc.shard for doc in docs.values()} == {3}


def test_of_a_rows_versions_only_the_last_is_written() -> None:
    made = batch([recorded(1, actor="a"), recorded(2, actor="a")])
    assert [(row.id, row.position, row.fields) for row in made.rows[ROWS]] == [("a", sequences(2)[0], {"at": 2})]


def test_of_rows_with_positions_of_their_own_the_highest_stands() -> None:
    def fold(happened: Recorded, liked: PostLiked) -> list[Operation]:
        return [Put(ROWS, "r", {"by": liked.actor}, position=1_000 - happened.position)]

    keeping = Family("f", (ROWS,), dict((on(PostLiked, fold),)))
    (row,) = batch([recorded(n, actor=f"a{n}") for n in (3, 4)], keeping).rows[ROWS]
    assert (row.fields, row.position) == ({"by": "a3"}, 997)


def test_deferred_operations_keep_the_order_of_the_events() -> None:
    assert [event.position for event, _ in batch([recorded(n) for n in (1, 2, 3)]).deferred] == [1, 2, 3]


def test_a_batch_ends_with_the_event_that_fills_it() -> None:
    made = batch([recorded(n) for n in range(1, 10)], operations=2 * (DEFERRED_WEIGHT + 3))
    assert (made.events, [made.upto]) == (2, sequences(2))


def test_a_whole_run_of_follows_is_one_batch_of_home() -> None:
    follows = [replace(recorded(n), event=Followed(follower=f"f{n}", followee="x")) for n in range(1, EVENTS + 1)]
    made = fold_batch(home.FAMILY, follows, parked=lambda _: False, operations=OPERATIONS)
    assert made.events > 0.9 * EVENTS


def test_an_event_that_does_not_fold_is_parked_with_what_follows_in_its_stream() -> None:
    events = [recorded(1, "p"), recorded(2, "q"), recorded(3, "p"), recorded(4, "q")]
    made = batch(events, family(poison=frozenset({"e1"})))
    assert [doc.id for doc in made.docs[STATE]] == ["q"]
    assert [(letter.recorded.position, letter.stage) for letter in made.letters] == [(1, Stage.FOLD), (3, Stage.PARKED)]
    assert [made.upto] == sequences(4)


def test_a_dead_letter_does_not_tell_what_was_typed() -> None:
    (letter,) = batch([recorded(1)], family(poison=frozenset({"e1"}))).letters
    assert letter.error.startswith("KeyError at test_runtime_batches.py:")
    assert "secret" not in str(letter.row("f", "f.v1"))


def test_what_is_parked_already_is_not_folded() -> None:
    made = batch([recorded(1), recorded(2)], since=2)
    assert [doc.changes[0][0] for doc in made.docs[STATE]] == sequences(1)
    assert [letter.stage for letter in made.letters] == [Stage.PARKED]


def test_a_batch_ends_in_front_of_an_unknown_event() -> None:
    unknown = family(unknown=frozenset({"e2"}))
    assert [batch([recorded(1), recorded(2), recorded(3)], unknown).upto] == sequences(1)
    with pytest.raises(UnknownEventError):
        batch([recorded(2), recorded(3)], unknown)


@dataclass(frozen=True)
class Flat:
    """What a run of batches does, whatever their bounds."""

    changes: list[tuple[str, int, tuple[Change, ...]]]
    rows: dict[str, int]
    letters: list[int]


def flat(events: list[Recorded], of: Family, cuts: list[int]) -> Flat:
    answer = Flat([], {}, [])
    parked: dict[str, int] = {}
    rest, turn = events, 0
    while rest:
        size = cuts[turn % len(cuts)]
        made = fold_batch(
            of, rest[:size], parked=lambda e: e.sequence >= parked.get(e.stream, 1 << 62), operations=size * 40
        )
        for letter in made.letters:
            parked.setdefault(letter.recorded.stream, letter.recorded.sequence)
        answer.changes.extend(
            (doc.id, at, changes) for docs in made.docs.values() for doc in docs for at, changes in doc.changes
        )
        answer.rows.update((row.id, row.position) for rows in made.rows.values() for row in rows)
        answer.letters.extend(letter.recorded.position for letter in made.letters)
        rest, turn = [event for event in rest if event.sequence > made.upto], turn + 1
    answer.changes.sort(key=lambda change: change[:2])
    return answer


@given(
    who=st.lists(st.tuples(st.sampled_from("pqr"), st.sampled_from("abc")), min_size=1, max_size=30),
    poison=st.frozensets(st.integers(1, 30).map("e{}".format), max_size=3),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=5),
)
def test_where_batches_end_makes_no_difference(
    who: list[tuple[str, str]], poison: frozenset[str], cuts: list[int]
) -> None:
    events = [recorded(n, post, actor) for n, (post, actor) in enumerate(who, start=1)]
    of = family(poison=poison)
    assert flat(events, of, cuts) == flat(events, of, [len(events)])

"""Novelty: what is held to be new, and how soon a wrong guess is given up."""

from projections.documents.mongo.novelty import Novelty
from projections.documents.port import Change, Doc


def doc(id: str, change: Change) -> Doc:
    return Doc(id, 0, ((1, (change,)),))


MADE = [doc(f"made{n}", Change(set={"author": "a"})) for n in range(20)]
COUNTED = [doc(f"counted{n}", Change(inc={"likes": 1})) for n in range(20)]


def test_everything_is_new_until_it_is_known() -> None:
    assert Novelty().split("posts", [*MADE, *COUNTED]) == ([*MADE, *COUNTED], [])


def test_what_is_only_counted_is_known_apart_from_what_is_made() -> None:
    novelty = Novelty()
    novelty.learn("posts", COUNTED, [False] * 20)
    assert novelty.split("posts", [*MADE, *COUNTED]) == (MADE, COUNTED)
    assert novelty.split("profiles", COUNTED) == (COUNTED, [])


def test_a_guess_follows_what_the_store_says() -> None:
    novelty = Novelty()
    novelty.learn("posts", MADE[:1], [False])
    assert novelty.split("posts", MADE) == (MADE, [])
    for _ in range(3):
        novelty.learn("posts", MADE[:1], [False])
    assert novelty.split("posts", MADE) == ([], MADE)
    novelty.learn("posts", MADE, [True] * 20)
    assert novelty.split("posts", MADE) == (MADE, [])


def test_nothing_is_learned_of_nothing() -> None:
    novelty = Novelty()
    novelty.learn("posts", [], [])
    assert novelty.split("posts", MADE) == (MADE, [])

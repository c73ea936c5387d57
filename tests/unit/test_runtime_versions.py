"""Versions of families: what may become of them, and what a worker makes of them."""

from dataclasses import replace

import pytest
from msgspec.structs import replace as altered

from projections.folding import Family
from projections.runtime.caretaking import has_work
from projections.runtime.lanes import followed, lanes, outdated
from projections.runtime.versions import (
    Asker,
    RebuildError,
    Standing,
    Versions,
    aborted,
    begun,
    dropped,
    joined,
    retired,
    switched,
)

FAMILY = Family("posts", (), {})
NEWER = replace(FAMILY, version=2)
FOLLOWER = Family("signals", (), {}, follows=("posts",))
FILLING = begun(Standing(), 1, Asker.OPERATOR, 5)
JOINED = joined(FILLING, 2)
SWITCHED = switched(JOINED, 2)


def labels(standing: Standing, family: Family = FAMILY) -> list[str]:
    return [lane.label for lane in lanes(Versions(1, {"posts": standing}), [family])]


def test_a_number_is_never_given_twice() -> None:
    again = begun(dropped(aborted(FILLING), 2), 1, Asker.OPERATOR, 6)
    assert again.build is not None
    assert (FILLING.last, again.build.version, again.live) == (2, 3, 1)


def test_only_what_has_joined_becomes_live() -> None:
    with pytest.raises(RebuildError, match="not folded"):
        switched(FILLING, 2)
    assert (SWITCHED.live, SWITCHED.retiring, SWITCHED.build) == (2, 1, None)
    assert retired(SWITCHED).dropping == (1,)
    assert dropped(retired(SWITCHED), 1).quiet


def test_what_was_aborted_is_neither_joined_nor_switched() -> None:
    for step in (joined, switched):
        with pytest.raises(RebuildError, match="aborted"):
            step(aborted(JOINED), 2)
    with pytest.raises(RebuildError, match="no rebuild"):
        aborted(Standing())


def test_nothing_begins_before_the_last_has_ended() -> None:
    for standing in (FILLING, JOINED, SWITCHED, retired(SWITCHED)):
        with pytest.raises(RebuildError, match="on its way"):
            begun(standing, 1, Asker.OPERATOR, 7)


def test_workers_fold_what_is_live_joined_or_still_read() -> None:
    assert labels(Standing()) == ["posts"]
    assert labels(FILLING) == ["posts"]
    assert labels(JOINED) == ["posts", "posts.v2"]
    assert labels(SWITCHED) == ["posts", "posts.v1"]
    assert labels(retired(SWITCHED)) == ["posts"]
    assert labels(Standing(live=0, last=0, fold=0)) == []


def test_other_folds_do_not_fill_what_these_have_begun() -> None:
    assert labels(JOINED, NEWER) == ["posts"]
    assert outdated(Versions(1, {"posts": altered(SWITCHED, fold=2)}), [FAMILY, FOLLOWER]) == ["posts"]
    assert outdated(Versions(1, {"posts": SWITCHED}), [NEWER]) == []


def test_who_follows_is_held_by_what_is_live_or_has_joined_and_by_nothing_that_fills() -> None:
    for standing, held in ((FILLING, ["posts"]), (JOINED, ["posts", "posts.v2"]), (SWITCHED, ["posts"])):
        assert followed(Versions(1, {"posts": standing}), FOLLOWER.follows) == held
    assert followed(Versions(1, {"posts": Standing(live=0, last=0, fold=0)}), FOLLOWER.follows) == []


def test_workers_see_to_what_is_new_changed_or_left() -> None:
    assert not has_work(FAMILY, Standing())
    assert not has_work(FAMILY, FILLING)
    assert not has_work(FAMILY, JOINED)
    assert has_work(NEWER, Standing())
    assert has_work(FAMILY, Standing(live=0, last=0, fold=0))
    assert has_work(FAMILY, begun(Standing(live=0, last=0, fold=0), 1, Asker.OPERATOR, 5))
    assert has_work(FAMILY, begun(Standing(), 1, Asker.CODE, 5))
    assert has_work(FAMILY, SWITCHED)
    assert has_work(FAMILY, aborted(FILLING))
    assert not has_work(FAMILY, begun(Standing(), 2, Asker.CODE, 5))

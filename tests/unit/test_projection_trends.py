"""Trend scores: the formula against its own words, and what it does to rises, falls and ages."""

import math

from hypothesis import given
from hypothesis import strategies as st

from projections.trend_scores import DAY, HOUR, LOOKBACK, TAG_FORMULA, Day, Use, distinct, history, ranked, score

NOW = 500_000 * HOUR
"""The end of an hour."""

uses_lists = st.lists(
    st.builds(Use, st.integers(NOW - 5 * DAY, NOW + HOUR), st.sampled_from("abcdefghijkl")), max_size=60
).map(sorted)


def by_definition(uses: list[Use], at: int, window: int) -> float:
    """The highest decayed burst, hour by hour, as the module's docstring says it."""
    best, hour = 0.0, at // HOUR - LOOKBACK // HOUR - 1
    while hour * HOUR < at:
        t = min((hour + 1) * HOUR, at)
        if at - t <= LOOKBACK:
            o = len({use.account for use in uses if t - window < use.at <= t})
            e = max(1, len({use.account for use in uses if t - DAY - window < use.at <= t - DAY}))
            if o >= 5 and o > e:
                best = max(best, (o - e) ** 2 / e * 2 ** (-(at - t) / (4 * HOUR)))
        hour += 1
    return best


@given(uses=uses_lists, at=st.integers(NOW - DAY, NOW + HOUR), window=st.sampled_from([HOUR, DAY]))
def test_a_score_is_what_the_formula_says(uses: list[Use], at: int, window: int) -> None:
    expected, found = by_definition(uses, at, window), score(uses, at, window, TAG_FORMULA)
    if expected < 1:
        assert found is None
    else:
        assert found is not None
        assert math.isclose(found.value, expected)


@given(uses=uses_lists, ends=st.lists(st.integers(NOW - 5 * DAY, NOW), max_size=8).map(sorted))
def test_distinct_counts_accounts_in_each_window(uses: list[Use], ends: list[int]) -> None:
    naive = [len({use.account for use in uses if end - HOUR < use.at <= end}) for end in ends]
    assert distinct(uses, ends, HOUR) == naive


def crowd(at: int, size: int) -> list[Use]:
    return [Use(at, f"account{number}") for number in range(size)]


def test_five_authors_in_an_hour_score_sixteen() -> None:
    found = score(crowd(NOW, 5), NOW, HOUR, TAG_FORMULA)
    assert found is not None
    assert found.value == 16
    assert found.started_at == NOW - HOUR
    assert score(crowd(NOW, 4), NOW, HOUR, TAG_FORMULA) is None


def test_one_author_many_times_is_one() -> None:
    assert score([Use(NOW, "a")] * 50, NOW, HOUR, TAG_FORMULA) is None


def test_a_burst_loses_half_in_four_hours_and_ends_below_one() -> None:
    uses = crowd(NOW, 5)
    for hours, expected in ((4, 8.0), (8, 4.0), (16, 1.0)):
        found = score(uses, NOW + hours * HOUR, HOUR, TAG_FORMULA)
        assert found is not None
        assert found.value == expected
    assert score(uses, NOW + 17 * HOUR, HOUR, TAG_FORMULA) is None


def test_the_same_as_yesterday_is_no_burst() -> None:
    days = [use for day in (3, 2, 1, 0) for use in crowd(NOW - day * DAY, 20)]
    assert score(days, NOW, HOUR, TAG_FORMULA) is None


def test_a_fall_is_no_burst() -> None:
    """(o − e)² / e alone would rank the fall, at 30.6, above what is left of the rise."""
    found = score([*crowd(NOW - DAY, 40), *crowd(NOW, 5)], NOW, HOUR, TAG_FORMULA)
    assert found is not None
    assert found.started_at == NOW - DAY - HOUR
    assert math.isclose(found.value, 39**2 * 2**-6)


def test_subjects_are_ranked_by_score_and_name() -> None:
    uses = {"small": crowd(NOW, 5), "b": crowd(NOW, 9), "a": crowd(NOW, 9), "none": crowd(NOW, 2)}
    assert list(ranked(uses, NOW, HOUR, TAG_FORMULA, 10)) == ["a", "b", "small"]
    assert list(ranked(uses, NOW, HOUR, TAG_FORMULA, 2)) == ["a", "b"]


def test_history_counts_seven_days_back() -> None:
    uses = [Use(NOW - 7 * DAY, "z"), Use(NOW - DAY, "a"), Use(NOW - HOUR, "a"), Use(NOW, "a"), Use(NOW, "b")]
    days = history(uses, NOW)
    assert days[:2] == (Day(NOW, 3, 2), Day(NOW - DAY, 1, 1))
    assert [day.uses for day in days] == [3, 1, 0, 0, 0, 0, 0]

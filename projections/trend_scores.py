"""Trend scores: a burst test with decay, a pure function of uses and a time (Mastodon, app/models/trends/tags.rb, with hours in place of days).

For each hour h let t = min(end of h, T): o counts the distinct accounts that used the subject in (t − window, t], e those of the same span a day
earlier, at least 1. burst(h) = (o − e)² / e where o >= floor and o > e. score(T) = max over h of burst(h) · 2^(−(T − t) / half-life).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

HOUR: Final = 3_600_000_000
DAY: Final = 24 * HOUR
LOOKBACK: Final = 48 * HOUR
"""Hours that a score looks back on; a peak is forgotten after that (Mastodon keeps it two days)."""
HISTORY_DAYS: Final = 7


class Use(NamedTuple):
    """An account's first use of the subject in an hour; ``at`` in microseconds."""

    at: int
    account: str


@dataclass(frozen=True, slots=True)
class Formula:
    """``half_life`` in microseconds; ``floor`` is the least number of accounts; what scores below ``least`` trends no more. ``usual``: whether something
    like yesterday's use is to be expected; of what is new there is none (Mastodon, app/models/trends/statuses.rb)."""

    half_life: int = 4 * HOUR
    floor: int = 5
    least: float = 1.0
    usual: bool = True


TAG_FORMULA: Final = Formula()
POST_FORMULA: Final = Formula(half_life=HOUR, least=0.3, usual=False)


class Score(NamedTuple):
    """``started_at``: the beginning of the run of bursting hours that holds the peak."""

    value: float
    started_at: int


class Day(NamedTuple):
    """Uses and authors in the 24 hours up to ``at``."""

    at: int
    uses: int
    authors: int


def distinct(uses: Sequence[Use], ends: Sequence[int], window: int) -> list[int]:
    """For each of the ascending ``ends`` the number of accounts with a use in (end − window, end]. ``uses`` ascend by time."""
    inside: Counter[str] = Counter()
    counts: list[int] = []
    first = last = 0
    for end in ends:
        while last < len(uses) and uses[last].at <= end:
            inside[uses[last].account] += 1
            last += 1
        while first < last and uses[first].at <= end - window:
            account = uses[first].account
            inside[account] -= 1
            if not inside[account]:
                del inside[account]
            first += 1
        counts.append(len(inside))
    return counts


def burst(observed: int, expected: int, floor: int) -> float:
    """Chi-square of a rise; 0 for what is too small, and for a fall."""
    expected = max(expected, 1)
    return (observed - expected) ** 2 / expected if observed >= floor and observed > expected else 0.0


def score(uses: Sequence[Use], at: int, window: int, formula: Formula) -> Score | None:
    """The score at ``at``, None below ``formula.least``. ``uses`` ascend by time and reach back over LOOKBACK, a day and the window."""
    hours = range((at - LOOKBACK) // HOUR, -(-at // HOUR))
    ends = [min((hour + 1) * HOUR, at) for hour in hours]
    observed = distinct(uses, ends, window)
    expected = distinct(uses, [end - DAY for end in ends], window) if formula.usual else [0] * len(ends)
    best, started = 0.0, 0
    run: int | None = None
    for hour, end, seen, before in zip(hours, ends, observed, expected, strict=True):
        peak = burst(seen, before, formula.floor)
        if not peak:
            run = None
            continue
        run = hour * HOUR if run is None else run
        value = peak * 2.0 ** (-(at - end) / formula.half_life)
        if value > best:
            best, started = value, run
    return Score(best, started) if best >= formula.least else None


def ranked(
    uses: Mapping[str, Sequence[Use]], at: int, window: int, formula: Formula, limit: int
) -> Mapping[str, Score]:
    """The highest scores in their order; equal ones by subject."""
    scores = {subject: score(own, at, window, formula) for subject, own in uses.items()}
    trending = [(subject, own) for subject, own in scores.items() if own is not None]
    trending.sort(key=lambda pair: (-pair[1].value, pair[0]))
    return dict(trending[:limit])


def history(uses: Sequence[Use], at: int) -> tuple[Day, ...]:
    """The last HISTORY_DAYS days up to ``at``, the newest first."""
    days = []
    for end in (at - day * DAY for day in range(HISTORY_DAYS)):
        inside = [use for use in uses if end - DAY < use.at <= end]
        days.append(Day(end, len(inside), len({use.account for use in inside})))
    return tuple(days)

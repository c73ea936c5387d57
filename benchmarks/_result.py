"""A figure of the benchmark: what Tidings does, what the raw floor does in the same run, and the ratio of the two."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """``ratio`` is value / floor. ``unit`` says what value and floor count and whether more is better ("events/s") or less ("ms", "MiB")."""

    value: float
    floor: float | None
    ratio: float | None
    unit: str
    p50_ms: float | None = None
    p99_ms: float | None = None

    def as_json(self) -> dict[str, float | str | None]:
        return asdict(self)


def result(value: float, floor: float | None, unit: str, latencies: Sequence[float] = ()) -> Result:
    """``latencies`` are in seconds."""
    ordered = sorted(latencies)
    return Result(
        value=value,
        floor=floor,
        ratio=value / floor if floor else None,
        unit=unit,
        p50_ms=percentile(ordered, 0.5),
        p99_ms=percentile(ordered, 0.99),
    )


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """In milliseconds, of ascending seconds; None without any."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1_000 if ordered else None

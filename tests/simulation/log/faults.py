"""What goes wrong, drawn from the seed: each run has some of the kinds, each at a rate of its own."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from tests.simulation.log.storage import Replica

T = TypeVar("T")

REQUEST_KINDS: Final = (
    "request lost",
    "reply lost",
    "reply late",
    "request late",
    "delivered twice",
    "connection broken before",
    "connection broken after",
    "unavailable",
    "no host",
    "refused",
)
CLUSTER_KINDS: Final = ("replica missed", "coordinator died", "torn read")
PROCESS_KINDS: Final = (
    "killed",
    "killed in flight",
    "frozen",
    "frozen long",
    "cut off",
    "clock off",
    "node down",
    "cluster slow",
    "set back",
)


class Faults:
    """``rates`` by kind; a kind that is missing never happens. Nothing happens any more once ``active`` is False."""

    def __init__(self, source: random.Random, rates: Mapping[str, float]) -> None:
        self.source = source
        self.rates = rates
        self.counts: Counter[str] = Counter()
        self.active = False

    def happens(self, kind: str, scale: float = 1.0) -> bool:
        rate = self.rates.get(kind)
        if rate is None or not self.active or self.source.random() >= rate * scale:
            return False
        self.counts[kind] += 1
        return True

    def request(self, scale: float, *, conditional: bool) -> str | None:
        """What befalls a request on its way. Only conditional ones are refused: for the others that means that there is no schema."""
        if self.active:
            for kind in REQUEST_KINDS:
                if (conditional or kind != "refused") and self.happens(kind, scale):
                    return kind
        return None

    def reached(self, phase: str, replicas: Sequence[Replica]) -> list[Replica]:
        """The replicas that a phase reaches."""
        found = [replica for replica in replicas if replica.up]
        if self.active and "replica missed" in self.rates:
            found = [replica for replica in found if not self.happens("replica missed", 0.3 if phase == "read" else 1)]
        return found

    def some(self, replicas: Sequence[T], count: int) -> Sequence[T]:
        return replicas if len(replicas) == count else self.source.sample(replicas, count)

    def hinted(self, missed: Sequence[Replica]) -> list[Replica]:
        """Those that are handed later what they missed."""
        return [replica for replica in missed if self.source.random() < 0.5] if missed else []

    def coordinator_dies(self, phase: str) -> bool:
        if self.happens("coordinator died"):
            self.counts[f"coordinator died at {phase}"] += 1
            return True
        return False

    def torn(self, table: str, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """A read that saw an append in part: rows of the log with a hole among them."""
        if len(rows) < 2 or not table.endswith(".event_log") or not self.happens("torn read"):
            return rows
        gone = self.source.randrange(len(rows) - 1)
        return rows[:gone] + rows[gone + 1 :]

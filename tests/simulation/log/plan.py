"""What a seed stands for: how many processes, how much work, and which faults at which rates. Each run has only some kinds of fault, for two that
always come together would hide each other."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from tests.simulation.log.faults import CLUSTER_KINDS, REQUEST_KINDS

_PROCESS_KINDS = (
    "killed",
    "killed at a send",
    "frozen",
    "frozen long",
    "cut off",
    "clock off",
    "node down",
    "cluster slow",
)


@dataclass(frozen=True)
class Plan:
    """``blows`` says how often each kind of what befalls processes and nodes does. ``sets_back``: a single node whose commit log is not synced."""

    seed: int
    processes: int
    clients: int
    shards: int
    commands: int
    pace: float
    latency: float
    large: bool
    patience: float
    cached_states: int
    rates: Mapping[str, float]
    blows: Mapping[str, int]
    sets_back: bool
    dies_at: int | None = None
    """The step at which the first process dies."""

    @property
    def replicas(self) -> int:
        return 1 if self.sets_back else 3


def plan_of(seed: int) -> Plan:
    source = random.Random(f"plan {seed}")
    sets_back = seed % 10 == 9
    rates = {kind: 10 ** source.uniform(-2.6, -1.2) for kind in REQUEST_KINDS if source.random() < 0.45}
    if not sets_back:
        rates.update({kind: 10 ** source.uniform(-2.0, -0.9) for kind in CLUSTER_KINDS if source.random() < 0.5})
    blows = {kind: source.randint(1, 2) for kind in _PROCESS_KINDS if source.random() < 0.35}
    if sets_back:
        # What is promised then is that nobody appends to a history that is not the one it has seen. Who comes later, and reads an index that was
        # set back too, is promised nothing.
        rates["reply late"] = 0.04
        for kind in ("node down", "killed", "killed at a send"):
            blows.pop(kind, None)
    return Plan(
        seed=seed,
        processes=source.choice((2, 2, 2, 3, 4)),
        clients=source.choice((1, 2, 3)),
        shards=source.choice((1, 2, 2)),
        commands=source.randint(40, 90),
        pace=source.uniform(0.005, 0.08),
        latency=source.choice((0.001, 0.003, 0.01)),
        large=source.random() < 0.3 or sets_back,
        patience=source.choice((1.5, 3.0)),
        cached_states=source.choice((2, 6, 100)),
        rates=rates,
        blows=blows,
        sets_back=sets_back,
    )


def sweep_of(step: int) -> Plan:
    """Two processes, little work, no other fault: the first one dies at its ``step``-th step."""
    return Plan(
        seed=7,
        processes=2,
        clients=2,
        shards=2,
        commands=24,
        pace=0.01,
        latency=0.003,
        large=True,
        patience=1.5,
        cached_states=3,
        rates={"request late": 0.02},
        blows={},
        sets_back=False,
        dies_at=step,
    )

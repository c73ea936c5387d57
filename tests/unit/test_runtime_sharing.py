"""Sharing: workers that come and go end with fair shares, and no shard is left behind. By a clock of its own, which also measures how long it takes."""

import random
from dataclasses import dataclass, field

import pytest

from projections.runtime.leases import RENEWALS, TTL
from projections.runtime.sharing import PERIOD, Share, Witness

SHARDS = 8
TICK = 0.05
STOPPING = 0.1
"""What a batch that is at work takes to end."""


@dataclass
class Worker:
    """``off`` microseconds is its wall clock; a ``frozen`` one does nothing and does not know it."""

    name: str
    share: Share
    off: int
    next_look: float
    witness: Witness = field(default_factory=lambda: Witness(TTL))
    next_renewal: float = 0.0
    frozen: bool = False
    idle: bool = False


class Office:
    """Workers that share shards by the rules and by leases that run out. ``leases``: {shard: (holder, until)}; ``letting``: shards that end their batch."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.workers: dict[str, Worker] = {}
        self.signs: dict[str, int] = {}
        self.leases: dict[int, tuple[str, float]] = {}
        self.letting: dict[int, float] = {}
        self.unserved = dict.fromkeys(range(SHARDS), 0.0)

    def join(self, name: str, off: int = 0) -> None:
        share = Share(SHARDS, name, TTL, self.now)
        self.workers[name] = Worker(name, share, off, self.now + self.random.random() * PERIOD)

    def kill(self, name: str) -> None:
        del self.workers[name]

    def stop(self, name: str) -> None:
        self.signs[name] = 0
        for shard in self.held(name):
            self.letting[shard] = self.now + STOPPING
        del self.workers[name]

    def held(self, name: str) -> set[int]:
        return {shard for shard, (holder, until) in self.leases.items() if holder == name and until > self.now}

    def served(self, shard: int) -> bool:
        holder, until = self.leases.get(shard, ("", 0.0))
        worker = self.workers.get(holder)
        return worker is not None and not worker.frozen and not worker.idle and until > self.now

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += TICK
            for shard, at in list(self.letting.items()):
                if at <= self.now:
                    del self.letting[shard], self.leases[shard]
            for worker in self.random.sample(list(self.workers.values()), len(self.workers)):
                if not worker.frozen:
                    self._turn(worker)
            for shard in range(SHARDS):
                self.unserved[shard] = 0.0 if self.served(shard) else self.unserved[shard] + TICK

    def until_all_are_served(self) -> float:
        """Seconds from now."""
        began = self.now
        while not all(map(self.served, range(SHARDS))):
            self.pass_time(TICK)
            assert self.now < began + 120
        return self.now - began

    def until_shares_are(self, sizes: list[int]) -> float:
        began = self.now
        while self.sizes() != sizes or self.letting:
            self.pass_time(TICK)
            assert self.now < began + 120
        return self.now - began

    def sizes(self) -> list[int]:
        return sorted(len(self.held(name)) for name in self.workers)

    def _turn(self, worker: Worker) -> None:
        if self.now >= worker.next_renewal:
            worker.next_renewal = self.now + TTL / RENEWALS
            for shard in self.held(worker.name):
                self.leases[shard] = worker.name, self.now + TTL
        if self.now < worker.next_look:
            return
        worker.next_look = self.now + PERIOD
        clock = int(self.now * 1e6) + worker.off + 1_000_000_000
        self.signs[worker.name] = clock
        if worker.idle:
            return
        workers = max(1, worker.witness.alive(self.signs, self.now, clock))
        held = self.held(worker.name)
        for shard in worker.share.excess(held, workers, self.now):
            worker.share.let_go(shard, self.now)
            self.letting[shard] = self.now + STOPPING
        shards, room = worker.share.wanted(held, workers, self.now)
        for shard in shards:
            if room > 0 and self.leases.get(shard, ("", 0.0))[1] <= self.now:
                self.leases[shard] = worker.name, self.now + TTL
                worker.share.took(shard, self.now)
                room -= 1


SEEDS = pytest.mark.parametrize("seed", range(20))


@SEEDS
def test_one_worker_takes_all_at_once(seed: int) -> None:
    office = Office(seed)
    office.join("a")
    assert office.until_all_are_served() <= PERIOD + TICK


@SEEDS
def test_what_a_killed_worker_had_is_served_again_within_five_seconds(seed: int) -> None:
    office = Office(seed)
    for n in range(2 + seed % 4):
        office.join(f"w{n}")
    office.pass_time(30)
    office.kill("w1")
    assert office.until_all_are_served() <= 5.0


@SEEDS
def test_what_a_worker_leaves_is_served_again_within_a_second(seed: int) -> None:
    office = Office(seed)
    for n in range(2 + seed % 4):
        office.join(f"w{n}")
    office.pass_time(30)
    office.stop("w1")
    assert office.until_all_are_served() <= 1.0


@SEEDS
def test_workers_that_come_later_get_their_share_within_five_seconds_and_it_stays(seed: int) -> None:
    office = Office(seed)
    office.join("a")
    office.pass_time(30)
    office.join("b")
    assert office.until_shares_are([4, 4]) <= 5.0
    office.pass_time(10)
    office.join("c")
    assert office.until_shares_are([2, 3, 3]) <= 5.0
    before = {shard: holder for shard, (holder, _) in office.leases.items()}
    office.pass_time(120)
    assert {shard: holder for shard, (holder, _) in office.leases.items()} == before


@SEEDS
def test_a_frozen_worker_is_replaced_and_gets_its_share_again_when_it_wakes(seed: int) -> None:
    office = Office(seed)
    for name in "abc":
        office.join(name)
    office.pass_time(30)
    office.workers["b"].frozen = True
    assert office.until_all_are_served() <= 5.0
    office.pass_time(30)
    office.workers["b"].frozen = False
    assert office.until_shares_are([2, 3, 3]) <= 10.0


@SEEDS
def test_clocks_that_differ_make_no_unfair_shares(seed: int) -> None:
    office = Office(seed)
    office.join("a", off=-600_000_000)
    office.join("b", off=600_000_000)
    assert office.until_shares_are([4, 4]) <= 15.0
    office.pass_time(10)
    office.kill("b")
    assert office.until_all_are_served() <= 5.0


def test_a_worker_that_is_there_but_takes_nothing_starves_no_shard() -> None:
    office = Office(4)
    office.join("a")
    office.join("b")
    office.workers["b"].idle = True
    served = 0
    for _ in range(400):
        office.pass_time(1)
        served += all(map(office.served, range(SHARDS)))
    assert served > 280


def test_a_shard_that_is_left_to_others_is_not_tried_for_in_its_rest() -> None:
    share = Share(SHARDS, "a", TTL, 0.0)
    share.rest(3, 60.0, 0.0)
    for now in (0.0, 30.0, 59.0):
        assert set(share.wanted(set(), 1, now)[0]) == set(range(SHARDS)) - {3}
    assert 3 in share.wanted(set(), 1, 60.0)[0]


def test_more_workers_than_shards_leave_none_unserved() -> None:
    office = Office(5)
    for n in range(11):
        office.join(f"w{n}")
    office.pass_time(30)
    assert all(map(office.served, range(SHARDS)))

"""Sharing: workers that come and go end with fair shares, and no shard is left behind."""

import random

from projections.runtime.sharing import REST, SETTLED, Share

TTL = 6.0
SHARDS = 8


class Office:
    """Workers that share shards by the rules alone; ``holds`` is what leases would say."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.shares: dict[str, Share] = {}
        self.holds: dict[int, str] = {}
        self.idle: set[str] = set()

    def join(self, name: str) -> None:
        self.shares[name] = Share(SHARDS, name, TTL, self.now)

    def fall(self, name: str) -> None:
        del self.shares[name]
        self.holds = {shard: holder for shard, holder in self.holds.items() if holder != name}

    def held(self, name: str) -> set[int]:
        return {shard for shard, holder in self.holds.items() if holder == name}

    def pass_time(self, lifetimes: float) -> None:
        until = self.now + lifetimes * TTL
        while self.now < until:
            self.now += TTL / 4
            names = list(self.shares)
            self.random.shuffle(names)
            for name in names:
                self._turn(name)

    def _turn(self, name: str) -> None:
        if name in self.idle:
            return
        share, workers = self.shares[name], len(self.shares)
        for shard in share.excess(self.held(name), workers, self.now):
            share.rest(shard, REST * TTL, self.now)
            del self.holds[shard]
        shards, room = share.wanted(self.held(name), workers, self.now)
        for shard in shards:
            if room and shard not in self.holds:
                self.holds[shard] = name
                share.took(shard, self.now)
                room -= 1


def sizes(office: Office) -> list[int]:
    return sorted(len(office.held(name)) for name in office.shares)


def test_one_worker_takes_all() -> None:
    office = Office(1)
    office.join("a")
    office.pass_time(0.25)
    assert len(office.holds) == SHARDS


def test_workers_that_come_later_get_their_share_and_it_stays() -> None:
    office = Office(2)
    office.join("a")
    office.pass_time(SETTLED + 1)
    office.join("b")
    office.pass_time(2 * SETTLED)
    assert sizes(office) == [4, 4]
    office.join("c")
    office.pass_time(2 * SETTLED)
    assert sizes(office) == [2, 3, 3]
    before = dict(office.holds)
    office.pass_time(5 * SETTLED)
    assert office.holds == before


def test_what_a_fallen_worker_had_is_taken() -> None:
    office = Office(3)
    for name in "abc":
        office.join(name)
    office.pass_time(3 * SETTLED)
    office.fall("b")
    office.pass_time(3 * SETTLED)
    assert len(office.holds) == SHARDS
    assert sizes(office) == [4, 4]


def test_a_worker_that_is_there_but_takes_nothing_starves_no_shard() -> None:
    office = Office(4)
    office.join("a")
    office.join("b")
    office.idle.add("b")
    served = [0] * SHARDS
    for _ in range(400):
        office.pass_time(0.25)
        for shard in office.holds:
            served[shard] += 1
    assert min(served) > 250


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
    office.pass_time(3 * SETTLED)
    assert len(office.holds) == SHARDS

"""Tenures: by its own clock a holder stops before the store may give its lease away."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.errors import UnavailableError
from projections.documents.port import Documents, FencedError
from projections.runtime.leases import Tenure, claim
from tests.runtime_kit import Faults, FaultyDocuments, sqlite_documents

TTL = 30.0


class Clock:
    """Seconds, moved by hand; ``slow`` is what each call of the store takes."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Slow(Faults):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.seconds = 0.0
        self.away = False

    async def before(self, operation: str) -> None:
        await super().before(operation)
        self.clock.now += self.seconds
        if self.away:
            raise UnavailableError("away")


@pytest.fixture
async def documents(tmp_path: Path) -> AsyncIterator[Documents]:
    async with sqlite_documents(tmp_path / "documents.db", []) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slow(clock: Clock) -> Slow:
    return Slow(clock)


async def take(documents: Documents, slow: Slow, holder: str = "a") -> Tenure:
    tenure = await claim(FaultyDocuments(documents, slow), "shard-0", holder, TTL, slow.clock)
    assert tenure is not None
    return tenure


async def test_it_may_write_until_a_third_of_the_lease_is_left(documents: Documents, slow: Slow) -> None:
    tenure = await take(documents, slow)
    slow.clock.now += TTL * 2 / 3 - 0.1
    tenure.ensure()
    slow.clock.now += 0.2
    with pytest.raises(FencedError):
        tenure.ensure()


async def test_the_lease_counts_from_before_its_claim_was_sent(documents: Documents, slow: Slow) -> None:
    slow.seconds = 5.0
    tenure = await take(documents, slow)
    assert tenure.usable == pytest.approx(TTL * 2 / 3 - 5.0)
    assert await tenure.renew()
    assert tenure.usable == pytest.approx(TTL * 2 / 3 - 5.0)


async def test_a_renewal_gives_a_new_life(documents: Documents, slow: Slow) -> None:
    tenure = await take(documents, slow)
    slow.clock.now += 15.0
    assert await tenure.renew()
    assert tenure.usable == pytest.approx(TTL * 2 / 3)


async def test_a_store_that_does_not_answer_renews_nothing(documents: Documents, slow: Slow) -> None:
    tenure = await take(documents, slow)
    slow.away = True
    slow.clock.now += 15.0
    assert await tenure.renew()
    assert tenure.usable == pytest.approx(5.0)
    slow.clock.now += 5.0
    assert not await tenure.renew()


async def test_a_lease_that_another_was_given_is_lost(documents: Documents, slow: Slow) -> None:
    tenure = await take(documents, slow)
    assert await claim(documents, "shard-0", "b", TTL, slow.clock) is None
    await documents.release_lease(tenure.lease)
    assert await claim(documents, "shard-0", "b", TTL, slow.clock) is not None
    assert not await tenure.renew()


async def test_a_lease_that_came_back_to_its_holder_is_another(documents: Documents, slow: Slow) -> None:
    first = await take(documents, slow, "a")
    await documents.release_lease(first.lease)
    between = await take(documents, slow, "b")
    await documents.release_lease(between.lease)
    again = await take(documents, slow, "a")
    assert again.lease.fence > first.lease.fence
    assert not await first.renew()


async def test_keeping_ends_when_the_lease_is_lost(documents: Documents, slow: Slow) -> None:
    tenure = await claim(documents, "shard-0", "a", 0.2, lambda: slow.clock.now)
    assert tenure is not None
    await documents.release_lease(tenure.lease)
    await take(documents, slow, "b")
    await tenure.keep()

"""What a log on Cassandra refuses to start on, and how it behaves while Cassandra is not there."""

import asyncio
import time
from functools import partial

import pytest

from domain.errors import LogError, UnavailableError
from domain.log.cassandra import clock as clock_module
from domain.log.cassandra import migrate_cassandra, open_cassandra_log
from tests.contract.log_domain import Aggregates, counting, new_id, note, noting, tally
from tests.log_cassandra_kit import FINGERPRINT, MASTER_KEY, Keyspace, Store, until
from tests.servers import free_port


async def test_without_a_schema_it_says_what_makes_one(cassandra_address: str) -> None:
    host, _, port = cassandra_address.rpartition(":")
    with pytest.raises(LogError, match="tidings migrate"):
        await open_cassandra_log(
            [host],
            int(port),
            "log_never_made",
            master_key=MASTER_KEY,
            server_key_fingerprint=FINGERPRINT,
            aggregates=Aggregates(),
        )


async def test_migrating_again_changes_nothing(own: Store, tables: Keyspace) -> None:
    log = await own.open()
    again = await migrate_cassandra([tables.host], tables.name, port=tables.port, server_key_fingerprint=FINGERPRINT)
    assert again == log.identity
    migrate = partial(migrate_cassandra, [tables.host], tables.name, port=tables.port)
    for other in (
        migrate(server_key_fingerprint=FINGERPRINT, shards=16),
        migrate(server_key_fingerprint=FINGERPRINT, segment_size=128),
        migrate(server_key_fingerprint="another"),
    ):
        with pytest.raises(LogError):
            await other
    assert (await own.open()).identity == log.identity


async def test_it_does_not_open_under_another_master_key(own: Store) -> None:
    log = await own.open()
    subject = new_id()
    await log.execute(noting(note(subject), log.identity.shards, subject, "rain", new_subject=True))
    with pytest.raises(LogError, match="MASTER_KEY"):
        await own.open(master_key=bytes(32))
    rotated = await own.open(master_key=bytes(32), retired_master_keys=[MASTER_KEY])
    assert len(await rotated.load(note(subject))) == 1


async def test_it_does_not_open_in_another_data_centre(own: Store) -> None:
    await own.tables.define("UPDATE {0}.log_meta SET data_centre = 'elsewhere' WHERE name = 'log' IF log_id != null")
    with pytest.raises(LogError, match="elsewhere"):
        await own.open()


async def test_a_store_that_is_not_there_is_named_within_seconds() -> None:
    port = free_port()
    started = time.monotonic()
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{port}"):
        await open_cassandra_log(
            ["127.0.0.1"],
            port,
            "log",
            master_key=MASTER_KEY,
            server_key_fingerprint=FINGERPRINT,
            aggregates=Aggregates(),
        )
    assert time.monotonic() - started < 30


async def test_a_store_that_accepts_and_says_nothing_is_named_too(own: Store) -> None:
    async with own.proxy() as proxy:
        proxy.requests.clear()
        with pytest.raises(UnavailableError, match=str(proxy.port)):
            await own.open(through=proxy)


async def test_when_the_store_goes_and_comes_back_everything_heals(own: Store) -> None:
    async with own.proxy() as proxy:
        log, other = await own.open(through=proxy), await own.open()
        shards = log.identity.shards
        stream, elsewhere = tally(new_id()), tally(new_id())
        await log.execute(counting(stream, shards))
        proxy.refuse()
        for _ in range(30):
            with pytest.raises(UnavailableError):
                await log.execute(counting(stream, shards))
            await asyncio.sleep(0.05)
        foreign = (await other.execute(counting(elsewhere, shards, 7))).events[0]
        await proxy.listen()
        # Nobody asks it to: its tail comes back by itself.
        await log.wait(foreign.shard, foreign.sequence - 1, 20)
        assert foreign in await log.read(foreign.shard, foreign.sequence - 1, 1)

        async def accepted() -> bool:
            try:
                return bool((await log.execute(counting(stream, shards))).events)
            except UnavailableError:
                return False

        await until(accepted)
        assert len(await other.load(stream)) == 2
        await own.close()


async def test_a_process_whose_clock_is_off_does_not_append(own: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_module, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(clock_module, "RECHECK_SECONDS", 0.05)
    ahead = [3_000_000]
    log = await own.open(clock=lambda: time.time_ns() // 1000 + ahead[0])
    shards = log.identity.shards
    stream = tally(new_id())
    reasons: list[str] = []

    async def appends() -> bool:
        try:
            return bool((await log.execute(counting(stream, shards))).events)
        except UnavailableError as error:
            reasons.append(str(error))
            return False

    async def refuses() -> bool:
        return not await appends()

    assert not await appends()
    ahead[0] = 1_000_000
    await until(appends)
    ahead[0] = -4_000_000
    await until(refuses)
    assert all("clock" in reason for reason in reasons)
    # Whatever the clock said, times do not fall.
    times = [recorded.recorded_at for recorded in await log.load(stream)]
    assert times == sorted(times)

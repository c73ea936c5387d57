"""An imported log folds to the documents of the log that was exported."""

import random
from pathlib import Path

import pytest

from api.demo.seeder import Seeder
from api.demo.world import build_world
from api.transfer import keys as keys_module
from api.transfer.keys import export_keys, import_keys
from domain import deciders
from domain.context import Context
from domain.ids import Namer
from domain.log.port import EventLog
from projections.families import ALL
from projections.runtime.comparing import compare
from projections.runtime.replay import replay
from tests.runtime_kit import sqlite_documents
from tests.transfer_kit import MASTER, NewHome, exported, imported

COLLECTIONS = [collection for family in ALL for collection in family.collections]
NOW = 1_800_000_000_000_000


async def told_a_world(log: EventLog) -> None:
    context = Context(namer=Namer(bytes(32)), entropy=random.Random(5).randbytes, now=NOW, command_id="")
    world = build_world(accounts=12, posts=30, likes=60, reposts=8, seed=3)
    await Seeder(log, context, world, seed=3, password_hash="none", progress=lambda _phase, _done: None).run()


async def upto_heads(log: EventLog) -> dict[str, dict[int, int]]:
    heads = {shard: await log.head(shard) for shard in range(log.identity.shards)}
    return {family.name: heads for family in ALL}


@pytest.mark.parametrize("adapter", ["sqlite", pytest.param("cassandra", marks=pytest.mark.cluster)])
async def test_an_imported_log_folds_to_the_same_documents(
    new_home: NewHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adapter: str
) -> None:
    here, there = await new_home("sqlite", 8, 8192), await new_home(adapter, 8, 8192)
    log = await here.log(aggregates=deciders)
    await told_a_world(log)
    source, target = await here.archive(), await there.archive()
    keys = tmp_path / "keys"
    monkeypatch.setattr(keys_module, "COST", 2)
    await export_keys(source, MASTER, keys, b"passphrase", lambda _: None)
    await import_keys(target, MASTER, keys, b"passphrase", lambda _: None)
    await imported(target, await exported(source))
    arrived = await there.log(aggregates=deciders)
    assert await upto_heads(arrived) == await upto_heads(log)
    async with (
        sqlite_documents(tmp_path / "one.db", COLLECTIONS) as one,
        sqlite_documents(tmp_path / "other.db", COLLECTIONS) as other,
    ):
        await replay(log, one, ALL, await upto_heads(log))
        await replay(arrived, other, ALL, await upto_heads(arrived))
        counts = {each.name: len(await one.scan(each, limit=1_000)) for each in COLLECTIONS}
        assert sum(counts.values()) > 200, counts
        assert [difference async for difference in compare(one, other, COLLECTIONS)] == []

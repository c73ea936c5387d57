"""The documents' contract: checkpoints, leases, small facts, and living on."""

import asyncio

import pytest

from domain.errors import UnavailableError
from projections.documents.port import Documents, FencedError, Lease
from tests.contract.documents_kit import ROWS, STATE, DocumentsFactory, doc, inc, one, row

LONG = 60.0
SHORT = 0.3


async def claim(documents: Documents, name: str, holder: str, ttl: float = LONG) -> Lease:
    lease = await documents.claim_lease(name, holder, ttl)
    assert lease is not None
    return lease


async def expired(documents: Documents, name: str, holder: str) -> Lease:
    """The lease as another takes it once it has run out."""
    for _ in range(200):
        if (lease := await documents.claim_lease(name, holder, LONG)) is not None:
            return lease
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name} does not run out")


async def test_checkpoints_are_kept_per_family_and_shard(documents: Documents) -> None:
    assert await documents.load_checkpoints("posts") == {}
    await documents.save_checkpoint("posts", 0, 5, None)
    await documents.save_checkpoint("posts", 12, 1 << 44 | 7, None)
    await documents.save_checkpoint("home", 0, 9, None)
    assert await documents.load_checkpoints("posts") == {0: 5, 12: 1 << 44 | 7}
    assert await documents.load_checkpoints("home") == {0: 9}


async def test_a_checkpoint_never_moves_back(documents_factory: DocumentsFactory) -> None:
    handles = [await documents_factory(), await documents_factory()]
    await asyncio.gather(*(handles[n % 2].save_checkpoint("posts", n % 3, n, None) for n in range(60)))
    await handles[0].save_checkpoint("posts", 0, 1, None)
    assert await handles[1].load_checkpoints("posts") == {0: 57, 1: 58, 2: 59}


async def test_a_lease_has_one_holder(documents_factory: DocumentsFactory) -> None:
    handles = [await documents_factory(), await documents_factory()]
    claims = await asyncio.gather(*(handles[n % 2].claim_lease("shard 0", f"worker {n}", LONG) for n in range(20)))
    won = [lease for lease in claims if lease is not None]
    assert won == [Lease("shard 0", won[0].holder, 1)]
    assert await handles[0].claim_lease("shard 1", "another", LONG) == Lease("shard 1", "another", 1)


async def test_a_holder_renews_under_its_fence(documents: Documents) -> None:
    lease = await claim(documents, "shard 0", "a", SHORT)
    assert await claim(documents, "shard 0", "a", SHORT) == lease
    await asyncio.sleep(SHORT + 0.1)
    # Late, but nobody came between.
    assert await claim(documents, "shard 0", "a", LONG) == lease
    assert await documents.claim_lease("shard 0", "b", LONG) is None


async def test_a_lease_that_ran_out_is_anothers_under_a_higher_fence(documents_factory: DocumentsFactory) -> None:
    first, second = await documents_factory(), await documents_factory()
    lost = await claim(first, "shard 0", "a", SHORT)
    await first.save_checkpoint("posts", 0, 5, lost)
    taken = await expired(second, "shard 0", "b")
    assert taken.fence > lost.fence
    assert await first.claim_lease("shard 0", "a", LONG) is None
    with pytest.raises(FencedError):
        await first.save_checkpoint("posts", 0, 6, lost)
    await second.save_checkpoint("posts", 0, 4, taken)
    assert await first.load_checkpoints("posts") == {0: 5}
    await second.save_checkpoint("posts", 0, 8, taken)
    assert await first.load_checkpoints("posts") == {0: 8}


async def test_a_lease_that_nobody_took_may_still_save(documents: Documents) -> None:
    lease = await claim(documents, "shard 0", "a", 0.01)
    await asyncio.sleep(0.05)
    await documents.save_checkpoint("posts", 0, 5, lease)
    assert await documents.load_checkpoints("posts") == {0: 5}


async def test_a_lease_that_was_given_up_is_free_at_once_and_fenced(documents: Documents) -> None:
    released = await claim(documents, "shard 0", "a")
    await documents.release_lease(released)
    with pytest.raises(FencedError):
        await documents.save_checkpoint("posts", 0, 5, released)
    again = await claim(documents, "shard 0", "a")
    await documents.release_lease(again)
    taken = await claim(documents, "shard 0", "b")
    assert released.fence < again.fence < taken.fence


async def test_giving_up_a_lost_lease_leaves_the_new_holder_alone(documents: Documents) -> None:
    lost = await claim(documents, "shard 0", "a", SHORT)
    taken = await expired(documents, "shard 0", "b")
    await documents.release_lease(lost)
    assert await documents.claim_lease("shard 0", "c", LONG) is None
    await documents.save_checkpoint("posts", 0, 5, taken)
    await documents.release_lease(Lease("never claimed", "a", 1))


async def test_a_lease_that_was_never_claimed_saves_nothing(documents: Documents) -> None:
    await claim(documents, "shard 0", "$holder")
    for stranger in (Lease("shard 1", "$holder", 1), Lease("shard 0", "b", 1), Lease("shard 0", "$holder", 2)):
        with pytest.raises(FencedError):
            await documents.save_checkpoint("posts", 0, 5, stranger)
    assert await documents.load_checkpoints("posts") == {}


async def test_small_facts_are_kept_whole(documents_factory: DocumentsFactory) -> None:
    first, second = await documents_factory(), await documents_factory()
    assert await first.get_meta("log") is None
    await first.set_meta("log", {"id": "one", "shards": 8, "a.b": {"$c": [None]}})
    await first.set_meta("log", {"id": "$two", "generation": 2**53})
    assert await second.get_meta("log") == {"id": "$two", "generation": 2**53}
    await asyncio.gather(*(handle.set_meta("new", {"n": 1}) for handle in (first, second) for _ in range(10)))
    assert await first.get_meta("new") == {"n": 1}


async def test_a_familys_live_version_names_its_documents_and_checkpoints(documents_factory: DocumentsFactory) -> None:
    first, second = await documents_factory(), await documents_factory()
    await first.prepare([STATE, ROWS])
    await first.apply(STATE, [doc("d", 0, (1, inc(n=1)))])
    await first.save_checkpoint("contract", 0, 1, None)
    await first.set_meta("versions", {"families": {"contract": {"live": 2}, "other": {"live": 7}}})
    await first.prepare([STATE, ROWS])
    assert await one(first, "d") is None
    assert await first.load_checkpoints("contract") == {}
    await first.apply(STATE, [doc("d", 0, (1, inc(n=20)))])
    assert await one(second, "d") == {"n": 1}
    await second.refresh()
    assert await one(second, "d") == {"n": 20}
    assert await one(await documents_factory(), "d") == {"n": 20}


async def test_a_view_keeps_its_versions_whatever_becomes_live(documents: Documents) -> None:
    before, beside = documents.pinned({}), documents.pinned({"contract": 3})
    await beside.prepare([STATE, ROWS])
    for store, n in ((documents, 1), (beside, 30)):
        await store.apply(STATE, [doc("d", 0, (1, inc(n=n)))])
        await store.put(ROWS, [row("r", n, owner="o", key="k")])
        await store.save_checkpoint("contract", 0, n, None)
    assert [store.version("contract") for store in (documents, before, beside)] == [1, 1, 3]
    await documents.set_meta("versions", {"families": {"contract": {"live": 3}}})
    await documents.refresh()
    await before.refresh()
    for store, n in ((documents, 30), (before, 1), (beside.pinned({}), 30), (beside.pinned({"contract": 1}), 1)):
        assert await one(store, "d") == {"n": n}
        assert [found.id for found in await store.page(ROWS, "by_owner", ["o"], limit=5)] == ["r"]
        assert await store.load_checkpoints("contract") == {0: n}
    await beside.close()
    await documents.ping()


async def test_a_family_without_a_version_is_unavailable(documents: Documents) -> None:
    await documents.set_meta("versions", {"families": {"contract": {"live": 0}}})
    await documents.prepare([STATE, ROWS])
    assert documents.version("contract") == 0
    assert await documents.load_checkpoints("contract") == {}
    for call in (one(documents, "d"), documents.put(ROWS, [row("r", 1)]), documents.scan(ROWS, limit=1)):
        with pytest.raises(UnavailableError, match="contract"):
            await call


async def test_a_version_that_is_dropped_is_gone_and_no_other(documents: Documents) -> None:
    beside = documents.pinned({"contract": 2})
    await beside.prepare([STATE, ROWS])
    for store in (documents, beside):
        await store.put(ROWS, [row(f"r{n}", 1, owner="o", key="k") for n in range(2500)])
        await store.apply(STATE, [doc("d", 0, (1, inc(n=1)))])
        await store.save_checkpoint("contract", 0, 1, None)
    with pytest.raises(ValueError, match="live"):
        await documents.drop([STATE, ROWS])
    await beside.drop([STATE, ROWS])
    await beside.drop([STATE, ROWS])
    assert await documents.count(ROWS, "by_owner", ["o"], 10_000) == 2500
    assert await documents.load_checkpoints("contract") == {0: 1}
    assert await beside.load_checkpoints("contract") == {}
    await beside.prepare([STATE, ROWS])
    assert await one(beside, "d") is None
    assert await beside.scan(ROWS, limit=1) == []


async def test_a_small_fact_is_swapped_by_one_of_many(documents_factory: DocumentsFactory) -> None:
    handles = [await documents_factory(), await documents_factory()]
    made = await asyncio.gather(*(handles[n % 2].swap_meta("count", None, {"n": 1, "by": n}) for n in range(10)))
    assert made.count(True) == 1

    async def count(handle: Documents) -> None:
        while True:
            before = await handle.get_meta("count")
            assert before is not None
            if await handle.swap_meta("count", before, {"inner": {"n": [1]}, "n": int(str(before["n"])) + 1}):
                return

    await asyncio.gather(*(count(handles[n % 2]) for n in range(20)))
    assert await handles[0].get_meta("count") == {"inner": {"n": [1]}, "n": 21}
    assert not await handles[0].swap_meta("count", {"n": 21}, {"n": 1})


async def test_documents_outlive_who_wrote_them(documents_factory: DocumentsFactory) -> None:
    first = await documents_factory()
    await first.prepare([STATE, ROWS])
    await first.apply(STATE, [doc("d", 0, (5, inc(n=1)))])
    await first.put(ROWS, [row("r", 5, owner="o", key="k")])
    await first.save_checkpoint("contract", 0, 5, None)
    await first.close()
    second = await documents_factory()
    await second.prepare([STATE, ROWS])
    await second.apply(STATE, [doc("d", 0, (5, inc(n=1)), (6, inc(n=1)))])
    assert await one(second, "d") == {"n": 2}
    assert await second.count(ROWS, "by_owner", ["o"], 5) == 1
    assert await second.load_checkpoints("contract") == {0: 5}


async def test_a_closed_store_is_unavailable(documents: Documents) -> None:
    await documents.ping()
    await documents.close()
    await documents.close()
    for call in (documents.ping(), documents.get(STATE, ["d"]), documents.put(ROWS, [row("r", 1)])):
        with pytest.raises(UnavailableError):
            await call

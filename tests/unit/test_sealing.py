"""Sealing: what opens, what does not, and what is remembered of keys."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Code, LogError, Refusal
from domain.log.sealing import KeyCache, KeyRing, MasterKeys, forgotten, new_key, seal, unseal

KEY = bytes(range(32))
PLACE = {"event_id": "e-1", "stream": "note-a", "type": "test.noted"}


@given(st.binary(max_size=2_000))
def test_what_was_sealed_opens(plain: bytes) -> None:
    assert unseal(KEY, seal(KEY, plain, **PLACE), **PLACE) == plain


def test_sealing_twice_gives_different_bytes_that_show_nothing() -> None:
    one, other = seal(KEY, b"something typed", **PLACE), seal(KEY, b"something typed", **PLACE)
    assert one != other
    assert b"typed" not in one
    assert one[:1] == b"\x01"


@pytest.mark.parametrize("field", ["event_id", "stream", "type"])
def test_a_sealed_part_opens_only_in_its_place(field: str) -> None:
    sealed = seal(KEY, b"plain", **PLACE)
    with pytest.raises(LogError):
        unseal(KEY, sealed, **{**PLACE, field: "another"})


def test_parts_of_a_place_do_not_run_together() -> None:
    sealed = seal(KEY, b"plain", event_id="ab", stream="c", type="t")
    with pytest.raises(LogError):
        unseal(KEY, sealed, event_id="a", stream="bc", type="t")


def test_any_changed_or_missing_byte_is_noticed() -> None:
    sealed = seal(KEY, b"plain", **PLACE)
    for index in range(len(sealed)):
        changed = sealed[:index] + bytes([sealed[index] ^ 1]) + sealed[index + 1 :]
        with pytest.raises(LogError):
            unseal(KEY, changed, **PLACE)
        with pytest.raises(LogError):
            unseal(KEY, sealed[:index], **PLACE)


def test_another_key_does_not_open() -> None:
    with pytest.raises(LogError, match="does not open"):
        unseal(new_key(), seal(KEY, b"plain", **PLACE), **PLACE)


def test_an_unknown_format_says_so() -> None:
    with pytest.raises(LogError, match="format 02"):
        unseal(KEY, b"\x02" + seal(KEY, b"plain", **PLACE)[1:], **PLACE)


def test_new_keys_are_new() -> None:
    assert len({new_key() for _ in range(100)}) == 100
    assert {len(new_key()) for _ in range(10)} == {32}


def test_a_wrapped_key_unwraps_for_its_subject_alone() -> None:
    master = MasterKeys(b"m" * 32)
    wrapped = master.wrap("ada", KEY)
    assert KEY not in wrapped
    assert master.unwrap("ada", wrapped) == KEY
    with pytest.raises(LogError, match="damaged"):
        master.unwrap("bob", wrapped)


def test_a_master_key_can_be_rotated() -> None:
    old, new = b"m" * 32, b"n" * 32
    wrapped = MasterKeys(old).wrap("ada", KEY)
    both = MasterKeys(new, [old])
    again = both.wrap("ada", both.unwrap("ada", wrapped))
    assert MasterKeys(new).unwrap("ada", again) == KEY
    with pytest.raises(LogError, match="MASTER_KEY"):
        MasterKeys(old).unwrap("ada", again)
    with pytest.raises(LogError, match="MASTER_KEY"):
        MasterKeys(new).unwrap("ada", wrapped)


def test_any_changed_byte_of_a_wrapped_key_is_noticed() -> None:
    master = MasterKeys(b"m" * 32)
    wrapped = master.wrap("ada", KEY)
    for index in range(len(wrapped)):
        with pytest.raises(LogError):
            master.unwrap("ada", wrapped[:index] + bytes([wrapped[index] ^ 1]) + wrapped[index + 1 :])
        with pytest.raises(LogError):
            master.unwrap("ada", wrapped[:index])


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_master_key_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        MasterKeys(bytes(size))
    with pytest.raises(ValueError, match="32 bytes"):
        MasterKeys(b"m" * 32, [bytes(size)])


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_the_cache_forgets_after_its_time() -> None:
    clock = Clock()
    cache = KeyCache(clock, ttl=60)
    cache.remember({"ada": KEY, "bob": None}, cache.epoch, clock())
    clock.now += 59.9
    assert cache.known(["ada", "bob", "cyd"]) == {"ada": KEY, "bob": None}
    clock.now += 0.1
    assert cache.known(["ada", "bob"]) == {}


def test_the_time_of_a_key_runs_from_before_it_was_read() -> None:
    clock = Clock()
    cache = KeyCache(clock, ttl=60)
    begun = clock()
    clock.now += 50
    cache.remember({"ada": KEY}, cache.epoch, begun)
    clock.now += 10
    assert cache.known(["ada"]) == {}


def test_the_cache_is_bounded_and_drops_what_was_read_first() -> None:
    clock = Clock()
    cache = KeyCache(clock, size=3)
    for name in "abcd":
        cache.remember({name: KEY}, cache.epoch, clock())
    cache.remember({"b": KEY}, cache.epoch, clock())
    cache.remember({"e": KEY}, cache.epoch, clock())
    assert cache.known("abcde").keys() == {"b", "d", "e"}


def test_a_read_that_a_destruction_overtook_is_not_remembered() -> None:
    clock = Clock()
    cache = KeyCache(clock)
    before = cache.epoch
    cache.destroyed("ada")
    cache.remember({"ada": KEY}, before, clock())
    assert cache.known(["ada"]) == {"ada": None}
    before = cache.epoch
    cache.clear()
    cache.remember({"ada": KEY}, before, clock())
    assert cache.known(["ada"]) == {}


class MemoryKeys:
    """A KeyStore in memory; ``gate`` lets a test hold a read after it has taken place."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes | None] = {}
        self.fetched: list[list[str]] = []
        self.reading = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def create(self, subject: str) -> bytes:
        key = self.keys.setdefault(subject, new_key())
        if key is None:
            raise forgotten(subject)
        return key

    async def fetch(self, subjects: Sequence[str]) -> Mapping[str, bytes | None]:
        self.fetched.append(list(subjects))
        self.reading.set()
        found = {subject: self.keys[subject] for subject in subjects if subject in self.keys}
        await self.gate.wait()
        return found

    async def destroy(self, subject: str) -> None:
        self.keys[subject] = None


async def test_the_ring_asks_once_for_what_it_does_not_know() -> None:
    store, clock = MemoryKeys(), Clock()
    ring = KeyRing(store, KeyCache(clock))
    key = await ring.create("ada")
    store.keys["bob"] = KEY
    assert await ring.keys(["ada", "bob", "bob", "cyd"]) == {"ada": key, "bob": KEY}
    assert store.fetched == [["bob", "cyd"]]
    assert await ring.keys(["ada", "bob"]) == {"ada": key, "bob": KEY}
    assert len(store.fetched) == 1
    assert ring.cached(["ada", "cyd"]) == {"ada": key}


async def test_a_key_that_was_not_made_yet_is_asked_for_again() -> None:
    store = MemoryKeys()
    ring = KeyRing(store, KeyCache(Clock()))
    assert await ring.keys(["ada"]) == {}
    store.keys["ada"] = KEY
    assert await ring.keys(["ada"]) == {"ada": KEY}


async def test_what_another_process_destroyed_is_noticed_in_time() -> None:
    store, clock = MemoryKeys(), Clock()
    ring = KeyRing(store, KeyCache(clock))
    await ring.create("ada")
    await store.destroy("ada")
    clock.now += 60
    assert await ring.keys(["ada"]) == {"ada": None}


async def test_what_this_process_destroyed_is_gone_at_once() -> None:
    store = MemoryKeys()
    ring = KeyRing(store, KeyCache(Clock()))
    await ring.create("ada")
    await ring.destroy("ada")
    assert ring.cached(["ada"]) == {"ada": None}
    with pytest.raises(Refusal) as refused:
        await ring.create("ada")
    assert refused.value.code == Code.FORBIDDEN


async def test_a_read_in_flight_does_not_bring_a_destroyed_key_back() -> None:
    store = MemoryKeys()
    store.keys["ada"] = KEY
    ring = KeyRing(store, KeyCache(Clock()))
    store.gate.clear()
    reading = asyncio.create_task(ring.keys(["ada"]))
    await store.reading.wait()
    await ring.destroy("ada")
    store.gate.set()
    await reading
    assert await ring.keys(["ada"]) == {"ada": None}

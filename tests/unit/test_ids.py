"""Ids, slots and stream names."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import ids
from domain.ids import SLOTS, Namer

slots = st.integers(0, SLOTS - 1)
tails = st.binary(min_size=15, max_size=15)
minted = st.builds(lambda slot, tail: ids.mint_id(slot, lambda _count: tail), slots, tails)


@given(slots, tails)
def test_an_id_carries_its_slot(slot: int, tail: bytes) -> None:
    minted_id = ids.mint_id(slot, lambda _count: tail)
    assert ids.is_id(minted_id)
    assert ids.slot_of(minted_id) == slot


@given(minted, minted)
def test_ids_differ_where_slot_or_tail_differ(one: str, other: str) -> None:
    assert (one == other) == (ids.slot_of(one) == ids.slot_of(other) and one[2:] == other[2:])


def test_ids_use_all_118_bits_of_their_tail() -> None:
    tail = bytes(15)
    zero = ids.mint_id(0, lambda _count: tail)
    spelled = set()
    for bit in range(118):
        flipped = (1 << bit).to_bytes(15, "big")
        spelled.add(ids.mint_id(0, lambda _count, flipped=flipped: flipped))  # type: ignore[misc]
    assert len(spelled | {zero}) == 119


@given(st.text() | st.text("abcdefghijklmnopqrstuvwxyz234567AZ=1", min_size=25, max_size=27))
def test_ids_are_26_characters_of_which_the_last_has_no_padding_set(text: str) -> None:
    assert ids.is_id(text) == (re.fullmatch(r"[a-z2-7]{25}[aeimquy4]", text) is not None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 25,
        "a" * 27,
        "A" * 26,
        "a" * 25 + "b",  # padding bits set: a second spelling of another id
        "a" * 25 + "=",
        "a" * 25 + "1",
        "ä" + "a" * 25,
        " " + "a" * 25,
    ],
)
def test_other_texts_are_no_ids(text: str) -> None:
    assert not ids.is_id(text)


@given(slots, st.integers(0, 10))
def test_shards_are_ranges_of_slots(slot: int, power: int) -> None:
    shards = 1 << power
    minted_id = ids.mint_id(slot, random.Random(slot).randbytes)
    assert ids.shard_of(minted_id, shards) == slot // (SLOTS // shards)


@given(slots, st.integers(1, SLOTS), st.integers(1, 16))
def test_more_shards_move_whole_slots(slot: int, shards: int, factor: int) -> None:
    """Of a shard that is split, every slot goes to one of its parts."""
    minted_id = ids.mint_id(slot, random.Random(slot).randbytes)
    here = ids.shard_of(minted_id, shards)
    assert 0 <= here < shards
    assert ids.shard_of(minted_id, shards * factor) // factor == here


def test_every_shard_has_slots() -> None:
    for shards in (1, 2, 3, 7, 8, 64):
        found = [ids.shard_of(ids.mint_id(slot, random.Random(slot).randbytes), shards) for slot in range(SLOTS)]
        assert set(found) == set(range(shards))
        assert found == sorted(found)


@given(minted, minted, st.integers(1, 64))
def test_streams_are_filed_where_the_design_says(one: str, other: str, shards: int) -> None:
    filed = {
        ids.account_stream(one): one,
        ids.session_stream(one): one,
        ids.claim_stream(one): one,
        ids.post_stream(one): one,
        ids.reaction_stream(one, other): one,
        ids.repost_stream(one, other): one,
        ids.follow_stream(one, other): other,
    }
    for stream, under in filed.items():
        assert ids.filed_under(stream) == under
        assert ids.stream_shard(stream, shards) == ids.shard_of(under, shards)


def test_the_logs_own_stream_lies_in_the_shard_it_names() -> None:
    assert [ids.stream_shard(f"shard-{shard}", 16) for shard in range(16)] == list(range(16))


def test_a_category_is_what_stands_before_the_first_dash() -> None:
    assert ids.category_of("follow-a-b") == "follow"
    assert ids.category_of("shard-3") == "shard"


@given(st.text(), st.text())
def test_names_are_ids_of_their_key(kind: str, name: str) -> None:
    namer = Namer(b"k" * 32)
    claim = namer.claim_id(kind, name)
    assert ids.is_id(claim)
    assert claim == Namer(b"k" * 32).claim_id(kind, name)
    assert claim != Namer(b"l" * 32).claim_id(kind, name)


@given(slots, st.text(), st.text(), st.text())
def test_an_idempotent_id_lies_in_the_slot_it_is_asked_for(slot: int, actor: str, mutation: str, key: str) -> None:
    made = Namer(b"k" * 32).idempotent_id(slot, actor, mutation, key)
    assert ids.is_id(made)
    assert ids.slot_of(made) == slot


def test_parts_of_a_name_do_not_run_together() -> None:
    namer = Namer(b"k" * 32)
    assert namer.claim_id("ab", "c") != namer.claim_id("a", "bc")
    assert namer.idempotent_id(0, "ab", "c", "d") != namer.idempotent_id(0, "a", "bc", "d")
    assert namer.input_hmac("ab", "c") != namer.input_hmac("a", "bc")


def test_what_one_key_names_for_two_purposes_differs() -> None:
    namer = Namer(b"k" * 32)
    assert namer.input_hmac() != namer.fingerprint()
    assert namer.claim_id("x", "y")[2:] != namer.idempotent_id(0, "x", "y", "")[2:]


def test_names_spread_over_the_slots() -> None:
    namer = Namer(b"k" * 32)
    shards = [ids.shard_of(namer.claim_id("handle", f"person{number}"), 8) for number in range(2_000)]
    assert min(shards.count(shard) for shard in range(8)) > 150


def test_a_fingerprint_tells_keys_apart_and_none_of_them() -> None:
    one, other = Namer(b"k" * 32), Namer(b"l" * 32)
    assert one.fingerprint() != other.fingerprint()
    assert b"k".hex() * 8 not in one.fingerprint()

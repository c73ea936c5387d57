"""Shares of shards, and what passes between processes."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.affinity.wire import (
    FRAME_BYTES,
    Declined,
    Done,
    Failed,
    Refused,
    asked,
    command_of,
    context_of,
    declined,
    done,
    error_of,
    failed,
    frames,
    read_answers,
    read_asks,
    result_of,
)
from domain.commands import CreatePost
from domain.context import Context
from domain.deciders import REGISTRY as AGGREGATES
from domain.deciders import initial
from domain.envelope import Metadata, Recorded
from domain.errors import (
    Code,
    CorruptStreamError,
    OutcomeUnknownError,
    OverloadedError,
    Problem,
    Refusal,
    TidingsError,
    UnavailableError,
)
from domain.events import AccountPrivate, AccountRegistered
from domain.handlers.result import Result
from domain.ids import Namer, mint_id
from domain.limits import Limits
from domain.log.affinity import Appointed, Peer, plan
from domain.log.port import Outcome

NAMER = Namer(b"k" * 32)


def framed(*messages: bytes) -> bytes:
    [(frame, _)] = frames(messages)
    return frame


@given(st.integers(1, 64), st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_whoever_comes_and_goes_all_come_to_hold_equally_many(shards: int, steps: Sequence[int]) -> None:
    holders: dict[int, Peer] = {}
    present: set[str] = set()

    def step(name: str) -> None:
        todo = plan(name, shards, Appointed(holders, frozenset(present)))
        for shard in todo.release:
            del holders[shard]
        for shard in todo.claim:
            assert shard not in holders
            holders[shard] = Peer(name, "")

    for number in steps:
        name = f"process-{number}"
        if name in present:
            present.discard(name)
            holders = {shard: peer for shard, peer in holders.items() if peer.name != name}
        else:
            present.add(name)
            step(name)
    for _ in range(2):
        for name in sorted(present):
            step(name)
    if present:
        shares = [sum(peer.name == name for peer in holders.values()) for name in present]
        assert sum(shares) == shards
        assert max(shares) - min(shares) <= 1


def test_a_command_arrives_with_all_of_its_context() -> None:
    command = CreatePost(text="hello", language="en", idempotency_key="once")
    context = Context(
        namer=NAMER,
        entropy=os.urandom,
        now=7,
        command_id="command",
        actor="actor",
        limits=Limits(text_graphemes=3),
        correlation_id="correlation",
        causation_id="cause",
        traceparent="trace",
        occurred_at=5,
    )
    # A field that is new in Context must travel too: give it a value above.
    unset = [f.name for f in dataclasses.fields(Context) if getattr(context, f.name) == f.default]
    assert unset == []
    [ask] = read_asks(framed(asked(3, command, context)))
    assert (ask.number, ask.name) == (3, "CreatePost")
    assert command_of(ask, CreatePost) == command
    assert context_of(ask, NAMER, os.urandom) == context


def test_a_context_of_a_newer_process_is_not_understood() -> None:
    [ask] = read_asks(framed(asked(3, CreatePost(text=""), Context(NAMER, os.urandom, 7, "command"))))
    with pytest.raises(TypeError):
        context_of(msgspec.structs.replace(ask, context={**ask.context, "novel": 1}), NAMER, os.urandom)


def test_a_result_arrives_with_its_events_and_states() -> None:
    account = mint_id(7, os.urandom)
    stream = f"account-{account}"
    event = AccountRegistered(
        account=account,
        handle_claim="claim",
        email_claim="other",
        email_claim_stream="claim-x",
        private=AccountPrivate(handle="ada", email="ada@example.org", password_hash="hash"),
    )
    recorded = Recorded(
        event_id="event",
        stream=stream,
        version=1,
        event=event,
        metadata=Metadata(command_id="command", input_hmac="mac"),
        occurred_at=1,
        recorded_at=2,
        attempt_id="attempt",
        generation=1,
        shard=0,
        position=4,
    )
    states = {f"{category}-{account}": each.initial for category, each in AGGREGATES.items()}
    states[stream] = AGGREGATES["account"].evolve(states[stream], recorded)
    result = Result(account, Outcome((recorded,), {0: recorded.sequence}, states), repeat=True)
    [answer] = read_answers(framed(done(9, result)))
    assert isinstance(answer, Done)
    assert answer.number == 9
    assert result_of(answer, initial) == result
    # A field that is new in Result must travel too.
    assert {f.name for f in dataclasses.fields(Result)} == {"id", "outcome", "repeat"}
    assert {f.name for f in dataclasses.fields(Outcome)} == {"events", "positions", "states"}
    assert Recorded.__struct_fields__ == tuple(recorded.__struct_fields__)


@pytest.mark.parametrize(
    "error",
    [
        Refusal([Problem(Code.INVALID, "no", ("input", "text")), Problem(Code.TOO_LONG, "long")]),
        OverloadedError("full"),
        UnavailableError("away"),
        OutcomeUnknownError("command"),
        CorruptStreamError("torn"),
        TidingsError("other"),
    ],
)
def test_errors_arrive_as_what_they_are(error: TidingsError) -> None:
    [answer] = read_answers(framed(failed(1, error)))
    assert isinstance(answer, Failed | Refused)
    received = error_of(answer)
    assert type(received) is type(error)
    assert (received.code, str(received)) == (error.code, str(error))
    if isinstance(error, Refusal) and isinstance(received, Refusal):
        assert received.problems == error.problems


def test_a_command_that_was_not_run_says_so() -> None:
    assert read_answers(framed(declined(4))) == [Declined(4)]


def test_frames_are_closed_when_they_are_large() -> None:
    context = Context(NAMER, os.urandom, 7, "command")
    messages = [asked(n, CreatePost(text="x" * (FRAME_BYTES // 3)), context) for n in range(7)]
    grouped = list(frames(messages))
    assert [count for _, count in grouped] == [3, 3, 1]
    assert [ask.number for frame, _ in grouped for ask in read_asks(frame)] == list(range(7))


def test_the_listener_is_no_part_of_the_public_application() -> None:
    source = (Path(__file__).parents[2] / "api" / "app.py").read_text()
    assert "affinity" not in source

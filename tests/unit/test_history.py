"""Histories: what may be shown of events and states, and what never is."""

import msgspec
import pytest

from api.history import REDACTED, SECRET, changes, history, moment, showable
from domain import deciders, events
from domain.envelope import Metadata, Recorded
from domain.log.codec import decode
from tests.golden.samples import FOLDER, KEY, SUBJECT, stored_in

FILES = sorted(FOLDER.glob("*.json"))
PROOFS = ("password_hash ✓", "token_hash ✓", "new_hash ✓")
"""What the golden files hold in the fields that prove who somebody is."""


def recorded(version: int, what: events.Event, stream: str) -> Recorded:
    return Recorded(
        event_id=f"attempt-{version}",
        stream=stream,
        version=version,
        event=what,
        metadata=Metadata(command_id=f"command {version}", actor="ada"),
        occurred_at=1_700_000_000_000_000,
        recorded_at=1_700_000_000_000_000 + version,
        attempt_id="attempt",
        generation=1,
        shard=0,
        position=version,
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_event_ever_stored_shows_a_proof_of_who_somebody_is(path: object) -> None:
    row = stored_in(FOLDER / str(path))
    one = decode(row, {SUBJECT: KEY})
    shown = msgspec.json.encode(showable(one.event)).decode()
    assert not any(proof in shown for proof in PROOFS)
    holds = any(proof in msgspec.json.encode(one.event).decode() for proof in PROOFS)
    assert (SECRET in shown) == holds
    assert (REDACTED in msgspec.json.encode(moment(decode(row, {})).data).decode()) == (row.sealed is not None)
    assert moment(one).data == showable(one.event)


def test_a_state_shows_no_hash_that_was_rotated_away() -> None:
    opened = events.SessionOpened(session="s", account="a", token_hash="first", expires_at=1)
    renewed = events.SessionRefreshed(session="s", account="a", token_hash="second", expires_at=2)
    found = history("session-s", [recorded(1, opened, "session-s"), recorded(2, renewed, "session-s")], diff=True)
    shown = msgspec.json.encode([found.state, found.moments]).decode()
    assert "first" not in shown
    assert "second" not in shown
    assert found.moments[1].changes is not None
    assert found.moments[1].changes["token_hash"] == (SECRET, SECRET)
    assert found.moments[1].changes["expires_at"] == (1, 2)


def test_a_difference_names_the_leaves_that_changed() -> None:
    created = events.PostCreated(post="p", author="a", root="p", tags=("x",), private=events.PostPrivate(text="one"))
    edited = events.PostEdited(
        post="p", author="a", visibility="PUBLIC", sort_at=1, revision=2, private=events.PostPrivate(text="two")
    )
    found = history("post-p", [recorded(1, created, "post-p"), recorded(2, edited, "post-p")], diff=True)
    second = found.moments[1].changes
    assert second is not None
    assert second["revision"] == (1, 2)
    assert second["tags"] == (["x"], [])
    assert ("one", "two") in second.values()


def test_what_stays_is_no_difference() -> None:
    state = deciders.initial("session-s")
    assert changes(state, state) == {}
    assert changes({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "d": None}) == {"a.b": (1, 3), "c": (2, None)}


def test_a_stream_without_events_has_no_state() -> None:
    assert history("post-p", []).state is None

"""Profiles, claims, sessions and footprints: what the events of an account make of them, and that a redacted history gives the same in the end."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from domain.events import (
    AccountDeactivated,
    AccountDeleted,
    AccountHandleChanged,
    AccountLocked,
    AccountPasswordChanged,
    AccountPrivate,
    AccountProfileChanged,
    AccountReactivated,
    AccountRegistered,
    AccountSessionsEnded,
    AccountUnlocked,
    ClaimConfirmed,
    ClaimHeld,
    ClaimReleased,
    Event,
    Facet,
    Followed,
    NamePrivate,
    PasswordPrivate,
    PostCreated,
    PostDeleted,
    PostLiked,
    PostPrivate,
    ProfileField,
    ProfilePrivate,
    SessionOpened,
    SessionPrivate,
    SessionRefreshed,
    SessionRevoked,
    SubjectForgotten,
    Unfollowed,
)
from domain.handlers import leaving
from projections import accounts, claims, families, footprints, sessions
from projections.accounts import Profile, as_profile
from projections.documents.port import Fidelity
from tests.unit.folded import Folded, folded, happened

REGISTERED = AccountRegistered(
    account="ada",
    handle_claim="h1",
    email_claim="e1",
    email_claim_stream="c1",
    private=AccountPrivate(handle="ada", email="ada@example.org", password_hash="x", display_name="Ada", bio="hm"),
)
RENAMED = AccountHandleChanged(
    account="ada",
    claim_id="h2",
    claim_stream="c2",
    former_claim="h1",
    former_claim_stream="c0",
    private=NamePrivate(handle="lovelace"),
)
BIO_FACET = Facet(kind="tag", byte_start=0, byte_end=5, grapheme_start=0, grapheme_end=5, target="code")
PROFILE = AccountProfileChanged(
    account="ada",
    bio_facets=(BIO_FACET,),
    private=ProfilePrivate(
        display_name="Ada L.",
        bio="#code",
        fields=(ProfileField(name="job", value="countess"),),
        avatar="https://example.org/a",
        banner="https://example.org/b",
    ),
)
DELETED = AccountDeleted(
    account="ada", handle_claim="h2", handle_claim_stream="c2", email_claim="e1", email_claim_stream="c1"
)
OPENED = SessionOpened(
    session="s", account="ada", token_hash="t", expires_at=9, private=SessionPrivate(user_agent="a browser")
)


def profile_after(*events: Event) -> Profile:
    profile = as_profile("ada", folded(accounts.FAMILY, happened(REGISTERED, *events))["profiles"]["ada"])
    assert profile is not None
    return profile


def test_a_new_handle_takes_the_old_ones_place() -> None:
    assert profile_after(RENAMED).handle == "lovelace"


def test_a_profile_is_replaced_as_a_whole() -> None:
    profile = profile_after(PROFILE)
    assert (profile.display_name, profile.bio, profile.bio_facets) == ("Ada L.", "#code", (BIO_FACET,))
    assert profile.fields == (ProfileField(name="job", value="countess"),)
    assert (profile.avatar, profile.banner) == ("https://example.org/a", "https://example.org/b")
    emptied = AccountProfileChanged(account="ada", private=ProfilePrivate())
    assert profile_after(PROFILE, emptied) == msgspec.structs.replace(profile_after(), display_name="", bio="")


def test_states_follow_one_another() -> None:
    gone, back = AccountDeactivated(account="ada"), AccountReactivated(account="ada")
    assert profile_after(gone).state == "DEACTIVATED"
    assert profile_after(gone, back) == profile_after()
    assert profile_after(AccountLocked(account="ada")).locked
    assert not profile_after(AccountLocked(account="ada"), AccountUnlocked(account="ada")).locked


def test_a_deletion_leaves_nothing_that_was_typed() -> None:
    profile = profile_after(RENAMED, PROFILE, DELETED)
    assert profile == Profile(id="ada", created_at=profile.created_at, state="DELETED")
    assert profile.redacted


def redacted(event: Event) -> Event:
    return msgspec.structs.replace(event, private=None) if hasattr(event, "private") else event


HISTORY = (
    REGISTERED,
    OPENED,
    RENAMED,
    PROFILE,
    AccountPasswordChanged(account="ada", private=PasswordPrivate(password_hash="y")),
    PostCreated(post="p", author="ada", root="p", tags=("tea",), private=PostPrivate(text="#tea")),
    DELETED,
    SessionRevoked(session="s", account="ada", reason="deleted"),
    PostDeleted(post="p", author="ada", tags=("tea",), words=1),
    SubjectForgotten(account="ada"),
)


@pytest.mark.parametrize("family", families.ALL, ids=lambda family: family.name)
def test_what_was_purged_is_what_a_replay_without_the_key_never_sees(family: Any) -> None:
    lived, replayed = [folded(family, happened(*events)) for events in (HISTORY, [redacted(one) for one in HISTORY])]
    kept = {collection.name for collection in family.collections if collection.fidelity is not Fidelity.CACHE}
    assert {name: lived[name] for name in kept} == {name: replayed[name] for name in kept}


def of_stream(family: Any, stream: str, *events: Event) -> Folded:
    return folded(family, [msgspec.structs.replace(one, stream=stream) for one in happened(*events)])


def test_a_claim_is_held_confirmed_and_rests() -> None:
    held = ClaimHeld(kind="handle", owner="ada", claim_id="h1")
    log: list[Event] = [held, ClaimConfirmed(owner="ada", claim_id="h1")]
    assert of_stream(claims.FAMILY, "claim-c1", *log)["claims"] == {
        "c1": {"owner": "ada", "heldAt": 1_000_000_000, "confirmed": True}
    }
    log.append(ClaimReleased(owner="ada", claim_id="h1", rests_until=7))
    assert of_stream(claims.FAMILY, "claim-c1", *log)["claims"] == {"c1": {"former": "ada", "restsUntil": 7}}
    again = of_stream(claims.FAMILY, "claim-c1", *log, msgspec.structs.replace(held, owner="bob"))["claims"]["c1"]
    assert again == {"owner": "bob", "heldAt": 1_003_000_000, "confirmed": False}


def session_after(*events: Event) -> dict[str, Any]:
    return folded(sessions.FAMILY, happened(OPENED, *events))["sessions"]["s"]


def test_a_session_is_opened_used_and_ended() -> None:
    refreshed = session_after(SessionRefreshed(session="s", account="ada", token_hash="u", expires_at=12))
    assert (refreshed["createdAt"], refreshed["lastUsedAt"], refreshed["expiresAt"]) == (10**9, 1_001_000_000, 12)
    assert refreshed["userAgent"] == "a browser"
    ended = session_after(SessionRevoked(session="s", account="ada", reason="signed_out"))
    assert ended["ended"] is True
    assert not {"key", "userAgent"} & set(ended)


def test_sessions_that_end_together_leave_a_mark() -> None:
    log = happened(OPENED, AccountSessionsEnded(account="ada", kept="s", reason="revoked"))
    assert folded(sessions.FAMILY, log)["marks"] == {"ada": {"ended": log[1].sequence, "kept": "s"}}
    log = happened(OPENED, DELETED)
    assert folded(sessions.FAMILY, log)["marks"] == {"ada": {"ended": log[1].sequence, "kept": ""}}


@pytest.mark.parametrize(
    ("stream", "begun", "ended", "whose"),
    [
        (
            "follow-ada-bob",
            Followed(follower="ada", followee="bob"),
            Unfollowed(follower="ada", followee="bob"),
            ["ada", "bob"],
        ),
        ("post-p", PostCreated(post="p", author="ada", root="p"), PostDeleted(post="p", author="ada"), ["ada"]),
        ("reaction-p-bob", PostLiked(post="p", author="ada", actor="bob"), None, ["bob"]),
        ("session-s", OPENED, SessionRevoked(session="s", account="ada", reason="x"), ["ada"]),
    ],
)
def test_footprints_stand_while_what_left_them_does(
    stream: str, begun: Event, ended: Event | None, whose: Sequence[str]
) -> None:
    left = of_stream(footprints.FAMILY, stream, begun)["footprints"]
    assert left == {f"{one}/{stream}": {"account": one, "stream": stream} for one in whose}
    if ended is not None:
        gone = of_stream(footprints.FAMILY, stream, begun, ended)["footprints"]
        assert all("stream" not in fields for fields in gone.values())
        assert of_stream(footprints.FAMILY, stream, begun, ended, begun)["footprints"] == left


def test_every_footprint_can_be_taken_back() -> None:
    """What leaves one lies in a stream whose ending a deletion knows."""
    left = {kind.name.partition(".")[0] for kind in footprints._BEGIN}
    assert left == set(leaving._ENDINGS) == {kind.name.partition(".")[0] for kind in footprints._END}

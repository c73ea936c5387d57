"""What the deciders of follows, blocks and mutes decide, as sentences."""

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from domain.deciders import account, block, follow, mute
from domain.errors import Code, Refusal
from domain.events import (
    AccountBeganBlocking,
    AccountBlocked,
    AccountLocked,
    AccountMuted,
    AccountPrivate,
    AccountRegistered,
    AccountUnblocked,
    AccountUnlocked,
    AccountUnmuted,
    Event,
    Followed,
    FollowRequestAccepted,
    FollowRequested,
    FollowRequestRejected,
    FollowRequestWithdrawn,
    Unfollowed,
)
from tests.unit.specification import given, recorded

FOLLOWED = Followed(follower="bob", followee="ada")
UNFOLLOWED = Unfollowed(follower="bob", followee="ada")
REQUESTED = FollowRequested(follower="bob", followee="ada")
ACCEPTED = FollowRequestAccepted(follower="bob", followee="ada")
REJECTED = FollowRequestRejected(follower="bob", followee="ada")
WITHDRAWN = FollowRequestWithdrawn(follower="bob", followee="ada")
ADA = AccountRegistered(
    account="ada",
    handle_claim="h",
    email_claim="e",
    email_claim_stream="s",
    private=AccountPrivate(handle="ada", email="ada@example.org", password_hash="x"),
)


def test_a_locked_account_is_asked_once() -> None:
    given("follow").when(lambda s: follow.follow(s, "bob", "ada", None, None, locked=True)).then(REQUESTED)
    given("follow", REQUESTED).when(lambda s: follow.follow(s, "bob", "ada", None, None, locked=True)).then()


def test_a_request_keeps_the_options_that_a_second_one_does_not_name() -> None:
    asked = FollowRequested(follower="bob", followee="ada", reposts=False)
    changed = FollowRequested(follower="bob", followee="ada", reposts=False, notify=True, renewed=True)
    given("follow", asked).when(lambda s: follow.follow(s, "bob", "ada", None, True, locked=True)).then(changed)
    followed = Followed(follower="bob", followee="ada", reposts=False, notify=True)
    given("follow", asked, changed).when(lambda s: follow.accept(s, "bob", "ada")).then(ACCEPTED, followed)


def test_who_follows_already_need_not_ask_when_the_account_is_locked() -> None:
    renewed = Followed(follower="bob", followee="ada", notify=True, renewed=True)
    given("follow", FOLLOWED).when(lambda s: follow.follow(s, "bob", "ada", None, None, locked=True)).then()
    given("follow", FOLLOWED).when(lambda s: follow.follow(s, "bob", "ada", None, True, locked=True)).then(renewed)


def test_a_request_that_an_unlocking_has_not_reached_yet_becomes_the_follow() -> None:
    given("follow", REQUESTED).when(lambda s: follow.follow(s, "bob", "ada", None, None)).then(ACCEPTED, FOLLOWED)


def test_a_request_is_accepted_once() -> None:
    given("follow", REQUESTED).when(lambda s: follow.accept(s, "bob", "ada")).then(ACCEPTED, FOLLOWED)
    given("follow", REQUESTED, ACCEPTED, FOLLOWED).when(lambda s: follow.accept(s, "bob", "ada")).then()


@pytest.mark.parametrize("ending", [REJECTED, WITHDRAWN])
def test_a_request_that_has_ended_cannot_be_accepted(ending: Event) -> None:
    given("follow", REQUESTED, ending).when(lambda s: follow.accept(s, "bob", "ada")).refused(Code.NOT_FOUND)
    given("follow").when(lambda s: follow.accept(s, "bob", "ada")).refused(Code.NOT_FOUND)


def test_a_request_is_turned_down_or_withdrawn() -> None:
    given("follow", REQUESTED).when(lambda s: follow.reject(s, "bob", "ada")).then(REJECTED)
    given("follow", FOLLOWED).when(lambda s: follow.reject(s, "bob", "ada")).then()
    given("follow", REQUESTED).when(lambda s: follow.unfollow(s, "bob", "ada")).then(WITHDRAWN)


def test_a_follower_is_removed() -> None:
    given("follow", FOLLOWED).when(lambda s: follow.remove(s, "bob", "ada")).then(UNFOLLOWED)
    given("follow", REQUESTED).when(lambda s: follow.remove(s, "bob", "ada")).then()
    given("follow").when(lambda s: follow.remove(s, "bob", "ada")).then()


def test_a_block_severs_whatever_stands() -> None:
    given("follow", FOLLOWED).when(lambda s: follow.sever(s, "bob", "ada")).then(UNFOLLOWED)
    given("follow", REQUESTED).when(lambda s: follow.sever(s, "bob", "ada")).then(REJECTED)
    given("follow").when(lambda s: follow.sever(s, "bob", "ada")).then()


def test_a_late_reactor_ends_the_follow_that_it_saw_and_no_later_one() -> None:
    given("follow", FOLLOWED).when(lambda s: follow.end(s, "bob", "ada", 1)).then(UNFOLLOWED)
    given("follow", REQUESTED).when(lambda s: follow.end(s, "bob", "ada", 1)).then(WITHDRAWN)
    given("follow", FOLLOWED, UNFOLLOWED, FOLLOWED).when(lambda s: follow.end(s, "bob", "ada", 1)).then()
    given("follow", FOLLOWED, UNFOLLOWED, FOLLOWED).when(lambda s: follow.end(s, "bob", "ada", 3)).then(UNFOLLOWED)
    renewed = Followed(follower="bob", followee="ada", notify=True, renewed=True)
    given("follow", FOLLOWED, renewed).when(lambda s: follow.end(s, "bob", "ada", 1)).then(UNFOLLOWED)


def test_an_unlocking_accepts_who_asked_before_it() -> None:
    asked = recorded(REQUESTED).sequence
    given("follow", REQUESTED).when(lambda s: follow.accept_pending(s, "bob", "ada", asked + 1)).then(
        ACCEPTED, FOLLOWED
    )
    given("follow", REQUESTED).when(lambda s: follow.accept_pending(s, "bob", "ada", asked)).then()
    given("follow", REQUESTED, REJECTED).when(lambda s: follow.accept_pending(s, "bob", "ada", asked + 9)).then()
    given("follow", FOLLOWED).when(lambda s: follow.accept_pending(s, "bob", "ada", asked + 9)).then()


def test_a_request_that_changes_its_options_was_made_when_it_was_made() -> None:
    renewed = FollowRequested(follower="bob", followee="ada", notify=True, renewed=True)
    state = given("follow", REQUESTED, renewed).state()
    assert (state.asked, state.begun) == (recorded(REQUESTED).sequence, 1)


def test_a_block_is_made_and_ended_once() -> None:
    blocked, unblocked = AccountBlocked(actor="ada", target="bob"), AccountUnblocked(actor="ada", target="bob")
    given("block").when(lambda s: block.block(s, "ada", "bob")).then(blocked)
    given("block", blocked).when(lambda s: block.block(s, "ada", "bob")).then()
    given("block", blocked).when(lambda s: block.unblock(s, "ada", "bob")).then(unblocked)
    given("block", blocked, unblocked).when(lambda s: block.unblock(s, "ada", "bob")).then()


def test_each_block_is_another() -> None:
    blocked, unblocked = AccountBlocked(actor="ada", target="bob"), AccountUnblocked(actor="ada", target="bob")
    causes = [given("block", *events).state().cause for events in ((blocked,), (blocked, unblocked, blocked))]
    assert causes == ["event-1", "event-3"]


def test_a_block_of_either_refuses() -> None:
    stands, none = block.Block(cause="event-1"), block.Block()
    block.require_none((none, none), "userId")
    for pair in ((stands, none), (none, stands)):
        with pytest.raises(Refusal) as refusal:
            block.require_none(pair, "userId")
        assert refusal.value.problems[0].code is Code.BLOCKED
        assert refusal.value.problems[0].field == ("userId",)


def test_a_mute_is_changed_by_another_end_alone() -> None:
    forever, soon = AccountMuted(actor="ada", target="bob"), AccountMuted(actor="ada", target="bob", until=9)
    given("mute").when(lambda s: mute.mute(s, "ada", "bob", None)).then(forever)
    given("mute", forever).when(lambda s: mute.mute(s, "ada", "bob", None)).then()
    given("mute", forever).when(lambda s: mute.mute(s, "ada", "bob", 9)).then(soon)
    given("mute", soon).when(lambda s: mute.mute(s, "ada", "bob", 9)).then()
    unmuted = AccountUnmuted(actor="ada", target="bob")
    given("mute", soon).when(lambda s: mute.unmute(s, "ada", "bob")).then(unmuted)
    given("mute", soon, unmuted).when(lambda s: mute.unmute(s, "ada", "bob")).then()


def test_an_account_is_locked_and_unlocked_once() -> None:
    locked, unlocked = AccountLocked(account="ada"), AccountUnlocked(account="ada")
    given("account", ADA).when(lambda s: account.lock(s, True)).then(locked)
    given("account", ADA).when(lambda s: account.lock(s, False)).then()
    given("account", ADA, locked).when(lambda s: account.lock(s, True)).then()
    given("account", ADA, locked).when(lambda s: account.lock(s, False)).then(unlocked)


def test_an_account_begins_blocking_once() -> None:
    begun = AccountBeganBlocking(account="ada")
    given("account", ADA).when(account.begin_blocking).then(begun)
    given("account", ADA, begun).when(account.begin_blocking).then()


DECISIONS = {
    "follow": lambda s: follow.follow(s, "bob", "ada", None, None),
    "ask": lambda s: follow.follow(s, "bob", "ada", None, None, locked=True),
    "change": lambda s: follow.follow(s, "bob", "ada", not s.reposts, None, locked=True),
    "unfollow": lambda s: follow.unfollow(s, "bob", "ada"),
    "remove": lambda s: follow.remove(s, "bob", "ada"),
    "reject": lambda s: follow.reject(s, "bob", "ada"),
    "sever": lambda s: follow.sever(s, "bob", "ada"),
    "end": lambda s: follow.end(s, "bob", "ada", s.begun),
    "accept": lambda s: follow.accept(s, "bob", "ada") if s.begun else (),
    "unlock": lambda s: follow.accept_pending(s, "bob", "ada", 2**60),
}


@drawn(st.lists(st.sampled_from(sorted(DECISIONS)), max_size=30))
def test_what_is_counted_stands_once(names: list[str]) -> None:
    """Whatever is decided in whatever order: follows and requests begin and end by turns, so that folds that add one and take one never drift."""
    events: list[Event] = []
    for name in names:
        events += DECISIONS[name](given("follow", *events).state())
    following = [e for e in events if isinstance(e, Unfollowed) or (isinstance(e, Followed) and not e.renewed)]
    assert [isinstance(e, Followed) for e in following] == [place % 2 == 0 for place in range(len(following))]
    ends = (FollowRequestAccepted, FollowRequestRejected, FollowRequestWithdrawn)
    asking = [e for e in events if isinstance(e, ends) or (isinstance(e, FollowRequested) and not e.renewed)]
    assert [isinstance(e, FollowRequested) for e in asking] == [place % 2 == 0 for place in range(len(asking))]
    state = given("follow", *events).state()
    assert state.active is (len(following) % 2 == 1)
    assert state.requested is (len(asking) % 2 == 1)
    assert not (state.active and state.requested)

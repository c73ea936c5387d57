"""What each decider decides, as sentences."""

import msgspec
import pytest

from domain.deciders import account, claim, follow, post, reaction, repost, session
from domain.errors import Code
from domain.events import (
    AccountDeactivated,
    AccountDeleted,
    AccountHandleChanged,
    AccountPasswordChanged,
    AccountPrivate,
    AccountProfileChanged,
    AccountReactivated,
    AccountRegistered,
    AccountSessionsEnded,
    ClaimConfirmed,
    ClaimHeld,
    ClaimReleased,
    ClaimVoided,
    Event,
    Followed,
    NamePrivate,
    PasswordPrivate,
    PostContent,
    PostCreated,
    PostDeleted,
    PostEdited,
    PostLiked,
    PostPrivate,
    PostReposted,
    PostUnliked,
    ProfilePrivate,
    RepostUndone,
    SessionOpened,
    SessionRefreshed,
    SessionRevoked,
    SubjectForgotten,
    Unfollowed,
)
from tests.unit.specification import given

ADA = AccountRegistered(
    account="ada",
    handle_claim="h1",
    email_claim="e1",
    email_claim_stream="c1",
    private=AccountPrivate(handle="ada", email="ada@example.org", password_hash="x"),
)


def test_a_registration_stands_once() -> None:
    given("account").when(lambda s: account.register(s, ADA)).then(ADA)
    given("account", ADA).when(lambda s: account.register(s, ADA)).then()


def test_a_registration_slower_than_a_takeover_is_refused() -> None:
    voided = ClaimVoided(account="ada", claim_id="e1")
    given("account", voided).when(lambda s: account.register(s, ADA)).refused(Code.CONFLICT)


def test_a_claim_that_the_account_names_cannot_be_voided() -> None:
    given("account", ADA).when(lambda s: account.void_claim(s, "ada", "e1")).refused(Code.DUPLICATE)
    given("account").when(lambda s: account.void_claim(s, "ada", "e1")).then(ClaimVoided(account="ada", claim_id="e1"))


HELD = ClaimHeld(kind="email", owner="ada", claim_id="e1")


def test_a_claim_is_confirmed_once_and_only_for_its_holding() -> None:
    confirmed = ClaimConfirmed(owner="ada", claim_id="e1")
    given("claim", HELD).when(lambda s: claim.confirm(s, "ada", "e1")).then(confirmed)
    given("claim", HELD, confirmed).when(lambda s: claim.confirm(s, "ada", "e1")).then()
    given("claim", HELD).when(lambda s: claim.confirm(s, "ada", "e0")).then()
    given("claim").when(lambda s: claim.confirm(s, "ada", "e1")).then()


def test_only_the_holding_that_is_named_is_released() -> None:
    released = ClaimReleased(owner="ada", claim_id="e1")
    given("claim", HELD).when(lambda s: claim.release(s, "ada", "e1")).then(released)
    given("claim", HELD).when(lambda s: claim.release(s, "ada", "e0")).then()
    given("claim", HELD, released).when(lambda s: claim.release(s, "ada", "e1")).then()


def test_a_name_is_held_by_one_and_rests_when_it_was_released() -> None:
    other = ClaimHeld(kind="handle", owner="bob", claim_id="h2")
    mine = ClaimHeld(kind="handle", owner="ada", claim_id="h3")
    released = ClaimReleased(owner="ada", claim_id="e1", rests_until=500)
    given("claim").when(lambda s: claim.hold(s, other, 10)).then(other)
    given("claim", HELD).when(lambda s: claim.hold(s, other, 10)).refused(Code.DUPLICATE)
    given("claim", HELD).when(lambda s: claim.hold(s, other, 10, in_place_of="e1")).then(other)
    given("claim", HELD).when(lambda s: claim.hold(s, other, 10, in_place_of="e0")).refused(Code.DUPLICATE)
    given("claim", HELD, released).when(lambda s: claim.hold(s, other, 499)).refused(Code.DUPLICATE)
    given("claim", HELD, released).when(lambda s: claim.hold(s, other, 500)).then(other)
    given("claim", HELD, released).when(lambda s: claim.hold(s, mine, 10)).then(mine)


RENAMED = AccountHandleChanged(
    account="ada",
    claim_id="h2",
    claim_stream="c2",
    former_claim="h1",
    former_claim_stream="c1",
    private=NamePrivate(handle="ada_2"),
)


def test_a_handle_is_changed_once_and_names_its_claim() -> None:
    given("account", ADA).when(lambda s: account.change_handle(s, RENAMED)).then(RENAMED)
    given("account", ADA, RENAMED).when(lambda s: account.change_handle(s, RENAMED)).then()
    renamed = given("account", ADA, RENAMED).state()
    assert (renamed.private.handle, renamed.private.email) == ("ada_2", "ada@example.org")
    assert [renamed.names(claim_id) for claim_id in ("h1", "h2", "e1", "h3")] == [True, True, True, False]


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ((ClaimVoided(account="ada", claim_id="h2"),), Code.CONFLICT),
        (
            (
                RENAMED,
                msgspec.structs.replace(RENAMED, claim_id="h3", former_claim="h2", private=NamePrivate(handle="c")),
            ),
            Code.CONFLICT,
        ),
        ((AccountDeactivated(account="ada"),), Code.FORBIDDEN),
    ],
)
def test_a_handle_is_not_changed_under_a_claim_that_is_lost(events: tuple[Event, ...], code: Code) -> None:
    given("account", ADA, *events).when(lambda s: account.change_handle(s, RENAMED)).refused(code)


DELETED_ADA = AccountDeleted(
    account="ada", handle_claim="h1", handle_claim_stream="c0", email_claim="e1", email_claim_stream="c1"
)
FORGOTTEN_ADA = SubjectForgotten(account="ada")


def test_an_account_is_deleted_once_with_the_password_that_was_seen() -> None:
    given("account", ADA).when(lambda s: account.delete(s, "c0", "x")).then(DELETED_ADA)
    given("account", ADA, DELETED_ADA).when(lambda s: account.delete(s, "c0", "whatever")).then()
    given("account", ADA).when(lambda s: account.delete(s, "c0", "y")).refused(Code.CONFLICT)
    given("account").when(lambda s: account.delete(s, "c0", "x")).refused(Code.UNAUTHENTICATED)


def test_only_a_deleted_account_is_forgotten_and_once() -> None:
    given("account", ADA).when(account.forget).then()
    given("account", ADA, DELETED_ADA).when(account.forget).then(FORGOTTEN_ADA)
    given("account", ADA, DELETED_ADA, FORGOTTEN_ADA).when(account.forget).then()


def test_a_deleted_account_does_nothing_more() -> None:
    gone = given("account", ADA, DELETED_ADA)
    gone.when(lambda s: account.register(s, ADA)).refused(Code.CONFLICT)
    for decide in (account.deactivate, account.reactivate):
        gone.when(decide).refused(Code.UNAUTHENTICATED)
    gone.when(lambda s: account.change_handle(s, RENAMED)).refused(Code.UNAUTHENTICATED)


def test_an_account_goes_and_comes_back() -> None:
    gone, back = AccountDeactivated(account="ada"), AccountReactivated(account="ada")
    given("account", ADA).when(account.deactivate).then(gone)
    given("account", ADA, gone).when(account.deactivate).then()
    given("account", ADA, gone).when(account.reactivate).then(back)
    given("account", ADA, gone, back).when(account.reactivate).then()
    given("account", ADA, gone).when(lambda s: account.register(s, ADA)).then()


ANOTHER = AccountPasswordChanged(account="ada", private=PasswordPrivate(password_hash="y"))


def test_another_password_ends_the_other_sessions() -> None:
    ended = AccountSessionsEnded(account="ada", kept="s", reason="password_changed")
    given("account", ADA).when(lambda s: account.change_password(s, ANOTHER, "x", "s")).then(ANOTHER, ended)
    given("account", ADA, ANOTHER).when(lambda s: account.change_password(s, ANOTHER, "x", "s")).refused(Code.CONFLICT)
    state = given("account", ADA, ANOTHER, ended).state()
    assert state.private.password_hash == "y"
    at = (1 << 44) + 3
    assert [state.has_ended(*session) for session in (("s", 1), ("t", 1), ("t", at - 1), ("t", at + 1))] == [
        False,
        True,
        True,
        False,
    ]


PROFILE = AccountProfileChanged(account="ada", private=ProfilePrivate(display_name="Ada", bio="Numbers"))


def test_a_profile_that_is_the_same_is_no_change() -> None:
    given("account", ADA).when(lambda s: account.change_profile(s, PROFILE)).then(PROFILE)
    given("account", ADA, PROFILE).when(lambda s: account.change_profile(s, PROFILE)).then()


OWNER = account.Account(id="ada", standing=account.Standing.ACTIVE)
OPENED = SessionOpened(session="s", account="ada", token_hash="one", expires_at=100)
ROTATED = SessionRefreshed(session="s", account="ada", token_hash="two", expires_at=110)


def test_a_refresh_rotates_the_token() -> None:
    given("session", OPENED).when(lambda s: session.refresh(s, OWNER, "s", "one", "two", 10, 100)).then(ROTATED)


def test_a_rotated_token_that_comes_back_ends_the_session() -> None:
    revoked = SessionRevoked(session="s", account="ada", reason="reuse")
    given("session", OPENED, ROTATED).when(lambda s: session.refresh(s, OWNER, "s", "one", "three", 20, 100)).then(
        revoked
    )
    given("session", OPENED, ROTATED, revoked).when(
        lambda s: session.refresh(s, OWNER, "s", "two", "three", 20, 100)
    ).refused(Code.UNAUTHENTICATED)


def test_a_session_remembers_as_many_rotated_tokens_as_it_may_and_the_newest() -> None:
    hashes = [f"token {number}" for number in range(session.ROTATED_KEPT + 10)]
    refreshed = [SessionRefreshed(session="s", account="ada", token_hash=each, expires_at=100) for each in hashes]
    long = given("session", OPENED, *refreshed)
    # The last is the one in use, the thousand before it were rotated away.
    long.when(lambda s: session.refresh(s, OWNER, "s", hashes[9], "new", 10, 100)).then(
        SessionRevoked(session="s", account="ada", reason="reuse")
    )
    long.when(lambda s: session.refresh(s, OWNER, "s", hashes[8], "new", 10, 100)).refused(Code.UNAUTHENTICATED)


@pytest.mark.parametrize(
    ("presented", "now", "code"), [("other", 10, Code.UNAUTHENTICATED), ("one", 100, Code.EXPIRED)]
)
def test_a_refresh_is_refused(presented: str, now: int, code: Code) -> None:
    given("session", OPENED).when(lambda s: session.refresh(s, OWNER, "s", presented, "two", now, 100)).refused(code)


def test_only_the_owner_signs_out() -> None:
    revoked = SessionRevoked(session="s", account="ada", reason="signed_out")
    given("session", OPENED).when(lambda s: session.sign_out(s, "s", "ada")).then(revoked)
    given("session", OPENED).when(lambda s: session.sign_out(s, "s", "eve")).then()
    given("session", OPENED, revoked).when(lambda s: session.sign_out(s, "s", "ada")).then()


CREATED = PostCreated(post="p", author="ada", root="p", tags=("old", "kept"), private=PostPrivate(text="#old #kept"))
DELETED = PostDeleted(post="p", author="ada", tags=("old", "kept"), words=2)


def test_a_repeated_create_changes_nothing() -> None:
    given("post", CREATED, input_hmac="h").when(lambda s: post.create(s, CREATED, "h")).then()


def test_a_key_with_other_input_is_a_mismatch() -> None:
    given("post", CREATED, input_hmac="h").when(lambda s: post.create(s, CREATED, "other")).refused(
        Code.IDEMPOTENCY_MISMATCH
    )


EDITED = PostEdited(
    post="p",
    author="ada",
    visibility="PUBLIC",
    sort_at=0,
    revision=0,
    tags=("kept", "new"),
    private=PostPrivate(text="#kept #new"),
)


def test_an_edit_says_which_tags_went() -> None:
    expected = msgspec.structs.replace(
        EDITED,
        sort_at=1_000,
        revision=2,
        tags_added=("new",),
        tags_removed=("old",),
        before_at=1_000,
        private=PostPrivate(text="#kept #new", before=PostContent(text="#old #kept")),
    )
    given("post", CREATED).when(lambda s: post.edit(s, "ada", EDITED, 100)).then(expected)
    given("post", CREATED, expected).when(lambda s: post.edit(s, "ada", EDITED, 100)).then()


@pytest.mark.parametrize(
    ("events", "actor", "code"),
    [
        ((), "ada", Code.NOT_FOUND),
        ((CREATED, DELETED), "ada", Code.NOT_FOUND),
        ((CREATED,), "eve", Code.FORBIDDEN),
        ((msgspec.structs.replace(CREATED, visibility="DIRECT"),), "eve", Code.NOT_FOUND),
    ],
)
def test_only_its_author_edits_a_post_that_stands(events: tuple[PostCreated, ...], actor: str, code: Code) -> None:
    given("post", *events).when(lambda s: post.edit(s, actor, EDITED, 100)).refused(code)


def test_a_delete_happens_once() -> None:
    given("post", CREATED).when(lambda s: post.delete(s, "ada")).then(DELETED)
    given("post", CREATED, DELETED).when(lambda s: post.delete(s, "ada")).then()
    given("post", CREATED).when(lambda s: post.delete(s, "eve")).refused(Code.FORBIDDEN)
    given("post").when(lambda s: post.delete(s, "ada")).refused(Code.NOT_FOUND)


@pytest.mark.parametrize(
    ("visibility", "actor", "follows", "seen"),
    [
        ("PUBLIC", "eve", False, True),
        ("UNLISTED", "eve", False, True),
        ("FOLLOWERS", "eve", False, False),
        ("FOLLOWERS", "eve", True, True),
        ("FOLLOWERS", "ada", False, True),
        ("FOLLOWERS", "bob", False, True),
        ("DIRECT", "eve", True, False),
        ("DIRECT", "bob", False, True),
    ],
)
def test_who_may_see_a_post(visibility: str, actor: str, follows: bool, seen: bool) -> None:
    state = given("post", msgspec.structs.replace(CREATED, visibility=visibility, mentions=("bob",))).state()
    assert post.may_see(state, actor, follows) is seen


def test_likes_toggle() -> None:
    liked, unliked = PostLiked(post="p", author="ada", actor="bob"), PostUnliked(post="p", author="ada", actor="bob")
    given("reaction").when(lambda s: reaction.like(s, "p", "ada", "bob")).then(liked)
    given("reaction", liked).when(lambda s: reaction.like(s, "p", "ada", "bob")).then()
    given("reaction", liked).when(lambda s: reaction.unlike(s, "p", "ada", "bob")).then(unliked)
    given("reaction", liked, unliked).when(lambda s: reaction.unlike(s, "p", "ada", "bob")).then()


def test_reposts_toggle() -> None:
    made, undone = PostReposted(actor="bob", post="p", author="ada"), RepostUndone(actor="bob", post="p", author="ada")
    given("repost").when(lambda s: repost.repost(s, "bob", post.Post(id="p", author="ada"))).then(made)
    given("repost", made).when(lambda s: repost.repost(s, "bob", post.Post(id="p", author="ada"))).then()
    given("repost", made).when(lambda s: repost.undo(s, "bob", "p")).then(undone)
    given("repost", made, undone).when(lambda s: repost.undo(s, "bob", "p")).then()


@pytest.mark.parametrize(("visibility", "author"), [("FOLLOWERS", "ada"), ("DIRECT", "ada"), ("DIRECT", "bob")])
def test_what_is_for_few_is_not_reposted(visibility: str, author: str) -> None:
    target = post.Post(id="p", author=author, visibility=visibility)
    given("repost").when(lambda s: repost.repost(s, "bob", target)).refused(Code.FORBIDDEN)


def test_a_follow_keeps_the_options_that_a_second_one_does_not_name() -> None:
    first = Followed(follower="bob", followee="ada", reposts=False)
    given("follow").when(lambda s: follow.follow(s, "bob", "ada", False, None)).then(first)
    given("follow", first).when(lambda s: follow.follow(s, "bob", "ada", None, None)).then()
    changed = Followed(follower="bob", followee="ada", reposts=False, notify=True, renewed=True)
    given("follow", first).when(lambda s: follow.follow(s, "bob", "ada", None, True)).then(changed)


def test_an_unfollow_without_a_follow_changes_nothing() -> None:
    followed, unfollowed = Followed(follower="bob", followee="ada"), Unfollowed(follower="bob", followee="ada")
    given("follow").when(lambda s: follow.unfollow(s, "bob", "ada")).then()
    given("follow", followed).when(lambda s: follow.unfollow(s, "bob", "ada")).then(unfollowed)

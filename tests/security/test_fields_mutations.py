"""Bad input to every mutation: each gets its typed error at its field, and nothing is appended."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from domain.ids import mint_id
from tests.product_kit import PASSWORD, Person, Product, embedded_settings, product, settled

PICTURE = {"url": "https://pictures.example/a.png", "mimeType": "image/png"}
UNKNOWN = mint_id(7, lambda n: bytes(range(n)))


@dataclass(frozen=True)
class World:
    """``ann`` owns the posts; ``bob`` follows her, ``eve`` does not, and ``dan`` is blocked by her."""

    served: Product
    ann: Person
    bob: Person
    eve: Person
    dan: Person
    post: str
    deleted: str
    secret: str

    async def heads(self) -> Sequence[int]:
        log = self.served.services.log
        return [await log.head(shard) for shard in range(log.identity.shards)]


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder: Path = tmp_path_factory.mktemp("world")
    async with product(embedded_settings(folder)) as served:
        ann, bob, eve, dan = [await served.register(name) for name in ("ann", "bob", "eve", "dan")]
        await bob.done("followUser", userId=ann.id)
        await ann.done("blockUser", userId=dan.id)
        post = await ann.post("A post", idempotencyKey="a key")
        deleted = await ann.post("A post that goes")
        await ann.done("deletePost", postId=deleted)
        secret = await ann.post("For followers", visibility="FOLLOWERS")
        await settled(served)
        yield World(served, ann, bob, eve, dan, post, deleted, secret)


Given = Callable[[World], dict[str, Any]]


@dataclass(frozen=True)
class Bad:
    """``who`` sends ``given`` to ``mutation``; the first error has ``code`` at ``field``."""

    mutation: str
    given: Given
    code: str
    field: str | None = None
    who: str = "eve"
    label: str = ""


def registering(**changed: str) -> Given:
    fine = {"handle": "newcomer", "email": "newcomer@example.org", "password": PASSWORD}
    return lambda _: fine | changed


def posting(text: str = "Fine", **more: Any) -> Given:
    return lambda _: {"text": text} | more


def on_post(which: str, **more: Any) -> Given:
    return lambda world: {"postId": getattr(world, which)} | more


def muting(until: str) -> Given:
    return lambda world: {"userId": world.ann.id, "until": until}


def on(field: str, value: str, **more: Any) -> Given:
    return lambda _: {field: value} | more


ACCOUNTS = [
    Bad("registerAccount", registering(handle=""), "TOO_SHORT", "handle"),
    Bad("registerAccount", registering(handle="ab"), "TOO_SHORT", "handle"),
    Bad("registerAccount", registering(handle="x" * 31), "TOO_LONG", "handle"),
    Bad("registerAccount", registering(handle="two words"), "INVALID", "handle"),
    Bad("registerAccount", registering(handle="nul\0nul"), "INVALID", "handle"),
    Bad("registerAccount", registering(handle="аnn_cyrillic"), "INVALID", "handle"),
    Bad("registerAccount", registering(handle="ANN"), "DUPLICATE", "handle"),
    Bad("registerAccount", registering(email=""), "INVALID", "email"),
    Bad("registerAccount", registering(email="nobody"), "INVALID", "email"),
    Bad("registerAccount", registering(email="a@b\0.org"), "INVALID", "email"),
    Bad("registerAccount", registering(email="Name <a@example.org>"), "INVALID", "email"),
    Bad("registerAccount", registering(email="a" * 250 + "@example.org"), "TOO_LONG", "email"),
    Bad("registerAccount", registering(email="ANN@Example.ORG"), "DUPLICATE", "email"),
    Bad("registerAccount", registering(password=""), "TOO_SHORT", "password"),
    Bad("registerAccount", registering(password="seven77"), "TOO_SHORT", "password"),
    Bad("registerAccount", registering(password="é" * 513), "TOO_LONG", "password"),
    Bad("registerAccount", registering(password="long enough\0"), "INVALID", "password"),
    Bad("registerAccount", registering(displayName="x" * 41), "TOO_LONG", "displayName"),
    Bad("registerAccount", registering(displayName="nul\0"), "INVALID", "displayName"),
    Bad("registerAccount", registering(displayName="\u202etxet"), "INVALID", "displayName"),
    Bad("registerAccount", registering(idempotencyKey=""), "INVALID", "idempotencyKey"),
    Bad("registerAccount", registering(idempotencyKey="nul\0"), "INVALID", "idempotencyKey"),
    Bad("registerAccount", registering(idempotencyKey="k" * 129), "TOO_LONG", "idempotencyKey"),
    Bad("signIn", on("handleOrEmail", "nobody", password=PASSWORD), "UNAUTHENTICATED"),
    Bad("signIn", on("handleOrEmail", "nobody@example.org", password=PASSWORD), "UNAUTHENTICATED"),
    Bad("signIn", on("handleOrEmail", "ann", password="not the password"), "UNAUTHENTICATED"),
    Bad("signIn", on("handleOrEmail", "ann", password=""), "UNAUTHENTICATED"),
    Bad("signIn", on("handleOrEmail", "ann", password="x" * 100_000), "UNAUTHENTICATED"),
    Bad("signIn", on("handleOrEmail", "", password=PASSWORD), "UNAUTHENTICATED"),
    Bad("signIn", on("handleOrEmail", "ann\0", password=PASSWORD), "UNAUTHENTICATED"),
    Bad("signIn", on("handleOrEmail", "x" * 100_000, password=PASSWORD), "UNAUTHENTICATED"),
    Bad("signIn", on("handleOrEmail", "@" * 1_000, password=PASSWORD), "UNAUTHENTICATED"),
    Bad("refreshSession", on("refreshToken", ""), "UNAUTHENTICATED"),
    Bad("refreshSession", on("refreshToken", "nul\0"), "UNAUTHENTICATED"),
    Bad("refreshSession", on("refreshToken", f"{UNKNOWN}.{'A' * 43}"), "UNAUTHENTICATED", "refreshToken"),
    Bad("refreshSession", lambda world: {"refreshToken": world.ann.access}, "UNAUTHENTICATED"),
    Bad("refreshSession", lambda world: {"refreshToken": world.ann.refresh[:-4] + "AAAA"}, "UNAUTHENTICATED"),
]
POSTS = [
    Bad("createPost", posting(""), "TOO_SHORT", "text"),
    Bad("createPost", posting(" \n "), "TOO_SHORT", "text"),
    Bad("createPost", posting("x" * 501), "TOO_LONG", "text"),
    Bad("createPost", posting("\U0001f469\u200d\U0001f680" * 460), "TOO_LONG", "text"),
    Bad("createPost", posting("nul\0nul"), "INVALID", "text"),
    Bad("createPost", posting("\u202eesrever"), "INVALID", "text"),
    Bad("createPost", posting(" ".join(f"@name{n}" for n in range(31))), "TOO_MANY", "text"),
    Bad("createPost", posting(" ".join(f"#tag{n}" for n in range(31))), "TOO_MANY", "text"),
    Bad("createPost", posting(language="plain english"), "INVALID", "language"),
    Bad("createPost", posting(language=""), "INVALID", "language"),
    Bad("createPost", posting(contentWarning="x" * 201), "TOO_LONG", "contentWarning"),
    Bad("createPost", posting(contentWarning="nul\0"), "INVALID", "contentWarning"),
    Bad("createPost", posting(idempotencyKey=""), "INVALID", "idempotencyKey"),
    Bad("createPost", posting(idempotencyKey="k" * 129), "TOO_LONG", "idempotencyKey"),
    Bad(
        "createPost",
        posting("Another text", idempotencyKey="a key"),
        "IDEMPOTENCY_MISMATCH",
        "idempotencyKey",
        who="ann",
    ),
    Bad("createPost", posting(replyTo=f"p_{UNKNOWN}"), "NOT_FOUND", "replyTo"),
    Bad("createPost", posting(replyTo="nothing"), "NOT_FOUND", "replyTo"),
    Bad("createPost", posting(replyTo=""), "NOT_FOUND", "replyTo"),
    Bad("createPost", posting(replyTo="p_\0"), "NOT_FOUND", "replyTo"),
    Bad("createPost", lambda world: {"text": "Hm", "replyTo": world.ann.id}, "NOT_FOUND", "replyTo"),
    Bad("createPost", lambda world: {"text": "Hm", "replyTo": world.deleted}, "NOT_FOUND", "replyTo"),
    Bad("createPost", lambda world: {"text": "Hm", "replyTo": world.secret}, "NOT_FOUND", "replyTo"),
    Bad("editPost", on_post("post", text="Mine now"), "FORBIDDEN", "postId"),
    Bad("editPost", on_post("secret", text="Mine now"), "NOT_FOUND", "postId"),
    Bad("editPost", on_post("deleted", text="Back"), "NOT_FOUND", "postId", who="ann"),
    Bad("editPost", on_post("post", text=""), "TOO_SHORT", "text", who="ann"),
    Bad("editPost", on_post("post", text="x" * 501), "TOO_LONG", "text", who="ann"),
    Bad("editPost", on_post("post", text="nul\0"), "INVALID", "text", who="ann"),
    Bad("deletePost", on_post("post"), "FORBIDDEN", "postId"),
    Bad("deletePost", on_post("secret"), "NOT_FOUND", "postId"),
    Bad("likePost", on_post("deleted"), "NOT_FOUND", "postId"),
    Bad("likePost", on_post("secret"), "NOT_FOUND", "postId"),
    Bad("repost", on_post("deleted"), "NOT_FOUND", "postId"),
    Bad("repost", on_post("secret"), "NOT_FOUND", "postId"),
    Bad("repost", on_post("secret"), "FORBIDDEN", "postId", who="bob"),
    Bad("createPost", lambda world: {"text": "Look", "quote": world.deleted}, "NOT_FOUND", "quote"),
    Bad("createPost", lambda world: {"text": "Look", "quote": world.secret}, "NOT_FOUND", "quote"),
    Bad("createPost", lambda world: {"text": "Look", "quote": world.secret}, "FORBIDDEN", "quote", who="bob"),
    Bad("createPost", lambda world: {"text": "Look", "quote": world.post}, "BLOCKED", "quote", who="dan"),
    Bad("createPost", posting("Five", media=[PICTURE] * 5), "TOO_MANY", "media"),
    Bad("createPost", posting("", media=[PICTURE | {"url": "http://pictures.example/"}]), "INVALID", "media.0.url"),
    Bad("editPost", on_post("post", text="Fine", media=[PICTURE | {"alt": "\0"}]), "INVALID", "media.0.alt", who="ann"),
    Bad("restorePost", on_post("deleted"), "FORBIDDEN", "postId"),
    Bad("bookmarkPost", on_post("deleted"), "NOT_FOUND", "postId"),
    Bad("bookmarkPost", on_post("secret"), "NOT_FOUND", "postId"),
    Bad("pinPost", on_post("post"), "FORBIDDEN", "postId"),
    Bad("pinPost", on_post("secret"), "NOT_FOUND", "postId"),
    Bad("pinPost", on_post("deleted"), "NOT_FOUND", "postId", who="ann"),
    Bad("unpinPost", on_post("post"), "FORBIDDEN", "postId"),
    *(
        Bad(mutation, given, "NOT_FOUND", "postId", label=what)
        for mutation in (
            "editPost",
            "deletePost",
            "restorePost",
            "likePost",
            "unlikePost",
            "repost",
            "undoRepost",
            "bookmarkPost",
            "unbookmarkPost",
            "pinPost",
            "unpinPost",
        )
        for what, given in {
            "unknown": lambda _: {"postId": f"p_{UNKNOWN}"},
            "empty": lambda _: {"postId": ""},
            "nul": lambda _: {"postId": "p_\0"},
            "another case": lambda world: {"postId": world.post.upper()},
            "a person": lambda world: {"postId": world.ann.id},
            "bare": lambda world: {"postId": world.post[2:]},
        }.items()
    ),
]
ON_PEOPLE = (
    "followUser",
    "unfollowUser",
    "removeFollower",
    "acceptFollow",
    "rejectFollow",
    "blockUser",
    "unblockUser",
    "muteUser",
    "unmuteUser",
)
PROFILES = [
    Bad("changeHandle", on("handle", ""), "TOO_SHORT", "handle"),
    Bad("changeHandle", on("handle", "ab"), "TOO_SHORT", "handle"),
    Bad("changeHandle", on("handle", "x" * 31), "TOO_LONG", "handle"),
    Bad("changeHandle", on("handle", "x" * 100_000), "TOO_LONG", "handle", label="huge"),
    Bad("changeHandle", on("handle", "two words"), "INVALID", "handle"),
    Bad("changeHandle", on("handle", "nul\0nul"), "INVALID", "handle"),
    Bad("changeHandle", on("handle", "аnn_cyrillic"), "INVALID", "handle"),
    Bad("changeHandle", on("handle", "ANN"), "DUPLICATE", "handle"),
    Bad("changeHandle", on("handle", "b0b"), "DUPLICATE", "handle", label="a look-alike"),
    Bad("updateProfile", on("displayName", "x" * 41), "TOO_LONG", "displayName"),
    Bad("updateProfile", on("displayName", "two\nlines"), "INVALID", "displayName"),
    Bad("updateProfile", on("displayName", "\u202etxet"), "INVALID", "displayName"),
    Bad("updateProfile", on("bio", "x" * 501), "TOO_LONG", "bio"),
    Bad("updateProfile", on("bio", "\U0001f469\u200d\U0001f680" * 460), "TOO_LONG", "bio", label="bytes"),
    Bad("updateProfile", on("bio", "nul\0"), "INVALID", "bio"),
    Bad("updateProfile", on("bio", " ".join(f"@name{n}" for n in range(31))), "TOO_MANY", "bio"),
    Bad("updateProfile", lambda _: {"fields": [{"name": "n", "value": "v"}] * 5}, "TOO_MANY", "fields"),
    Bad("updateProfile", lambda _: {"fields": [{"name": " ", "value": "v"}]}, "TOO_SHORT"),
    Bad("updateProfile", lambda _: {"fields": [{"name": "n", "value": "v" * 256}]}, "TOO_LONG"),
    Bad("updateProfile", lambda _: {"fields": [{"name": "nul\0", "value": ""}]}, "INVALID"),
    *(
        Bad("updateProfile", on(name, address), "INVALID", name, label=what)
        for name in ("avatar", "banner")
        for what, address in {
            "http": "http://example.org/a.png",
            "script": "javascript:alert(1)",
            "data": "data:image/png;base64,AAAA",
            "relative": "/a.png",
            "credentials": "https://me:secret@example.org/a.png",
            "no host": "https:///a.png",
            "spaces": "https://example.org/a b.png",
            "nul": "https://example.org/\0",
            "letters": "https://example.org/ä.png",
        }.items()
    ),
    Bad("updateProfile", on("avatar", "https://example.org/" + "x" * 2_048), "TOO_LONG", "avatar"),
]
LEAVING = [
    *(
        Bad(mutation, on(field, wrong, **more), "UNAUTHENTICATED", field, label=what)
        for mutation, field, more in (
            ("deleteAccount", "password", {}),
            ("changePassword", "currentPassword", {"newPassword": "a new password"}),
        )
        for what, wrong in {"wrong": "not the password", "empty": "", "huge": "x" * 100_000, "nul": "\0"}.items()
    ),
    Bad("changePassword", on("newPassword", "seven77", currentPassword=PASSWORD), "TOO_SHORT", "newPassword"),
    Bad("changePassword", on("newPassword", "é" * 513, currentPassword=PASSWORD), "TOO_LONG", "newPassword"),
    Bad("changePassword", on("newPassword", "long enough\0", currentPassword=PASSWORD), "INVALID", "newPassword"),
    *(
        Bad("revokeSession", given, "NOT_FOUND", "sessionId", label=what)
        for what, given in {
            "unknown": lambda _: {"sessionId": f"s_{UNKNOWN}"},
            "empty": lambda _: {"sessionId": ""},
            "nul": lambda _: {"sessionId": "s_\0"},
            "a person": lambda world: {"sessionId": world.eve.id},
            "another's": lambda world: {"sessionId": f"s_{world.ann.refresh.partition('.')[0]}"},
        }.items()
    ),
]
GRAPH = [
    *(Bad(mutation, lambda world: {"userId": world.eve.id}, "INVALID", "userId") for mutation in ON_PEOPLE),
    *(
        Bad(mutation, given, "NOT_FOUND", "userId", label=what)
        for mutation in ON_PEOPLE
        for what, given in {
            "unknown": lambda _: {"userId": f"u_{UNKNOWN}"},
            "empty": lambda _: {"userId": ""},
            "nul": lambda _: {"userId": "u_\0"},
            "a post": lambda world: {"userId": world.post},
            "a handle": lambda _: {"userId": "ann"},
        }.items()
    ),
    Bad("acceptFollow", lambda world: {"userId": world.ann.id}, "NOT_FOUND", "userId", label="nobody asked"),
    Bad("followUser", lambda world: {"userId": world.ann.id}, "BLOCKED", "userId", who="dan"),
    Bad("followUser", lambda world: {"userId": world.dan.id}, "BLOCKED", "userId", who="ann", label="own block"),
    Bad("likePost", on_post("post"), "BLOCKED", "postId", who="dan"),
    Bad("repost", on_post("post"), "BLOCKED", "postId", who="dan"),
    Bad("bookmarkPost", on_post("post"), "BLOCKED", "postId", who="dan"),
    Bad("createPost", lambda world: {"text": "Hm", "replyTo": world.post}, "BLOCKED", "replyTo", who="dan"),
    Bad("createPost", lambda world: {"text": "Hm", "quote": world.post}, "BLOCKED", "quote", who="dan"),
    Bad("createPost", posting("Hm, @ann"), "BLOCKED", "text", who="dan"),
    *(
        Bad("muteUser", muting(at), "INVALID", "until", label=at)
        for at in ("1999-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "0002-01-01T00:00:00+00:00")
    ),
]


@pytest.mark.parametrize(
    "bad", [*ACCOUNTS, *PROFILES, *LEAVING, *POSTS, *GRAPH], ids=lambda bad: f"{bad.mutation}-{bad.code}-{bad.label}"
)
async def test_bad_input_is_a_typed_error_and_appends_nothing(world: World, bad: Bad) -> None:
    before = await world.heads()
    person: Person = getattr(world, bad.who)
    given = bad.given(world)
    if bad.mutation == "editPost":
        given = {"text": "Fine"} | given
    payload = await person.do(bad.mutation, **given)
    assert payload["receipt"] is None
    assert payload["changed"] is False
    assert payload["userErrors"][0]["code"] == bad.code
    if bad.field is not None:
        assert payload["userErrors"][0]["field"] == bad.field.split(".")
    assert await world.heads() == before


FINE: dict[str, Given] = {
    "registerAccount": registering(),
    "signIn": on("handleOrEmail", "ann", password=PASSWORD),
    "refreshSession": on("refreshToken", "token"),
    "signOut": lambda _: {},
    "changeHandle": on("handle", "eve_too"),
    "updateProfile": on("displayName", "Eve"),
    "deactivateAccount": lambda _: {},
    "reactivateAccount": lambda _: {},
    "changePassword": on("currentPassword", PASSWORD, newPassword="a new password"),
    "deleteAccount": on("password", PASSWORD),
    "revokeSession": on("sessionId", f"s_{UNKNOWN}"),
    "revokeOtherSessions": lambda _: {},
    "createPost": posting(),
    "editPost": on_post("post", text="Fine"),
    "deletePost": on_post("post"),
    "likePost": on_post("post"),
    "unlikePost": on_post("post"),
    "repost": on_post("post"),
    "undoRepost": on_post("post"),
    "restorePost": on_post("deleted"),
    "bookmarkPost": on_post("post"),
    "unbookmarkPost": on_post("post"),
    "pinPost": on_post("post"),
    "unpinPost": on_post("post"),
    "markNotificationsRead": on("upTo", "2026-01-01T00:00:00Z"),
    **{mutation: lambda world: {"userId": world.ann.id} for mutation in ON_PEOPLE},
}
"""Input of the right form to every mutation."""

OPEN = ("registerAccount", "signIn", "refreshSession")


@pytest.mark.parametrize("mutation", [name for name in FINE if name not in OPEN])
async def test_a_guest_is_asked_to_sign_in(world: World, mutation: str) -> None:
    before = await world.heads()
    answer = await world.served.ask(_query(mutation), {"input": FINE[mutation](world)})
    assert answer["data"][mutation] == {"receipt": None, "changed": False, "userErrors": [{"code": "UNAUTHENTICATED"}]}
    assert await world.heads() == before


MALFORMED = ("unknown field", "list", "no input")
OF_A_FIELD = ("missing", "null", "number", "object")
NOTHING_ASKED = ("signOut", "deactivateAccount", "reactivateAccount", "revokeOtherSessions")
NOTHING_REQUIRED = ("updateProfile", "markNotificationsRead")


@pytest.mark.parametrize(
    ("mutation", "wrong"),
    [
        *((mutation, wrong) for mutation in FINE for wrong in MALFORMED),
        *(
            (mutation, wrong)
            for mutation in FINE
            if mutation not in NOTHING_ASKED
            for wrong in (OF_A_FIELD if mutation not in NOTHING_REQUIRED else ("number", "object"))
        ),
    ],
)
async def test_malformed_input_is_never_run(world: World, mutation: str, wrong: str) -> None:
    before = await world.heads()
    given = _broken(FINE[mutation](world), wrong)
    answer = await world.served.ask(_query(mutation), {"input": given}, world.eve.headers)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_REQUEST"]
    assert answer.get("data") is None
    assert await world.heads() == before


def _broken(given: dict[str, Any], wrong: str) -> Any:
    match wrong:
        case "no input":
            return None
        case "list":
            return [given, given]
        case "unknown field":
            return given | {"nonsense": 1}
    field = next(iter(given))
    rest = {name: value for name, value in given.items() if name != field}
    return rest if wrong == "missing" else rest | {field: {"null": None, "number": 1.5, "object": {"a": 1}}[wrong]}


def _query(mutation: str) -> str:
    name = mutation[0].upper() + mutation[1:]
    return f"mutation M($input: {name}Input!) {{ {mutation}(input: $input) {{ receipt {{ status }} changed userErrors {{ code }} }} }}"


async def test_every_mutation_is_in_these_tables(world: World) -> None:
    answer = await world.served.ask("{ __schema { mutationType { fields { name } } } }")
    assert {field["name"] for field in answer["data"]["__schema"]["mutationType"]["fields"]} == set(FINE)


async def test_sign_in_says_the_same_of_a_wrong_name_and_a_wrong_password(world: World) -> None:
    wrong_name = await world.eve.do("signIn", handleOrEmail="nobody", password=PASSWORD)
    wrong_password = await world.eve.do("signIn", handleOrEmail="ann", password="wrong password")
    assert wrong_name == wrong_password


async def test_a_rotated_refresh_token_ends_its_session(world: World) -> None:
    opened = await world.eve.done("signIn", handleOrEmail="@EVE", password=PASSWORD, select="session { refreshToken }")
    first = opened["session"]["refreshToken"]
    renewed = await world.eve.done("refreshSession", refreshToken=first, select="session { refreshToken }")
    stolen = await world.eve.do("refreshSession", refreshToken=first)
    assert stolen["userErrors"][0]["code"] == "UNAUTHENTICATED"
    ended = await world.eve.do("refreshSession", refreshToken=renewed["session"]["refreshToken"])
    assert ended["userErrors"][0]["code"] == "UNAUTHENTICATED"


async def test_a_registration_that_is_repeated_finds_its_account_for_the_same_password_alone(world: World) -> None:
    served = world.served
    given = {"handle": "again", "email": "again@example.org", "password": PASSWORD, "idempotencyKey": "again"}
    select = "account { id } session { accessToken refreshToken }"
    first = await world.eve.done("registerAccount", select=select, **given)
    repeat = await world.eve.done("registerAccount", select=select, **given)
    assert (first["changed"], repeat["changed"]) == (True, False)
    assert repeat["account"] == first["account"]
    assert repeat["session"]["refreshToken"] != first["session"]["refreshToken"]
    await settled(served)
    before = await world.heads()
    for field, other in {"password": "another password", "handle": "other", "displayName": "Other"}.items():
        refused = await world.eve.do("registerAccount", select=select, **given | {field: other})
        assert [error["code"] for error in refused["userErrors"]] == ["IDEMPOTENCY_MISMATCH"]
        assert (refused["account"], refused["session"]) == (None, None)
    assert await world.heads() == before


async def test_a_session_is_opened_renewed_and_ended(world: World) -> None:
    select = "account { handle } session { accessToken refreshToken expiresAt }"
    names = ("bob", "@Bob", "BOB@example.org")
    opened = [await world.eve.done("signIn", select=select, handleOrEmail=n, password=PASSWORD) for n in names]
    assert [payload["account"] for payload in opened] == [{"handle": "bob"}] * 3
    token = opened[0]["session"]["refreshToken"]
    renewed = await world.eve.done("refreshSession", select=select, refreshToken=token)
    assert renewed["account"] == {"handle": "bob"}
    headers = {"authorization": f"Bearer {renewed['session']['accessToken']}"}
    query = "mutation { signOut(input: {}) { changed userErrors { code } receipt { status } } }"
    answers = [(await world.served.ask(query, headers=headers))["data"]["signOut"] for _ in range(2)]
    assert [answer["changed"] for answer in answers] == [True, False]
    refused = await world.eve.do("refreshSession", refreshToken=renewed["session"]["refreshToken"])
    assert [error["code"] for error in refused["userErrors"]] == ["UNAUTHENTICATED"]


async def test_a_post_that_is_repeated_is_made_once(world: World) -> None:
    given = {"text": "Once", "idempotencyKey": "once", "replyTo": world.post}
    first = await world.eve.done("createPost", select="post { id }", **given)
    before = await world.heads()
    repeat = await world.eve.done("createPost", select="post { id }", **given)
    assert (repeat["changed"], repeat["post"]) == (False, first["post"])
    assert repeat["receipt"]["position"]
    assert await world.heads() == before


async def test_passwords_can_be_tried_a_few_times_only(tmp_path: Path) -> None:
    async with product(embedded_settings(tmp_path, sign_ins_per_5_minutes=3)) as served:
        ann = await served.register("ann")
        codes = []
        for _ in range(3):
            payload = await ann.do("signIn", handleOrEmail="ann", password="not the password")
            codes.append(payload["userErrors"][0]["code"])
        assert codes == ["UNAUTHENTICATED", "UNAUTHENTICATED", "RATE_LIMITED"]
        refused = await ann.do("registerAccount", handle="other", email="other@example.org", password=PASSWORD)
        assert refused["userErrors"][0]["code"] == "RATE_LIMITED"

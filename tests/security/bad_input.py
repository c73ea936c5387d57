"""The table of bad input: who sends what to which mutation, and the code and the field of the error that comes back. Each code that a mutation can give has a row."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from domain.ids import mint_id
from tests.product_kit import PASSWORD, Clock, Person, Product, embedded_settings, product, settled

PICTURE = {"url": "https://pictures.example/a.png", "mimeType": "image/png"}
UNKNOWN = mint_id(7, lambda n: bytes(range(n)))


LIMITS = {
    "follows": 2,
    "handle_changes": 1,
    "edits": 1,
    "pins": 1,
    "restore_window": 3_600,
    "session_lifetime": 3_600,
}
LATER = 4_000 * 1_000_000
"""Microseconds: past the restoring and the sessions of what was done before."""


class Guest(Person):
    @property
    def headers(self) -> dict[str, str]:
        return {}


@dataclass(frozen=True)
class World:
    """``ann`` owns the posts; ``bob`` follows her, ``eve`` does not, and ``dan`` is blocked by her. ``fay`` has used up what she may do; ``off`` is deactivated, ``gone``
    deleted, and ``out`` has signed out. Refresh tokens of them all have expired, but for those of ``off``, ``gone`` and ``out``."""

    served: Product
    guest: Person
    ann: Person
    bob: Person
    eve: Person
    dan: Person
    fay: Person
    off: Person
    gone: Person
    out: Person
    post: str
    deleted: str
    lost: str
    secret: str
    direct: str
    edited: str
    unpinned: str
    dans: str
    rested: list[int] = field(default_factory=list)

    async def heads(self) -> Sequence[int]:
        """When what reacts to earlier events has come to rest."""
        log = self.served.services.log
        found = [await log.head(shard) for shard in range(log.identity.shards)]
        if found != self.rested:
            await settled(self.served)
            self.rested[:] = [await log.head(shard) for shard in range(log.identity.shards)]
        return list(self.rested)


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder: Path = tmp_path_factory.mktemp("world")
    clock = Clock()
    async with product(embedded_settings(folder, limits=LIMITS), now=clock) as served:
        guest = Guest(served, "guest", "", "", "")
        ann, bob, eve, dan = [await served.register(name) for name in ("ann", "bob", "eve", "dan")]
        fay = await served.register("fay_was", email="fay@example.org", idempotencyKey="fay's key")
        lost = await ann.post("A post that went long ago")
        await ann.done("deletePost", postId=lost)
        clock.ahead = LATER
        for person in (ann, bob, eve, dan, fay):
            opened = await guest.done(
                "signIn", handleOrEmail=person.handle, password=PASSWORD, select="session { accessToken }"
            )
            person.access = opened["session"]["accessToken"]
        off, gone, out = [await served.register(name) for name in ("off", "gone", "out")]
        await bob.done("followUser", userId=ann.id)
        await ann.done("blockUser", userId=dan.id)
        await fay.done("changeHandle", handle="fay")
        await fay.done("followUser", userId=ann.id)
        await fay.done("followUser", userId=bob.id)
        edited, unpinned = await fay.post("Edited"), await fay.post("Not pinned")
        await fay.done("editPost", postId=edited, text="Edited once")
        await fay.done("pinPost", postId=edited)
        await off.done("deactivateAccount")
        await gone.done("deleteAccount", password=PASSWORD)
        await out.done("signOut")
        post = await ann.post("A post", idempotencyKey="a key")
        deleted = await ann.post("A post that goes")
        await ann.done("deletePost", postId=deleted)
        secret = await ann.post("For followers", visibility="FOLLOWERS")
        direct = await ann.post("For @bob", visibility="DIRECT")
        dans = await dan.post("Dan's own")
        await settled(served)
        yield World(
            served=served,
            guest=guest,
            ann=ann,
            bob=bob,
            eve=eve,
            dan=dan,
            fay=fay,
            off=off,
            gone=gone,
            out=out,
            post=post,
            deleted=deleted,
            lost=lost,
            secret=secret,
            direct=direct,
            edited=edited,
            unpinned=unpinned,
            dans=dans,
        )


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


def on(field: str, value: Any, **more: Any) -> Given:
    return lambda _: {field: value} | more


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
FINE: dict[str, Given] = {
    "registerAccount": registering(),
    "signIn": on("handleOrEmail", "ann", password=PASSWORD),
    "refreshSession": on("refreshToken", f"{UNKNOWN}.{'A' * 43}"),
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
"""For guests too."""
STANDING = (
    "signOut",
    "deactivateAccount",
    "reactivateAccount",
    "changePassword",
    "deleteAccount",
    "revokeSession",
    "revokeOtherSessions",
)
"""What a deactivated account can still do."""
ENDED = ("signOut", "deleteAccount", "revokeSession")
"""What a deleted account can still ask for, and changes nothing."""


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
STANDINGS = [
    *(
        Bad(mutation, FINE[mutation], "UNAUTHENTICATED", who="guest", label="guest")
        for mutation in FINE
        if mutation not in OPEN
    ),
    *(
        Bad(mutation, FINE[mutation], "FORBIDDEN", who="off", label="deactivated")
        for mutation in FINE
        if mutation not in (*OPEN, *STANDING)
    ),
    *(
        Bad(mutation, FINE[mutation], "UNAUTHENTICATED", who="gone", label="deleted")
        for mutation in FINE
        if mutation not in (*OPEN, *ENDED)
    ),
    *(
        Bad(mutation, FINE[mutation], "UNAUTHENTICATED", who="out", label="signed out")
        for mutation in ("changePassword", "revokeOtherSessions")
    ),
    Bad("refreshSession", lambda world: {"refreshToken": world.ann.refresh}, "EXPIRED", "refreshToken"),
    Bad("refreshSession", lambda world: {"refreshToken": world.out.refresh}, "UNAUTHENTICATED", "refreshToken"),
    Bad("refreshSession", lambda world: {"refreshToken": world.gone.refresh}, "UNAUTHENTICATED", "refreshToken"),
    Bad("signIn", on("handleOrEmail", "gone", password=PASSWORD), "UNAUTHENTICATED", label="deleted"),
    Bad(
        "registerAccount",
        registering(handle="another", email="fay@example.org", idempotencyKey="fay's key"),
        "IDEMPOTENCY_MISMATCH",
        "idempotencyKey",
    ),
]
LIMITED = [
    Bad("changeHandle", on("handle", "fay_again"), "LIMIT_REACHED", "handle", who="fay"),
    Bad("followUser", lambda world: {"userId": world.eve.id}, "LIMIT_REACHED", "userId", who="fay"),
    Bad("editPost", on_post("edited", text="Edited twice"), "LIMIT_REACHED", "postId", who="fay"),
    Bad("pinPost", on_post("unpinned"), "LIMIT_REACHED", "postId", who="fay"),
    Bad("pinPost", on_post("direct"), "FORBIDDEN", "postId", who="ann"),
    Bad("restorePost", on_post("lost"), "EXPIRED", "postId", who="ann"),
    Bad("editPost", on_post("dans", text="Hm, @ann"), "BLOCKED", "text", who="dan"),
    Bad("editPost", on_post("post", text="Five", media=[PICTURE] * 5), "TOO_MANY", "media", who="ann"),
    Bad("acceptFollow", lambda world: {"userId": world.ann.id}, "BLOCKED", "userId", who="dan"),
]
LOOKS = [
    Bad(mutation, given, if_blank if code == "BLANK" else code, field, who=who, label=f"{field} {what}")
    for what, text, code in (
        ("of joiners", "\u200b\u200d", "BLANK"),
        ("of fillers", "\u3164\u2800", "BLANK"),
        ("under marks", "z" + "\u0301" * 31, "INVALID"),
        ("under many marks", "z" + "\u0301\u0323" * 40_000, "TOO_LONG"),
        ("turned", "abc\u2067def", "INVALID"),
    )
    for mutation, field, given, who, if_blank in (
        ("createPost", "text", posting(text), "eve", "TOO_SHORT"),
        ("createPost", "contentWarning", posting(contentWarning=text), "eve", "INVALID"),
        ("editPost", "text", on_post("post", text=text), "ann", "TOO_SHORT"),
        ("updateProfile", "displayName", on("displayName", text), "eve", "INVALID"),
        ("updateProfile", "fields.0.name", on("fields", [{"name": text, "value": "v"}]), "eve", "TOO_SHORT"),
        ("registerAccount", "displayName", registering(displayName=text), "eve", "INVALID"),
    )
]
TABLE = [*ACCOUNTS, *PROFILES, *LEAVING, *POSTS, *GRAPH, *STANDINGS, *LIMITED, *LOOKS]

"""The same thing asked for many times at once, and one name by many: done once, and told to all."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from tests.product_kit import PASSWORD, Person, Product, embedded_settings, product, settled
from tests.security.bad_input import Guest

TIMES: Final = 8


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Product]:
    async with product(embedded_settings(tmp_path_factory.mktemp("world"))) as running:
        yield running


@pytest.fixture(scope="module")
async def people(served: Product) -> tuple[Person, Person]:
    return await served.register("ann"), await served.register("bob")


async def appended(served: Product) -> int:
    """Events in the whole log, once it has come to rest."""
    await settled(served)
    log = served.services.log
    return sum([await log.head(shard) for shard in range(log.identity.shards)])


def codes(payloads: list[dict[str, Any]]) -> list[str]:
    return sorted(error["code"] for payload in payloads for error in payload["userErrors"])


async def registering(served: Product, *accounts: dict[str, str]) -> list[dict[str, Any]]:
    guest = Guest(served, "guest", "", "", "")
    fine = {"password": PASSWORD}
    return await asyncio.gather(
        *(guest.do("registerAccount", select="account { id }", **fine | account) for account in accounts)
    )


async def test_a_post_is_made_once_for_one_key(served: Product, people: tuple[Person, Person]) -> None:
    before = await appended(served)
    made = await asyncio.gather(
        *(
            people[0].done("createPost", text="Once", idempotencyKey="at once", select="post { id }")
            for _ in range(TIMES)
        )
    )
    assert sorted(payload["changed"] for payload in made) == [False] * (TIMES - 1) + [True]
    assert len({payload["post"]["id"] for payload in made}) == 1
    assert await appended(served) == before + 1


async def test_one_key_for_different_posts_makes_one_of_them(served: Product, people: tuple[Person, Person]) -> None:
    before = await appended(served)
    made = await asyncio.gather(
        *(people[0].do("createPost", text=f"Number {n}", idempotencyKey="different") for n in range(TIMES))
    )
    assert codes(made) == ["IDEMPOTENCY_MISMATCH"] * (TIMES - 1)
    assert await appended(served) == before + 1


async def test_an_account_is_made_once_for_one_key(served: Product) -> None:
    account = {"handle": "once", "email": "once@example.org", "idempotencyKey": "once"}
    made = await registering(served, *[account] * TIMES)
    assert codes(made) == []
    assert len({payload["account"]["id"] for payload in made}) == 1
    assert sum(payload["changed"] for payload in made) == 1


@pytest.mark.parametrize(
    "handles",
    [["taken_by"] * TIMES, ["rnany0ne", "many0ne", "manyone", "rnanyone"], ["MiXed", "mixed", "@MIXED", "mIxEd"]],
)
async def test_a_handle_and_its_look_alikes_are_given_to_one(served: Product, handles: list[str]) -> None:
    accounts = [{"handle": handle, "email": f"{handles[0]}{n}@example.org"} for n, handle in enumerate(handles)]
    made = await registering(served, *accounts)
    assert codes(made) == ["DUPLICATE"] * (len(handles) - 1)
    # What came to nothing holds nothing: the address is free for another try.
    late = next(account for account, payload in zip(accounts, made, strict=True) if payload["userErrors"])
    [again] = await registering(served, late | {"handle": f"other_{handles[0][:8]}".lower()})
    assert codes([again]) == []


async def test_an_address_is_given_to_one(served: Product) -> None:
    made = await registering(
        served, *({"handle": f"address_{n}", "email": "Address@Example.org"} for n in range(TIMES))
    )
    assert codes(made) == ["DUPLICATE"] * (TIMES - 1)


async def test_a_handle_is_changed_to_by_one(served: Product) -> None:
    both = [await served.register(f"changes_{n}") for n in range(2)]
    changed = await asyncio.gather(*(person.do("changeHandle", handle="wanted") for person in both))
    assert codes(list(changed)) == ["DUPLICATE"]


PAIRS: Final = (
    ("likePost", "unlikePost"),
    ("repost", "undoRepost"),
    ("bookmarkPost", "unbookmarkPost"),
    ("followUser", "unfollowUser"),
    ("muteUser", "unmuteUser"),
    ("blockUser", "unblockUser"),
)


@pytest.mark.parametrize("mutation", [mutation for pair in PAIRS for mutation in pair])
async def test_what_is_so_by_state_is_done_once(served: Product, people: tuple[Person, Person], mutation: str) -> None:
    ann, bob = people
    given = {"userId": ann.id} if mutation.endswith("User") else {"postId": await ann.post("A post")}
    for begun, ended in PAIRS:
        if mutation == ended:
            await bob.done(begun, **given)
    done = await asyncio.gather(*(bob.done(mutation, **given) for _ in range(TIMES)))
    assert sum(payload["changed"] for payload in done) == 1
    assert all(payload["receipt"]["position"] for payload in done)
    for begun, ended in PAIRS:
        if mutation == begun:
            await bob.done(ended, **given)


@pytest.mark.parametrize("mutation", ["deletePost", "restorePost", "pinPost", "unpinPost"])
async def test_what_one_does_with_an_own_post_is_done_once(
    served: Product, people: tuple[Person, Person], mutation: str
) -> None:
    ann = people[0]
    post = await ann.post("A post")
    if mutation in {"restorePost", "unpinPost"}:
        await ann.done({"restorePost": "deletePost", "unpinPost": "pinPost"}[mutation], postId=post)
    done = await asyncio.gather(*(ann.done(mutation, postId=post) for _ in range(TIMES)))
    assert sum(payload["changed"] for payload in done) == 1


async def test_a_refresh_token_is_good_once_even_at_once(served: Product) -> None:
    cyd = await served.register("cyd")
    guest = Guest(served, "guest", "", "", "")
    tried = await asyncio.gather(*(guest.do("refreshSession", refreshToken=cyd.refresh) for _ in range(TIMES)))
    assert codes(list(tried)) == ["UNAUTHENTICATED"] * (TIMES - 1)


async def test_an_account_is_deleted_once(served: Product) -> None:
    dan = await served.register("dan")
    done = await asyncio.gather(*(dan.done("deleteAccount", password=PASSWORD) for _ in range(TIMES)))
    assert sum(payload["changed"] for payload in done) == 1

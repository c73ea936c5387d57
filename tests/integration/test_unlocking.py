"""An account is unlocked: whoever waits is let in, page by page, and once, whatever comes in between."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.commands import AcceptPendingFollow
from domain.context import Context
from domain.envelope import Recorded
from domain.events import AccountUnlocked
from domain.handlers import handle
from projections import relations
from projections.paging import Window
from projections.people import followers_page, requests_page
from projections.runtime.cascades import CASCADES
from tests.product_kit import Person, Product, embedded_settings, product, settled

MANY = 7


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Product]:
    monkeypatch.setattr(relations, "PAGE", 2)
    async with product(embedded_settings(tmp_path)) as served:
        yield served


async def ask(served: Product, ann: Person, start: int = 0) -> list[Person]:
    asking = [await served.register(f"asking_{number}") for number in range(start, start + MANY)]
    for person in asking:
        await person.done("followUser", userId=ann.id)
    return asking


async def quiet(served: Product) -> None:
    """Reactors have done their part, and it is folded."""
    for _ in range(2):
        await settled(served)


def bare(person: Person) -> str:
    return person.id.partition("_")[2]


async def followers(served: Product, ann: Person) -> list[str]:
    page = await followers_page(served.services.documents, None, bare(ann), Window(100))
    return [item.node.id for item in page.items]


async def waiting(served: Product, ann: Person) -> list[str]:
    page = await requests_page(served.services.documents, bare(ann), Window(100))
    return [item.node.id for item in page.items]


async def unlockings(served: Product, ann: Person) -> list[Recorded]:
    log = served.services.log
    recorded = await log.load(f"account-{bare(ann)}")
    return [one for one in recorded if isinstance(one.event, AccountUnlocked)]


async def redelivered(served: Product, event: Recorded) -> list[AcceptPendingFollow]:
    """The commands that the event would be answered with once more."""
    [cascade] = [one for one in CASCADES if one.name == "accept-pending-follows"]
    pages = cascade.react(event, served.services.log, served.services.documents)
    commands = [command for page in [page async for page in pages] for _, command in page]
    assert all(isinstance(command, AcceptPendingFollow) for command in commands)
    return [command for command in commands if isinstance(command, AcceptPendingFollow)]


async def test_all_who_wait_are_let_in_when_an_account_is_unlocked(served: Product) -> None:
    ann = await served.register("ann")
    await ann.done("updateProfile", locked=True)
    asking = await ask(served, ann)
    await quiet(served)
    assert await waiting(served, ann) == [bare(person) for person in reversed(asking)]
    await ann.done("updateProfile", locked=False)
    await quiet(served)
    assert sorted(await followers(served, ann)) == sorted(bare(person) for person in asking)
    assert await waiting(served, ann) == []
    [unlocked] = await unlockings(served, ann)
    assert await redelivered(served, unlocked) == []


async def test_an_unlocking_that_comes_again_lets_nobody_in_who_asks_a_later_lock(served: Product) -> None:
    ann = await served.register("ann")
    await ann.done("updateProfile", locked=True)
    first = await ask(served, ann)
    await ann.done("updateProfile", locked=False)
    await quiet(served)
    await ann.done("updateProfile", locked=True)
    second = await ask(served, ann, start=MANY)
    await quiet(served)
    [unlocked] = await unlockings(served, ann)
    again = await redelivered(served, unlocked)
    assert [command.follower for command in again] == [bare(person) for person in second]
    assert [await perform(served, command) for command in again] == [()] * MANY
    await quiet(served)
    assert sorted(await followers(served, ann)) == sorted(bare(person) for person in first)
    assert await waiting(served, ann) == [bare(person) for person in reversed(second)]


async def perform(served: Product, command: AcceptPendingFollow) -> tuple[Recorded, ...]:
    services = served.services
    context = Context(namer=services.namer, entropy=services.entropy, now=services.now(), command_id="again")
    return (await handle(services.log, command, context)).outcome.events

"""Handles as clients see them: what ``handleAvailable`` says is what a command decides, and a new handle stands everywhere at once."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from domain.commands import ChangeHandle
from domain.context import Context
from domain.handlers import handle
from tests.integration.test_handlers_names import NAMING, BrokenOffError, Halting, break_off
from tests.product_kit import PASSWORD, Clock, Person, Product, embedded_settings, product, settled

pytestmark = pytest.mark.slow

MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE
AVAILABLE = "query A($h: String!) { handleAvailable(handle: $h) }"


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Product, Clock]]:
    clock = Clock()
    async with product(embedded_settings(tmp_path_factory.mktemp("names")), now=clock) as running:
        yield running, clock


_suffixes = ("".join(pair) for pair in itertools.product("bcdfghjk", repeat=2))
"""So that no test's names are another's, nor look like them."""


@contextmanager
def later(clock: Clock, ahead: int, *people: Person) -> Iterator[None]:
    """Everyone has a fresh access token then."""
    tokens = people[0].product.services.access_tokens
    viewers = [tokens.verify(person.access) for person in people]
    before = [person.access for person in people]
    clock.ahead = ahead
    for person, viewer in zip(people, viewers, strict=True):
        person.access = tokens.mint(viewer.account, viewer.session)[0]
    yield
    clock.ahead = 0
    for person, access in zip(people, before, strict=True):
        person.access = access


async def renames(person: Person, *handles: str) -> None:
    for name in handles:
        await person.done("changeHandle", handle=name)


async def broken_off(person: Person, name: str) -> None:
    """The person's server dies between holding the name and taking it."""
    services = person.product.services
    context = Context(
        namer=services.namer, entropy=services.entropy, now=services.now(), command_id=name, actor=person.id[2:]
    )
    with pytest.raises(BrokenOffError):
        await handle(Halting(services.log, NAMING, break_off), ChangeHandle(handle=name), context)


async def leaves(person: Person) -> None:
    await person.done("deleteAccount", password=PASSWORD)


async def hides(person: Person) -> None:
    await person.done("deactivateAccount")


Happening = Callable[[Person, str], Awaitable[None]]
ANN, BOB, NOBODY = "ann", "bob", "a newcomer"


@dataclass(frozen=True)
class Situation:
    """Ann's first handle is {x}_ann. ``name`` is free for ``those`` when ``wait`` has passed since what happened."""

    happening: Happening | None
    name: str
    wait: int
    those: AbstractSet[str]


SITUATIONS = {
    "nobody's": Situation(None, "{x}_new", 0, {ANN, BOB, NOBODY}),
    "Ann's": Situation(None, "{x}_ann", 0, set()),
    "Ann's, spelt otherwise": Situation(None, "@{x}_ANN", 0, set()),
    "looks like Ann's": Situation(lambda ann, x: renames(ann, f"{x}_10"), "{x}_lo", 0, {ANN}),
    "given up": Situation(lambda ann, x: renames(ann, f"{x}_b"), "{x}_ann", 0, {ANN}),
    "given up, looks alike": Situation(lambda ann, x: renames(ann, f"{x}_m", f"{x}_b"), "{x}_rn", 0, {ANN}),
    "given up long ago": Situation(lambda ann, x: renames(ann, f"{x}_b"), "{x}_ann", 31 * DAY, {ANN, BOB, NOBODY}),
    "exchanged for what was given up": Situation(lambda ann, x: renames(ann, f"{x}_b", f"{x}_ann"), "{x}_b", 0, {ANN}),
    "held by one who broke off": Situation(lambda ann, x: broken_off(ann, f"{x}_b"), "{x}_b", 9 * MINUTE, {ANN}),
    "abandoned": Situation(lambda ann, x: broken_off(ann, f"{x}_b"), "{x}_b", 11 * MINUTE, {ANN, BOB, NOBODY}),
    "taken a while ago": Situation(lambda ann, x: renames(ann, f"{x}_b"), "{x}_b", 11 * MINUTE, set()),
    "of one who left": Situation(lambda ann, _: leaves(ann), "{x}_ann", 0, set()),
    "of one who left long ago": Situation(lambda ann, _: leaves(ann), "{x}_ann", 31 * DAY, {BOB, NOBODY}),
    "of one who is away": Situation(lambda ann, _: hides(ann), "{x}_ann", 31 * DAY, set()),
    "no handle": Situation(None, "{x} ann", 0, set()),
}


@pytest.mark.parametrize(
    ("name", "who"),
    # Whoever has left asks for no handle.
    [(name, who) for name in SITUATIONS for who in (ANN, BOB, NOBODY) if who != ANN or "of one who" not in name],
)
async def test_what_is_said_of_a_handle_is_what_is_decided(world: tuple[Product, Clock], name: str, who: str) -> None:
    (served, clock), situation, x = world, SITUATIONS[name], next(_suffixes)
    ann, bob = await served.register(f"{x}_ann"), await served.register(f"{x}_bob")
    if situation.happening is not None:
        await situation.happening(ann, x)
    await settled(served)
    wanted, asker = situation.name.format(x=x), {ANN: ann, BOB: bob}.get(who)
    with later(clock, situation.wait, ann, bob):
        answer = await served.ask(AVAILABLE, {"h": wanted}, asker.headers if asker is not None else None)
        said = answer["data"]["handleAvailable"]
        if asker is not None:
            payload = await asker.do("changeHandle", handle=wanted)
        else:
            address = f"{x}_new@example.org"
            payload = await bob.do("registerAccount", handle=wanted, email=address, password=PASSWORD)
    assert said is (who in situation.those)
    assert payload["changed"] is said
    # What one has already is not available, and asking for it no failure.
    assert (payload["userErrors"] == []) is (said or (who == ANN and name != "no handle"))


async def test_a_new_handle_stands_everywhere(world: tuple[Product, Clock]) -> None:
    running, _ = world
    ann, bob = await running.register("ann_name"), await running.register("bob_name")
    await bob.done("followUser", userId=ann.id)
    post = await ann.post("A post")
    mention = await bob.post("I ask @ann_name", replyTo=post)
    changed = await ann.done("changeHandle", handle="Lovelace", select="account { handle }")
    assert changed["account"] == {"handle": "lovelace"}
    bob.token = ann.token
    shown = await bob.ask(
        """query E($id: ID!, $ann: ID!, $mention: ID!) {
          user(handle: "lovelace") { id } old: user(handle: "ann_name") { id } byId: user(id: $ann) { handle }
          post(id: $id) { ... on Post { author { handle } } }
          mention: post(id: $mention) { ... on Post { text facets { kind target } replyTo { ... on Post { author { handle } } } } }
          viewer { user { following { nodes { handle } } } homeFeed { nodes { post { ... on Post { author { handle } } } } } } }""",
        id=post,
        ann=ann.id,
        mention=mention,
    )
    assert (shown["user"], shown["old"], shown["byId"]) == ({"id": ann.id}, None, {"handle": "lovelace"})
    assert shown["post"]["author"] == {"handle": "lovelace"}
    # What Bob wrote stays as he wrote it, and leads where it led.
    assert shown["mention"]["text"] == "I ask @ann_name"
    assert shown["mention"]["facets"] == [{"kind": "MENTION", "target": ann.id}]
    assert shown["mention"]["replyTo"]["author"] == {"handle": "lovelace"}
    assert shown["viewer"]["user"]["following"]["nodes"] == [{"handle": "lovelace"}]
    assert {"lovelace", "bob_name"} == {
        node["post"]["author"]["handle"] for node in shown["viewer"]["homeFeed"]["nodes"]
    }
    await settled(running)
    said = await bob.post("And @lovelace, no more @ann_name")
    facets = await bob.ask("query F($id: ID!) { post(id: $id) { ... on Post { facets { target } } } }", id=said)
    assert facets["post"]["facets"] == [{"target": ann.id}]
    for name in ("lovelace", "@Lovelace", "ann_name@example.org"):
        opened = await ann.done("signIn", select="account { handle }", handleOrEmail=name, password=PASSWORD)
        assert opened["account"] == {"handle": "lovelace"}
    refused = await ann.do("signIn", handleOrEmail="ann_name", password=PASSWORD)
    assert [error["code"] for error in refused["userErrors"]] == ["UNAUTHENTICATED"]

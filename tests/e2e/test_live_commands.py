"""Following a command over a real socket: each state once, in order, and an end."""

import dataclasses
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from api.context import RequestContext
from api.live.room import Room
from api.schema import following
from api.schema.enums import ReceiptStatus
from api.schema.following import follow_command
from api.schema.ids import Kind, global_id
from domain.errors import UnavailableError
from domain.ids import mint_id
from projections.documents.port import Document, Row
from projections.families import ALL
from projections.receipts import RECEIPTS
from tests.product_kit import Product, Stream, embedded_settings, product

POST = """mutation P($text: String!) { createPost(input: {text: $text}) {
  receipt { commandId status position } userErrors { code } } }"""
FOLLOW = """subscription C($id: ID!) { commandStatus(commandId: $id) { commandId status acceptedAt position } }"""


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Product]:
    async with product(embedded_settings(tmp_path_factory.mktemp("commands"))) as running:
        yield running


async def states(stream: Stream) -> list[Mapping[str, Any]]:
    """All of them, up to the stream's end."""
    found = []
    while (data := await stream.next()) is not None:
        found.append(data["commandStatus"])
    assert not stream.errors
    return found


async def state(stream: Stream) -> str:
    data = await stream.next()
    assert data is not None, stream.errors
    return str(data["commandStatus"]["status"])


async def test_a_command_is_followed_until_it_is_projected(served: Product) -> None:
    ann = await served.register("ann")
    receipt = (await ann.ask(POST, text="Look at this."))["createPost"]["receipt"]
    async with served.stream(FOLLOW, {"id": receipt["commandId"]}, ann.access) as stream:
        told = await states(stream)
    order = ["UNKNOWN", "ACCEPTED", "PROJECTED"]
    names = [state["status"] for state in told]
    assert names == [name for name in order if name in names]
    assert names[-1] == "PROJECTED"
    assert {state["commandId"] for state in told} == {receipt["commandId"]}
    assert told[-1]["acceptedAt"] is not None
    # Nothing changes any more: who follows late is told so at once.
    async with served.stream(FOLLOW, {"id": receipt["commandId"]}, ann.access) as stream:
        assert [state["status"] for state in await states(stream)] == ["PROJECTED"]


async def test_each_state_of_a_slow_command_is_told(tmp_path: Path) -> None:
    command, far = mint_id(3, os.urandom), 1 << 60
    async with product(embedded_settings(tmp_path)) as slow:
        documents = slow.services.documents
        fields: Document = {"command": command, "shard": 3, "position": far, "at": 1}
        async with slow.stream(FOLLOW, {"id": global_id(Kind.COMMAND, command)}) as stream:
            assert await state(stream) == "UNKNOWN"
            await documents.put(RECEIPTS, [Row("r", far, fields)])
            assert await state(stream) == "ACCEPTED"
            for family in ALL:
                await documents.save_checkpoint(family.name, 3, far, None)
            assert [last["status"] for last in await states(stream)] == ["PROJECTED"]


async def test_what_nothing_is_known_of_is_not_waited_for_for_ever(
    served: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "UNKNOWN_FOR", 0.05)
    cas = await served.register("cas")
    unknown = global_id(Kind.COMMAND, mint_id(1, os.urandom))
    async with served.stream(FOLLOW, {"id": unknown}, cas.access) as stream:
        assert [state["status"] for state in await states(stream)] == ["UNKNOWN"]
    async with served.stream(FOLLOW, {"id": "nothing"}, cas.access) as stream:
        assert await states(stream) == []


async def test_only_so_many_are_followed_at_once() -> None:
    room = Room(1)
    with room.taken(), pytest.raises(UnavailableError), room.taken():
        pass
    with room.taken():
        pass


async def test_a_command_is_followed_beyond_the_versions_at_its_beginning(served: Product) -> None:
    gil = await served.register("gil")
    receipt = (await gil.ask(POST, text="Look at this."))["createPost"]["receipt"]
    services = served.services
    # As if what was live at its beginning had been replaced and dropped since.
    dropped = services.documents.pinned({family.name: 99 for family in ALL})
    context = RequestContext(
        services=dataclasses.replace(services, documents=dropped),
        edition=services.editions.current,
        viewer=services.access_tokens.verify(gil.access),
        seen={},
        request_id="",
        network="",
    )
    async with aclosing(follow_command(context, receipt["commandId"])) as told:
        states = [state.status async for state in told]
    assert states[-1] is ReceiptStatus.PROJECTED

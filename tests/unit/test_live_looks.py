"""Looks: those who ask at the same moment are answered by one wave, each for themselves."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from api.live.looks import Looks
from projections import accounts, posts, viewer_edges
from projections.accounts import PROFILES
from projections.documents.port import Change, Collection, Doc, Document
from projections.documents.sqlite import schema
from projections.documents.sqlite.adapter import SqliteDocuments
from projections.documents.sqlite.store import Store
from projections.sight import Wanted
from projections.viewer_edges import VIEWER_EDGES, edge_id


class CountingDocuments(SqliteDocuments):
    """Files that count the finds; ``broken`` is what they raise."""

    finds = 0
    broken: Exception | None = None

    async def get(self, collection: Collection, ids: Sequence[str]) -> Mapping[str, Document]:
        self.finds += 1
        if self.broken is not None:
            raise self.broken
        return await super().get(collection, ids)


async def counting(folder: Path) -> CountingDocuments:
    documents = CountingDocuments(Store(folder / "documents.db"))
    await documents._store.write(schema.create_control)
    await documents.prepare([c for family in (accounts, posts, viewer_edges) for c in family.FAMILY.collections])
    return documents


async def test_one_wave_answers_all_who_ask_at_once(tmp_path: Path) -> None:
    documents = await counting(tmp_path)
    await documents.apply(PROFILES, [Doc("ann", 0, ((1, (Change(set={"createdAt": 1, "state": "ACTIVE"}),)),))])
    following = Change(set={"following": True})
    await documents.apply(VIEWER_EDGES, [Doc(edge_id("viewer7", "ann"), 0, ((1, (following,)),))])
    looks = Looks(documents)

    async def ask(viewer: str) -> bool:
        wanted = Wanted(viewer)
        wanted.person("ann")
        sight = await looks.read(wanted)
        assert sight.viewer == viewer
        assert sight.people["ann"].created_at == 1
        return sight.outgoing("ann").following

    documents.finds = 0
    follows = await asyncio.gather(*(ask(f"viewer{number}") for number in range(20)))
    assert [number for number, yes in enumerate(follows) if yes] == [7]
    assert documents.finds == 2
    await documents.close()


async def test_a_failure_reaches_all_who_asked_and_nobody_else(tmp_path: Path) -> None:
    documents = await counting(tmp_path)
    looks = Looks(documents)
    wanted = Wanted("bob")
    wanted.person("ann")
    documents.broken = RuntimeError("broken")
    asked = [asyncio.ensure_future(looks.read(wanted)) for _ in range(3)]
    await asyncio.sleep(0)
    asked[0].cancel()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1] is outcomes[2] is documents.broken
    documents.broken = None
    assert (await looks.read(wanted)).people == {}
    await asyncio.sleep(0)
    assert not looks._reading
    await documents.close()

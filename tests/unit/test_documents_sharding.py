"""Shard keys: what a router is told, and that the page on scale names what the collections declare."""

from pathlib import Path

from api.stores import COLLECTIONS_OF_ALL
from projections.documents.mongo.sharding import sharding
from projections.documents.port import Spread

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
PLACED = {"posts.posts.v1": Spread.HASHED, "home.edges.v2": Spread.RANGES}
ROUTER = {"msg": "isdbgrid", "isWritablePrimary": True}
MEMBER = {"setName": "rs0", "isWritablePrimary": True}


def test_a_router_is_told_the_key_of_each_collection_and_a_replica_set_nothing() -> None:
    assert sharding(ROUTER, "tidings", PLACED) == [
        ("tidings", {"createIndexes": "posts.posts.v1", "indexes": [{"key": {"_id": "hashed"}, "name": "_id_hashed"}]}),
        ("admin", {"shardCollection": "tidings.posts.posts.v1", "key": {"_id": "hashed"}}),
        ("admin", {"shardCollection": "tidings.home.edges.v2", "key": {"_id": 1}}),
    ]
    assert sharding(MEMBER, "tidings", PLACED) == []
    assert sharding(ROUTER, "tidings", {}) == []


def test_the_page_on_scale_names_the_collections_that_lie_in_ranges() -> None:
    declared = {f"`{one.family}.{one.name}`" for one in COLLECTIONS_OF_ALL if one.spread is Spread.RANGES}
    [row] = [line for line in PAGE.read_text().splitlines() if "| `_id`, by range |" in line]
    assert set(row.split("|")[1].strip().split(", ")) == declared

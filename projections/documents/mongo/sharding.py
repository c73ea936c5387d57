"""The shard keys of collections on a sharded cluster. A replica set has none.

Always ``_id``: writes are upserts by it alone, and under another key it would not be unique.
"""

from collections.abc import Mapping
from typing import Any, Final

from pymongo import ASCENDING, HASHED
from pymongo.errors import OperationFailure

from domain.errors import UnavailableError
from projections.documents.mongo.connection import ADMIN, Connection
from projections.documents.port import Spread

ROUTER: Final = "isdbgrid"
"""What a mongos says of itself in ``hello``, and no other server."""

KEYS: Final[Mapping[Spread, str | int]] = {Spread.HASHED: HASHED, Spread.RANGES: ASCENDING}

Command = tuple[str, dict[str, Any]]
"""The database that it is sent to, and what is sent."""


def sharding(hello: Mapping[str, Any], database: str, placed: Mapping[str, Spread]) -> list[Command]:
    """What shards these stored collections, nothing where ``hello`` is no router's. Each may be repeated."""
    commands: list[Command] = []
    for name, spread in placed.items() if hello.get("msg") == ROUTER else ():
        key = {"_id": KEYS[spread]}
        if spread is Spread.HASHED:
            # By itself the server makes the key's index only where there are no documents yet.
            commands.append((database, {"createIndexes": name, "indexes": [{"key": key, "name": "_id_hashed"}]}))
        commands.append((ADMIN, {"shardCollection": f"{database}.{name}", "key": key}))
    return commands


async def shard(connection: Connection, placed: Mapping[str, Spread], seconds: float) -> None:
    """Gives stored collections their shard keys where the server is a router. UnavailableError where it refuses, as where one has another key."""
    hello = await connection.command(ADMIN, {"hello": 1}, seconds)
    for database, command in sharding(hello, connection.database, placed):
        try:
            await connection.command(database, command, seconds)
        except OperationFailure as error:
            raise UnavailableError(
                f"MongoDB at {connection.address} refuses {command}: {error}. "
                "If the collection has another shard key, give it this one with reshardCollection, or begin with an empty database."
            ) from error

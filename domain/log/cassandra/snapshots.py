"""Where snapshots of long streams are kept on Cassandra: one row a stream, written as it comes, and gone by itself when nobody renews it."""

from contextlib import suppress
from typing import Final

import msgspec

from domain.errors import LogError, UnavailableError
from domain.log.cassandra.driver import Bridge, Query, RejectedError, bind
from domain.log.snapshots import Kept

LIFE_DAYS: Final = 30

_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(Kept)


class Snapshots:
    """Any process may write any of them at any time: whoever reads one checks it. A row is one value, so that two writers cannot mix theirs."""

    def __init__(self, bridge: Bridge, select: Query[tuple[bytes]], insert: Query[tuple[()]]) -> None:
        self._bridge = bridge
        self._select = select
        self._insert = insert

    async def read(self, stream: str) -> Kept | None:
        """What is kept of a stream; None also where the store does not answer: a snapshot spares work and is never needed."""
        try:
            rows = await self._bridge.execute(self._select, (stream,))
            return _decoder.decode(rows[0][0]) if rows else None
        except (UnavailableError, msgspec.MsgspecError):
            return None

    async def write(self, stream: str, kept: Kept) -> None:
        with suppress(UnavailableError):
            await self._bridge.write(bind(self._insert, (stream, _encode(kept))))


async def open_snapshots(bridge: Bridge, keyspace: str) -> Snapshots:
    """Raises LogError where the table was not made."""
    table = f"{keyspace}.snapshots"
    try:
        # Names come from the code and the migrated schema, values are always bound.
        return Snapshots(
            bridge,
            select=await bridge.prepare(f"SELECT body FROM {table} WHERE stream = ?"),
            insert=await bridge.prepare(f"INSERT INTO {table} (stream, body) VALUES (?, ?)"),
        )
    except RejectedError as error:
        raise LogError(
            f"there is no table {table} in Cassandra at {bridge.address}; make it with `tidings migrate`"
        ) from error

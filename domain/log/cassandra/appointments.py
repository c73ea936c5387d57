"""Soft leases on shards, in one small partition of rows that expire by themselves."""

from typing import Final

from domain.log.affinity import Appointed, Peer
from domain.log.cassandra.driver import Bridge, Query, bind

LEASE_SECONDS: Final = 5
_SHARD: Final = "shard-"
_PROCESS: Final = "process-"

PlaceRow = tuple[str, str | None, str | None]


class CassandraAppointments:
    """See domain.log.affinity.Appointments; of one generation."""

    def __init__(
        self,
        bridge: Bridge,
        generation: int,
        select: Query[PlaceRow],
        sign: Query[tuple[()]],
        claim: Query[tuple[bool]],
        release: Query[tuple[bool]],
    ) -> None:
        self._bridge = bridge
        self._generation = generation
        self._select = select
        self._sign = sign
        self._claim = claim
        self._release = release

    @property
    def seconds(self) -> float:
        return LEASE_SECONDS

    async def sign(self, peer: Peer) -> None:
        await self._put(peer, LEASE_SECONDS)

    async def leave(self, peer: Peer) -> None:
        await self._put(peer, 1)

    async def _put(self, peer: Peer, seconds: int) -> None:
        values = (self._generation, _PROCESS + peer.name, peer.name, peer.address, seconds)
        await self._bridge.write(bind(self._sign, values))

    async def read(self) -> Appointed:
        holders: dict[int, Peer] = {}
        present: set[str] = set()
        for place, name, address in await self._bridge.execute(self._select, (self._generation,)):
            if name is None or address is None:
                continue
            if place.startswith(_SHARD):
                holders[int(place.removeprefix(_SHARD))] = Peer(name, address)
            else:
                present.add(name)
        return Appointed(holders, frozenset(present))

    async def claim(self, shard: int, peer: Peer, *, renew: bool) -> bool:
        before = peer.name if renew else None
        values = (LEASE_SECONDS, peer.name, peer.address, self._generation, f"{_SHARD}{shard}", before)
        return await self._bridge.apply(bind(self._claim, values))

    async def release(self, shard: int, peer: Peer) -> None:
        await self._bridge.apply(bind(self._release, (self._generation, f"{_SHARD}{shard}", peer.name)))


async def open_appointments(bridge: Bridge, keyspace: str, generation: int) -> CassandraAppointments:
    table = f"{keyspace}.log_appenders"
    where = "WHERE generation = ? AND place = ?"
    # Names come from the code and the migrated schema, values are always bound.
    return CassandraAppointments(
        bridge,
        generation,
        select=await bridge.prepare(f"SELECT place, process, address FROM {table} WHERE generation = ?"),
        sign=await bridge.prepare(
            f"INSERT INTO {table} (generation, place, process, address) VALUES (?, ?, ?, ?) USING TTL ?"
        ),
        claim=await bridge.prepare(f"UPDATE {table} USING TTL ? SET process = ?, address = ? {where} IF process = ?"),
        release=await bridge.prepare(f"UPDATE {table} SET process = null, address = null {where} IF process = ?"),
    )

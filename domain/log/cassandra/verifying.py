"""A verifier of the log on Cassandra: opened beside whatever else uses the log, it reads what is there and changes nothing unless asked to."""

import asyncio
from collections.abc import Collection, Iterable, Sequence

from domain.errors import LogError
from domain.log.cassandra.breaches import Bound
from domain.log.cassandra.driver import Bridge, connect
from domain.log.cassandra.index import Progress, StreamIndex, open_index, open_progress
from domain.log.cassandra.keys import CassandraKeyStore, open_key_store
from domain.log.cassandra.scanning import Scan, open_scan
from domain.log.cassandra.schema import Meta, read_meta, require_name
from domain.log.cassandra.table import Place
from domain.log.cassandra.verification import Verification
from domain.log.findings import Finding, Kind, Report
from domain.log.port import LogIdentity
from domain.log.sealing import MasterKeys


async def open_cassandra_verifier(
    hosts: Sequence[str],
    port: int,
    keyspace: str,
    *,
    master_key: bytes,
    server_key_fingerprint: str,
    retired_master_keys: Sequence[bytes] = (),
) -> "CassandraVerifier":
    """Only reads, and starts nothing in the background. Raises UnavailableError where no node answers, LogError where there is no schema."""
    require_name(keyspace)
    bridge = await connect(hosts, port)
    try:
        meta = await read_meta(bridge, keyspace)
        return CassandraVerifier(
            bridge,
            meta,
            await open_scan(bridge, keyspace, meta),
            await open_index(bridge, keyspace),
            await open_progress(bridge, keyspace),
            await open_key_store(bridge, keyspace, MasterKeys(master_key, retired_master_keys)),
            server_key_fingerprint,
        )
    except BaseException:
        await bridge.close()
        raise


class CassandraVerifier:
    """See domain.log.verifying.Verifier."""

    def __init__(
        self,
        bridge: Bridge,
        meta: Meta,
        scan: Scan,
        index: StreamIndex,
        progress: Progress,
        keys: CassandraKeyStore,
        fingerprint: str,
    ) -> None:
        self._bridge = bridge
        self._meta = meta
        self._scan = scan
        self._index = index
        self._progress = progress
        self._keys = keys
        self._fingerprint = fingerprint

    @property
    def identity(self) -> LogIdentity:
        return self._meta.identity

    async def verify(self, report: Report, shards: Collection[int] | None = None, *, repair: bool = False) -> None:
        report.add(self._wrong_identity())
        places = [
            (Place(generation.number, shard), generation.number != self._meta.current.number)
            for generation in self._meta.generations
            for shard in range(generation.shards)
            if shards is None or shard in shards
        ]
        bounds = await asyncio.gather(*(self._bound(place, ended=ended) for place, ended in places))
        opens = await self._opens(report)
        keys = self._keys if opens else None
        await Verification(self._meta, self._scan, self._index, keys, bounds, report, repair=repair).run()

    def _wrong_identity(self) -> Iterable[Finding]:
        meta = self._meta
        if meta.server_key_fingerprint != self._fingerprint:
            yield Finding(
                kind=Kind.IDENTITY,
                expected=f"a log of this SERVER_KEY (fingerprint {self._fingerprint})",
                found=f"fingerprint {meta.server_key_fingerprint}",
            )
        if not meta.log_id:
            yield Finding(kind=Kind.IDENTITY, expected="a log id", found="none")
        numbers = [generation.number for generation in meta.generations]
        if numbers != list(range(1, len(numbers) + 1)):
            yield Finding(kind=Kind.IDENTITY, expected=f"generations 1 to {len(numbers)}", found=str(numbers))

    async def _opens(self, report: Report) -> bool:
        try:
            await self._keys.check()
        except LogError as error:
            report.add([Finding(kind=Kind.IDENTITY, expected="subject keys of this MASTER_KEY", found=str(error))])
            return False
        return True

    async def _bound(self, place: Place, *, ended: bool) -> Bound:
        # In this order: a watermark never lies above a head that is read after it.
        watermark = (await self._progress.read(place)).watermark
        return Bound(place, ended, watermark, await self._scan.head(place))

    async def close(self) -> None:
        await self._bridge.close()

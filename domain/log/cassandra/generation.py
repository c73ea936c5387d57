"""Begins the next generation of a log on Cassandra, whose last one has ended in every shard."""

import uuid
from collections.abc import Sequence
from typing import Final

from domain.errors import LogError, UnavailableError
from domain.log.batching import closes
from domain.log.cassandra.driver import Bridge, batch_of, bind, connect
from domain.log.cassandra.index import Progress, StreamIndex, open_index, open_progress
from domain.log.cassandra.mending import copy_up_to
from domain.log.cassandra.scanning import Scan, open_scan
from domain.log.cassandra.schema import Meta, read_meta, require_data_centre, require_fingerprint, require_name
from domain.log.cassandra.table import Place
from domain.log.port import LogIdentity

_TRIES: Final = 5


async def open_cassandra_generation(
    hosts: Sequence[str], port: int, keyspace: str, *, server_key_fingerprint: str, restored: bool = False
) -> LogIdentity:
    """Completes the index of the generation that has ended, and records the next. ``restored``: under a new log id, so that whatever was derived from
    the history that was lost is refused. Raises LogError where a shard's generation has not ended."""
    require_name(keyspace)
    bridge = await connect(hosts, port)
    try:
        meta = await read_meta(bridge, keyspace)
        require_fingerprint(meta, server_key_fingerprint)
        require_data_centre(meta, bridge.data_centre)
        scan = await open_scan(bridge, keyspace, meta)
        index = await open_index(bridge, keyspace)
        progress = await open_progress(bridge, keyspace)
        places = [Place(meta.current.number, shard) for shard in range(meta.current.shards)]
        heads = [await _end_of(scan, place) for place in places]
        for place, head in zip(places, heads, strict=True):
            await _complete(scan, index, progress, place, head)
        await _record(bridge, keyspace, meta, log_id=uuid.uuid4().hex if restored else meta.log_id)
        return (await read_meta(bridge, keyspace)).identity
    finally:
        await bridge.close()


async def _end_of(scan: Scan, place: Place) -> int:
    head = await scan.head(place)
    row = await scan.row(place, head) if head else None
    if row is None or not closes(row):
        raise LogError(
            f"generation {place.generation} has not ended in shard {place.shard}: end it with `tidings log close`"
        )
    return head


async def _complete(scan: Scan, index: StreamIndex, progress: Progress, place: Place, head: int) -> None:
    """Loads rest on the index alone where a generation has ended, so it must be complete before the next begins."""
    for _ in range(_TRIES):
        watermark = (await progress.read(place)).watermark
        if watermark == head:
            return
        if watermark > head:
            raise LogError(f"the watermark of shard {place.shard} is wrong: mend it with `tidings log verify --repair`")
        await copy_up_to(scan, index, place, watermark, watermark, head)
    raise UnavailableError(f"the watermark of shard {place.shard} is moved by another process; try again")


async def _record(bridge: Bridge, keyspace: str, meta: Meta, *, log_id: str) -> None:
    current = meta.current
    insert = await bridge.prepare(
        f"INSERT INTO {keyspace}.log_meta (name, generation, shards, segment_size) VALUES (?, ?, ?, ?) IF NOT EXISTS"
    )
    rename = await bridge.prepare(f"UPDATE {keyspace}.log_meta SET log_id = ? WHERE name = ? IF log_id = ?")
    values = ("log", current.number + 1, current.shards, current.segment_size)
    await bridge.apply(batch_of([bind(insert, values), bind(rename, (log_id, "log", meta.log_id))]))

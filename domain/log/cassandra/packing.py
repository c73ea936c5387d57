"""A row's values as Cassandra's protocol has them. The stored event is one value, its body: what a row costs is counted in cells, not in bytes."""

import struct
from typing import Final

import msgspec

from domain.errors import LogError
from domain.log.codec import StoredEvent

pack_int: Final = struct.Struct(">i").pack
pack_bigint: Final = struct.Struct(">q").pack

pack: Final = msgspec.msgpack.Encoder().encode
"""An event's body: its columns, in order, as an array of MessagePack. Payload and metadata are JSON in it, as everywhere."""

_decode: Final = msgspec.msgpack.Decoder(StoredEvent).decode


def unpack(body: bytes) -> StoredEvent:
    """Raises LogError for bytes that are no event's body."""
    try:
        return _decode(body)
    except msgspec.MsgspecError as error:
        raise LogError(f"a row of the log holds no event: {error}") from error

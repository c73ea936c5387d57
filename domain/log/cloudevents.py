"""The form in which events travel: lines of CloudEvents 1.0 in JSON, with marks between them that prove what came before (docs/exports.md).

Pure: bytes in, rows out. A file is a header, chunks of events that each end with a mark, and a last mark that ends the file.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

import msgspec

from domain.envelope import Metadata
from domain.errors import TransferError
from domain.log.codec import StoredEvent

FORMAT: Final = 1
CHUNK_EVENTS: Final = 500
"""Events between two marks, at least; a chunk ends with a command's last event."""
MAX_CHUNK_EVENTS: Final = 4 * CHUNK_EVENTS
MAX_LINE: Final = 8 * 1024 * 1024
"""Bytes. A command's events have at most 256 KiB together."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SPEC: Final = "1.0"
_JSON: Final = "application/json"
_SCHEMA: Final = "urn:tidings:event:"
_BEGAN: Final = "tidings.export.began"
_MARK: Final = "tidings.export.checkpoint"
_ENDED: Final = "tidings.export.ended"
_FIXED: Final = frozenset(
    [
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
        "recordedat",
        "streamversion",
        "sealed",
        "sealedfor",
        "data",
    ]
)
_METADATA: Final = {name.replace("_", ""): name for name in Metadata.__struct_fields__}
"""Attribute names are lower-case letters and digits alone."""

_encode: Final = msgspec.json.Encoder().encode
_attributes: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text: Final = msgspec.json.Decoder(str)
_number: Final = msgspec.json.Decoder(int)


def source_of(fingerprint: str) -> str:
    """The URI of the world in which ids are unique: all logs of one SERVER_KEY are that one world, whatever store they lie in."""
    return f"urn:tidings:{quote(fingerprint)}"


def timestamp(microseconds: int) -> str:
    """RFC 3339, always with six digits: equal times are equal text."""
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def microseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)


def line_of(row: StoredEvent, source: str) -> bytes:
    """An event's line, with its newline. Where it stood (generation, shard, position, attempt) stays behind."""
    attributes: dict[str, object] = {
        "specversion": _SPEC,
        "id": row.event_id,
        "source": source,
        "type": row.type,
        "subject": row.stream,
        "time": timestamp(row.occurred_at),
        "datacontenttype": _JSON,
        "dataschema": f"{_SCHEMA}{row.type}:v{row.schema_version}",
        "streamversion": row.version,
        "recordedat": timestamp(row.recorded_at),
    }
    for name, value in _attributes.decode(row.metadata).items():
        attribute = name.replace("_", "")
        if attribute not in _METADATA:
            raise TransferError(f"event {row.event_id} has metadata {name}, unknown here: export with a newer Tidings")
        attributes[attribute] = value
    if row.sealed is not None:
        attributes |= {"sealed": base64.b64encode(row.sealed).decode(), "sealedfor": row.subject}
    # A mark is found by its type alone, so no line may be broken in two.
    attributes["data"] = msgspec.Raw(row.payload.replace(b"\n", b" "))
    return _encode(attributes) + b"\n"


def row_of(attributes: Mapping[str, msgspec.Raw]) -> StoredEvent:
    """The row that a line spells, without a place. Raises KeyError, ValueError or msgspec.DecodeError for what is no such line."""
    texts = {
        name: _text.decode(attributes[name]) for name in ("id", "type", "subject", "time", "recordedat", "dataschema")
    }
    schema, _, version = texts["dataschema"].rpartition(":v")
    if _text.decode(attributes["specversion"]) != _SPEC or schema != _SCHEMA + texts["type"]:
        raise ValueError("it is no CloudEvent 1.0 of this format")
    unknown = attributes.keys() - _FIXED - _METADATA.keys()
    if unknown:
        raise ValueError(f"it has attributes unknown here: {', '.join(sorted(unknown))}")
    sealed = attributes.get("sealed")
    return StoredEvent(
        generation=0,
        shard=0,
        position=0,
        stream=texts["subject"],
        version=_number.decode(attributes["streamversion"]),
        event_id=texts["id"],
        type=texts["type"],
        schema_version=int(version),
        payload=bytes(attributes["data"]),
        sealed=base64.b64decode(_text.decode(sealed), validate=True) if sealed is not None else None,
        subject=_text.decode(attributes["sealedfor"]) if sealed is not None else None,
        metadata=_encode({name: attributes[key] for key, name in _METADATA.items() if key in attributes}),
        occurred_at=microseconds(texts["time"]),
        recorded_at=microseconds(texts["recordedat"]),
        attempt_id="",
    )


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What a mark says: so many events stand before it, up to these sequences by shard of the exported log."""

    events: int
    positions: dict[int, int]
    mac: str = ""


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    server_key: str


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    specversion: str
    id: str
    source: str
    type: str
    data: msgspec.Raw
    datacontenttype: str = _JSON


def header_line(export_id: str, fingerprint: str) -> bytes:
    data = _encode(_Header(format=FORMAT, server_key=fingerprint))
    line = _Line(
        specversion=_SPEC, id=f"{export_id}-began", source=source_of(fingerprint), type=_BEGAN, data=msgspec.Raw(data)
    )
    return _encode(line) + b"\n"


@dataclass(slots=True)
class Chain:
    """Each mark proves its chunk and the mark before it, so nothing can be changed, dropped, moved or added unseen without the key, which whoever
    imports has: it comes from SERVER_KEY."""

    key: bytes
    last: bytes = b""
    _chunk: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def begin(self, header: bytes) -> None:
        self.last = self._mac(header)

    def copy(self) -> "Chain":
        """The chain as of the last mark."""
        return Chain(self.key, self.last)

    def add(self, line: bytes) -> None:
        self._chunk.update(line)

    def close(self, kind: str, mark: Mark) -> str:
        """The code of a mark at this place."""
        said = _encode([kind, mark.events, sorted(mark.positions.items())])
        self.last = self._mac(self.last + self._chunk.digest() + said)
        self._chunk = hashlib.sha256()
        return self.last.hex()

    def _mac(self, message: bytes) -> bytes:
        return hmac.digest(self.key, message, "sha256")


def mark_line(
    chain: Chain, export_id: str, fingerprint: str, events: int, positions: dict[int, int], *, last: bool
) -> bytes:
    """The mark that closes the chunk that ``chain`` has seen."""
    kind = _ENDED if last else _MARK
    mark = Mark(events=events, positions=positions)
    data = _encode(msgspec.structs.replace(mark, mac=chain.close(kind, mark)))
    line = _Line(
        specversion=_SPEC,
        id=f"{export_id}-{'ended' if last else events}",
        source=source_of(fingerprint),
        type=kind,
        data=msgspec.Raw(data),
    )
    return _encode(line) + b"\n"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Events that are proven to be whole; ``size`` is the number of bytes of the file up to its mark's end, ``last`` says that nothing follows."""

    rows: tuple[StoredEvent, ...]
    mark: Mark
    size: int
    last: bool


class TruncatedError(TransferError):
    """The file ends before its end: what it had up to the last mark was good."""


@dataclass(slots=True)
class Reader:
    """Reads a file line by line; ``chain`` and ``export_id`` are, after each chunk, as the writer's were. Bounded by the largest chunk."""

    chain: Chain
    fingerprint: str
    export_id: str = ""
    size: int = 0
    _count: int = 0

    def begin(self, line: bytes) -> None:
        """Takes the first line. TransferError where it is not that of an export, or of one of another SERVER_KEY."""
        _require_whole(line)
        try:
            header = msgspec.json.decode(line, type=_Line)
            data = msgspec.json.decode(header.data, type=_Header)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise TransferError("this is no export of a Tidings log: it does not begin with a header") from error
        if header.type != _BEGAN or data.format != FORMAT:
            raise TransferError(
                f"this export has format {data.format}, and this Tidings reads {FORMAT}: use a newer one"
            )
        if data.server_key != self.fingerprint:
            raise TransferError(
                "the export was made under another SERVER_KEY: claims and idempotent ids would be lost. "
                "Give the new log the SERVER_KEY of the old one"
            )
        self.export_id = header.id.removesuffix("-began")
        self.chain.begin(line)
        self.size = len(line)

    def chunks(self, lines: Iterable[bytes]) -> Iterator[Chunk]:
        """What follows the header. Raises TruncatedError or TransferError at what is not whole; chunks before it are good."""
        found: list[StoredEvent] = []
        ended = False
        for line in lines:
            _require_whole(line)
            if ended:
                raise TransferError("the export goes on after its end: it was tampered with")
            self.size += len(line)
            attributes = self._parsed(line)
            kind = _text.decode(attributes["type"])
            if kind in (_MARK, _ENDED):
                ended = kind == _ENDED
                yield self._closed(line, attributes, found, last=ended)
                found = []
                continue
            if len(found) == MAX_CHUNK_EVENTS:
                raise TransferError(f"{MAX_CHUNK_EVENTS:,} events without a checkpoint: the export was tampered with")
            found.append(self._row(attributes))
            self.chain.add(line)
        if not ended:
            raise TruncatedError(f"the export ends before its end, after {self._count:,} events that are whole")

    def _parsed(self, line: bytes) -> dict[str, msgspec.Raw]:
        try:
            attributes = _attributes.decode(line)
            _text.decode(attributes["type"])
        except (msgspec.DecodeError, KeyError, UnicodeDecodeError) as error:
            raise self._tampered() from error
        return attributes

    def _row(self, attributes: Mapping[str, msgspec.Raw]) -> StoredEvent:
        try:
            return row_of(attributes)
        except (msgspec.DecodeError, KeyError, ValueError, binascii.Error, OverflowError) as error:
            raise self._tampered() from error

    def _closed(
        self, line: bytes, attributes: Mapping[str, msgspec.Raw], found: list[StoredEvent], *, last: bool
    ) -> Chunk:
        try:
            mark = msgspec.json.decode(attributes["data"], type=Mark)
        except (msgspec.DecodeError, KeyError, UnicodeDecodeError) as error:
            raise self._tampered() from error
        # Every byte of it is given by what it must say at this place.
        due = mark_line(self.chain, self.export_id, self.fingerprint, mark.events, mark.positions, last=last)
        if mark.events != self._count + len(found) or not hmac.compare_digest(due, line):
            raise self._tampered()
        self._count = mark.events
        return Chunk(tuple(found), mark, self.size, last)

    def _tampered(self) -> TransferError:
        return TransferError(
            f"after event {self._count:,} the export is not what was written: it was damaged or tampered with"
        )


def _require_whole(line: bytes) -> None:
    if len(line) > MAX_LINE:
        raise TransferError(f"a line has more than {MAX_LINE:,} bytes: this is no export of a Tidings log")
    if not line.endswith(b"\n"):
        raise TruncatedError("the export breaks off within a line")

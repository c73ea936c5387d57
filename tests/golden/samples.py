"""Golden files: one stored event of each type and schema version that the log has ever held, as it was stored.

``python -m tests.golden.samples`` writes those that are missing, and never touches one that is there: a changed golden file would be a
changed past. A file is a row of the log, its JSON columns as text, its sealed part in base64 under ``KEY``.
"""

import base64
import hashlib
from pathlib import Path
from typing import Final

import msgspec
from msgspec import inspect

from domain.envelope import Metadata, Recorded
from domain.events import REGISTRY, Event
from domain.log.codec import StoredEvent, encode

FOLDER: Final = Path(__file__).parent / "events"
KEY: Final = hashlib.sha256(b"the subject key of every golden file").digest()
SUBJECT: Final = "aa" + "b" * 23 + "a"


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """A row, readable."""

    type: str
    schema_version: int
    payload: str
    sealed: str | None
    subject: str | None
    metadata: str
    generation: int
    shard: int
    position: int
    stream: str
    version: int
    event_id: str
    occurred_at: int
    recorded_at: int
    attempt_id: str


def path_of(name: str, schema_version: int) -> Path:
    return FOLDER / f"{name}.v{schema_version}.json"


def stored_in(path: Path) -> StoredEvent:
    """The row that a golden file holds."""
    file = msgspec.json.decode(path.read_bytes(), type=_File)
    columns = msgspec.structs.asdict(file) | {
        "payload": file.payload.encode(),
        "sealed": base64.b64decode(file.sealed) if file.sealed is not None else None,
        "metadata": file.metadata.encode(),
    }
    return StoredEvent(**columns)


def missing() -> list[tuple[str, int]]:
    """Registered (type, schema version) without a golden file; the tests' own events have none."""
    return [key for key in sorted(REGISTRY) if not key[0].startswith("test.") and not path_of(*key).exists()]


def write_missing() -> list[Path]:
    """Writes a golden file for every registered event that has none; gives what was written."""
    FOLDER.mkdir(exist_ok=True)
    written = []
    for name, schema_version in missing():
        path = path_of(name, schema_version)
        row = _row(_sample(inspect.type_info(REGISTRY[name, schema_version]), name))
        columns = msgspec.structs.asdict(row) | {
            "payload": row.payload.decode(),
            "sealed": base64.b64encode(row.sealed).decode() if row.sealed is not None else None,
            "metadata": row.metadata.decode(),
        }
        # x: a file that came into being meanwhile stays as it is.
        with path.open("xb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(_File(**columns)), indent=2) + b"\n")
        written.append(path)
    return written


def _row(event: object) -> StoredEvent:
    if not isinstance(event, Event):
        raise TypeError(f"{event!r} is no event")
    recorded = Recorded(
        event_id="golden-0",
        stream=f"{event.name.partition('.')[0]}-{SUBJECT}",
        version=3,
        event=event,
        metadata=Metadata(
            command_id="command",
            actor=SUBJECT,
            correlation_id="correlation",
            causation_id="causation",
            traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            input_hmac="0" * 32,
        ),
        occurred_at=1_700_000_000_000_000,
        recorded_at=1_700_000_000_000_001,
        attempt_id="golden",
        generation=1,
        shard=0,
        position=7,
    )
    return encode(recorded, subject=SUBJECT, key=KEY)


def _sample(kind: inspect.Type, name: str) -> object:
    """A value of the type in which nothing is left at its default, so that a field that goes missing is missed."""
    match kind:
        case inspect.StructType(cls=cls, fields=fields):
            return cls(**{field.name: _sample(field.type, field.name) for field in fields})
        case inspect.UnionType(types=types):
            return _sample(next(one for one in types if not isinstance(one, inspect.NoneType)), name)
        case inspect.VarTupleType(item_type=item):
            return (_sample(item, name),)
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return 42
        case inspect.StrType():
            return f"{name} ✓"
    raise TypeError(f"{name}: there is no sample of {kind} yet")


if __name__ == "__main__":
    for made in write_missing():
        print(made.name)  # noqa: T201 -- a command's output

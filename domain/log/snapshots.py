"""Snapshots of long streams: derived, never authoritative, and thrown away at the least doubt.

One is left behind by whoever had to fold many events to load a stream, so that only streams that are long *and* cold have one. It holds for the code that
folded it (``edition``), beside the very event that it ends with (``event_id``), and for as long as the key that opened something in it: it is sealed under
that key, and where two keys opened something it is not kept at all.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

import msgspec

from domain.errors import LogError
from domain.log.batching import Aggregates, Snapshot
from domain.log.sealing import seal, unseal

EVERY: Final = 500
"""Events folded to load one stream, from which on a snapshot is left behind; 500 take about 6 ms."""
_DIGEST: Final = 16


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot as it is stored: of which version, which event that is, of which edition; ``subject`` is the account under whose key ``body`` is sealed, None
    where it holds nothing of a person's."""

    version: int
    event_id: str
    edition: str
    subject: str | None
    body: bytes


def keep(
    aggregates: Aggregates, stream: str, snapshot: Snapshot, event_id: str, keys: Mapping[str, bytes | None]
) -> Kept | None:
    """What to store of a stream that was folded up to the event ``event_id``; None where that cannot be kept. ``keys`` are by subject."""
    edition = aggregates.edition()
    if not edition or len(snapshot.subjects) > 1:
        return None
    subject = next(iter(snapshot.subjects), None)
    place = _place(edition, snapshot.version)
    try:
        plain = msgspec.json.encode(snapshot.state)
        if msgspec.json.decode(plain, type=type(snapshot.state)) != snapshot.state:
            return None
    except (msgspec.MsgspecError, TypeError):
        return None
    if subject is None:
        body = _digest(stream, event_id, place, plain) + plain
    else:
        key = keys.get(subject)
        if key is None:
            return None
        body = seal(key, plain, event_id=event_id, stream=stream, type=place)
    return Kept(snapshot.version, event_id, edition, subject, body)


def revive(aggregates: Aggregates, stream: str, kept: Kept, keys: Mapping[str, bytes | None]) -> Snapshot | None:
    """The snapshot that was kept; None where it is of another edition, damaged, moved, or its key is gone."""
    if kept.edition != aggregates.edition():
        return None
    place = _place(kept.edition, kept.version)
    try:
        plain = _opened(stream, kept, place, keys)
        if plain is None:
            return None
        state = msgspec.json.decode(plain, type=type(aggregates.initial(stream)))
    except (msgspec.MsgspecError, LogError, TypeError, ValueError):
        return None
    return Snapshot(kept.version, state, frozenset() if kept.subject is None else frozenset({kept.subject}))


def _opened(stream: str, kept: Kept, place: str, keys: Mapping[str, bytes | None]) -> bytes | None:
    if kept.subject is None:
        digest, plain = kept.body[:_DIGEST], kept.body[_DIGEST:]
        return plain if hmac.compare_digest(digest, _digest(stream, kept.event_id, place, plain)) else None
    key = keys.get(kept.subject)
    return None if key is None else unseal(key, kept.body, event_id=kept.event_id, stream=stream, type=place)


def _place(edition: str, version: int) -> str:
    return f"snapshot {edition} {version}"


def _digest(stream: str, event_id: str, place: str, plain: bytes) -> bytes:
    said = f"{stream}\n{event_id}\n{place}\n".encode()
    return hashlib.blake2b(said + plain, digest_size=_DIGEST, person=b"snapshot").digest()

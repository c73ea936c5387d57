"""Sealing: what a person typed is kept under that person's key, and forgetting the key forgets it.

Three layers, all AES-256-GCM with random nonces: the MASTER_KEY wraps subject keys, a subject key seals the private part of events, and the
associated data nails each ciphertext to its place, so that none can be moved to another event, stream or subject.

    sealed   = 0x01 | nonce (12) | ciphertext and tag     associated data: format, event id, stream, type
    wrapped  = 0x01 | master key id (8) | nonce (12) | ciphertext and tag     associated data: format, master key id, subject
"""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import Code, LogError, Refusal, refuse

KEY_SIZE: Final = 32
KEY_TTL: Final = 60.0
"""Seconds for which a key may be used after another process has destroyed it."""

_FORMAT: Final = b"\x01"
_NONCE_SIZE: Final = 12
_MASTER_ID_SIZE: Final = 8
_MASTER_ID_END: Final = 1 + _MASTER_ID_SIZE


def _place(*parts: str) -> bytes:
    # Length prefixes keep ("ab", "c") and ("a", "bc") apart.
    return _FORMAT + b"".join(len(raw := part.encode()).to_bytes(2, "big") + raw for part in parts)


def seal(key: bytes, plain: bytes, *, event_id: str, stream: str, type: str) -> bytes:
    """``plain`` under a subject key, bound to its event."""
    nonce = os.urandom(_NONCE_SIZE)
    return _FORMAT + nonce + AESGCM(key).encrypt(nonce, plain, _place(event_id, stream, type))


def unseal(key: bytes, sealed: bytes, *, event_id: str, stream: str, type: str) -> bytes:
    """What ``seal`` was given. Raises LogError where the bytes are not what was sealed under this key for this event."""
    if sealed[:1] != _FORMAT:
        raise LogError(f"event {event_id} in {stream} is sealed in format {sealed[:1].hex() or 'none'}, unknown here")
    nonce, body = sealed[1 : 1 + _NONCE_SIZE], sealed[1 + _NONCE_SIZE :]
    try:
        return AESGCM(key).decrypt(nonce, body, _place(event_id, stream, type))
    except (InvalidTag, ValueError) as error:
        raise LogError(f"the sealed part of event {event_id} in {stream} does not open under its live key") from error


def new_key() -> bytes:
    """A random subject key."""
    return AESGCM.generate_key(KEY_SIZE * 8)


class MasterKeys:
    """Wraps subject keys under ``current``; unwraps under it and under the retired ones (32 bytes each).

    To rotate, make the old key a retired one and wrap every subject key again (``unwrap``, then ``wrap``).
    """

    def __init__(self, current: bytes, retired: Sequence[bytes] = ()) -> None:
        if any(len(key) != KEY_SIZE for key in (current, *retired)):
            raise ValueError(f"a master key has {KEY_SIZE} bytes")
        self._ciphers = {self._id(key): AESGCM(key) for key in (*retired, current)}
        self._current = self._id(current)

    @staticmethod
    def _id(key: bytes) -> bytes:
        return hashlib.blake2b(key, digest_size=_MASTER_ID_SIZE, person=b"master-key-id").digest()

    def wrap(self, subject: str, key: bytes) -> bytes:
        nonce = os.urandom(_NONCE_SIZE)
        head = _FORMAT + self._current
        return head + nonce + self._ciphers[self._current].encrypt(nonce, key, head + subject.encode())

    def wraps(self, wrapped: bytes) -> bool:
        """Whether the current master key has wrapped it."""
        return wrapped[:_MASTER_ID_END] == _FORMAT + self._current

    def opens(self, wrapped: bytes) -> bool:
        """Whether the master key that has wrapped it is here, current or retired."""
        return wrapped[:1] == _FORMAT and wrapped[1:_MASTER_ID_END] in self._ciphers

    @staticmethod
    def id_in(wrapped: bytes) -> str:
        """The id of the master key that has wrapped it, in hex."""
        return wrapped[1:_MASTER_ID_END].hex()

    def unwrap(self, subject: str, wrapped: bytes) -> bytes:
        """Raises LogError where the key was wrapped by a master key that is not here, or was tampered with."""
        head, body = wrapped[:_MASTER_ID_END], wrapped[_MASTER_ID_END:]
        cipher = self._ciphers.get(head[1:])
        if head[:1] != _FORMAT or cipher is None:
            raise LogError(
                f"the key of {subject} was wrapped by another master key ({head[1:].hex()}): is MASTER_KEY the one of this log?"
            )
        try:
            return cipher.decrypt(body[:_NONCE_SIZE], body[_NONCE_SIZE:], head + subject.encode())
        except (InvalidTag, ValueError) as error:
            raise LogError(f"the wrapped key of {subject} was damaged") from error


def forgotten(subject: str) -> Refusal:
    """The refusal of every command that would seal something under a destroyed key."""
    return refuse(Code.FORBIDDEN, f"{subject} was deleted and can write no more")


class KeyStore(Protocol):
    """Subject keys, wrapped, in a place of their own. A subject's row is never deleted: destroyed is for good."""

    async def create(self, subject: str) -> bytes:
        """The subject's key, made if it has none: inserted if absent, then read back, so that two that race end up with one key.
        Raises :func:`forgotten` where it was destroyed."""
        ...

    async def fetch(self, subjects: Sequence[str]) -> Mapping[str, bytes | None]:
        """Keys by subject: None where destroyed, absent where never made."""
        ...

    async def destroy(self, subject: str) -> None:
        """Nulls the key and marks the row, which is made if it is not there. Durable when it returns."""
        ...


class KeyCache:
    """Keys that were read at most ``ttl`` seconds ago, at most ``size`` of them. May be used from several threads.

    A key that was never made is not remembered: it may be made elsewhere at any moment.
    """

    def __init__(self, monotonic: Callable[[], float], *, ttl: float = KEY_TTL, size: int = 10_000) -> None:
        self._monotonic = monotonic
        self._ttl = ttl
        self._size = size
        self._entries: OrderedDict[str, tuple[float, bytes | None]] = OrderedDict()
        self._lock = threading.Lock()
        self._epoch = 0

    @property
    def epoch(self) -> int:
        """Counts destructions; to be noted before the store is read, and given to ``remember`` with what was read."""
        return self._epoch

    def known(self, subjects: Iterable[str]) -> dict[str, bytes | None]:
        """Those of ``subjects`` that are cached: keys, None where destroyed."""
        horizon = self._monotonic() - self._ttl
        found: dict[str, bytes | None] = {}
        with self._lock:
            for subject in subjects:
                entry = self._entries.get(subject)
                if entry is not None and entry[0] > horizon:
                    found[subject] = entry[1]
        return found

    def remember(self, keys: Mapping[str, bytes | None], epoch: int, read_at: float) -> None:
        """Notes what a read that began at ``read_at`` (monotonic) gave. A key that was destroyed meanwhile does not come back."""
        with self._lock:
            if epoch != self._epoch:
                return
            for subject, key in keys.items():
                self._entries[subject] = (read_at, key)
                self._entries.move_to_end(subject)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def destroyed(self, subject: str) -> None:
        with self._lock:
            self._epoch += 1
            self._entries[subject] = (self._monotonic(), None)
            self._entries.move_to_end(subject)

    def clear(self) -> None:
        """For when some key, unknown which, was destroyed elsewhere."""
        with self._lock:
            self._epoch += 1
            self._entries.clear()

    def now(self) -> float:
        """The cache's own clock, for ``remember``."""
        return self._monotonic()


class KeyRing:
    """A key store behind a cache of at most 60 seconds."""

    def __init__(self, store: KeyStore, cache: KeyCache) -> None:
        self._store = store
        self._cache = cache

    def cached(self, subjects: Iterable[str]) -> dict[str, bytes | None]:
        """What is known without waiting; the others are absent."""
        return self._cache.known(subjects)

    async def keys(self, subjects: Iterable[str]) -> Mapping[str, bytes | None]:
        """Keys by subject: None where destroyed, absent where never made. One read of the store for all that are not cached."""
        wanted = set(subjects)
        found = self._cache.known(wanted)
        missing = sorted(wanted - found.keys())
        if missing:
            epoch, read_at = self._cache.epoch, self._cache.now()
            fetched = await self._store.fetch(missing)
            self._cache.remember(fetched, epoch, read_at)
            found.update(fetched)
        return found

    async def create(self, subject: str) -> bytes:
        """See KeyStore.create."""
        epoch, read_at = self._cache.epoch, self._cache.now()
        key = await self._store.create(subject)
        self._cache.remember({subject: key}, epoch, read_at)
        return key

    async def destroy(self, subject: str) -> None:
        """From its return on, this process gives no key for ``subject``; others follow within ``KEY_TTL``."""
        await self._store.destroy(subject)
        self._cache.destroyed(subject)

"""Subject keys in a file of their own, encrypted under a secret of the operator's: exported, read back, and wrapped anew under another MASTER_KEY.

    line 1     {"format":1,"server_key":…,"salt":…,"cost":…}      in the open
    line 2 …   base64 of nonce (12), ciphertext and tag           AES-256-GCM of up to 1,000 keys; associated data: line 1, number, whether it is the last

The key of the file is scrypt's of the secret (RFC 7914; r 8, p 1, the cost as OWASP advises).
"""

import base64
import binascii
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from domain.errors import TransferError
from domain.ids import Entropy
from domain.log.archive import Archive, StoredKey
from domain.log.sealing import MasterKeys

FORMAT: Final = 1
COST: Final = 1 << 17
_MAX_COST: Final = 1 << 20
_PAGE: Final = 1_000
_AT_ONCE: Final = 64
_NONCE: Final = 12
_MAX_LINE: Final = 4 * 1024 * 1024

Progress = Callable[[int], None]


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    server_key: str
    salt: bytes
    cost: int


class _Key(msgspec.Struct, frozen=True, array_like=True):
    """``key`` is None where it was destroyed."""

    subject: str
    key: bytes | None


_encode: Final = msgspec.json.Encoder().encode
_keys: Final = msgspec.json.Decoder(tuple[_Key, ...])


@dataclass(frozen=True, slots=True)
class _Frames:
    """Seals and opens the file's lines."""

    cipher: AESGCM
    header: bytes

    def seal(self, number: int, plain: bytes, entropy: Entropy, *, last: bool) -> bytes:
        nonce = entropy(_NONCE)
        return base64.b64encode(nonce + self.cipher.encrypt(nonce, plain, self._place(number, last=last))) + b"\n"

    def open(self, number: int, line: bytes, *, last: bool) -> Sequence[_Key]:
        try:
            sealed = base64.b64decode(line.rstrip(b"\n"), validate=True)
            plain = self.cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], self._place(number, last=last))
            return _keys.decode(plain)
        except (InvalidTag, ValueError, binascii.Error, msgspec.DecodeError) as error:
            raise TransferError(
                "the keys' file does not open: another passphrase or key file, or a file that is cut short or was tampered with"
            ) from error

    def _place(self, number: int, *, last: bool) -> bytes:
        return self.header + number.to_bytes(8, "big") + bytes([last])


def _frames(secret: bytes, header: bytes, salt: bytes, cost: int) -> _Frames:
    return _Frames(AESGCM(Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(secret)), header)


async def stored_keys(archive: Archive, size: int = _PAGE) -> AsyncIterator[Sequence[StoredKey]]:
    """All keys of a log, page by page, in its store's order."""
    after: str | None = None
    while page := await archive.keys(after, size):
        yield page
        after = page[-1].subject


async def export_keys(
    archive: Archive,
    master: MasterKeys,
    path: Path,
    secret: bytes,
    progress: Progress,
    *,
    entropy: Entropy = os.urandom,
) -> int:
    """Writes all keys, destroyed ones as destroyed, and returns how many; the file is there only once it is whole."""
    salt = entropy(16)
    header = _encode(_Header(format=FORMAT, server_key=archive.server_key_fingerprint, salt=salt, cost=COST)) + b"\n"
    frames = _frames(secret, header, salt, COST)
    draft = path.with_name(f".{path.name}.draft")
    count, number = 0, 0
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(header)
        page = await archive.keys(None, _PAGE)
        while True:
            following = await archive.keys(page[-1].subject, _PAGE) if page else []
            plain = _encode([_opened(master, key) for key in page])
            file.write(frames.seal(number, plain, entropy, last=not following))
            count, number = count + len(page), number + 1
            progress(len(page))
            if not following:
                break
            page = following
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return count


def _opened(master: MasterKeys, key: StoredKey) -> _Key:
    return _Key(key.subject, master.unwrap(key.subject, key.wrapped) if key.wrapped is not None else None)


def _pages(file: BinaryIO, fingerprint: str, secret: bytes) -> Iterator[Sequence[_Key]]:
    line = file.readline(_MAX_LINE)
    try:
        header = msgspec.json.decode(line, type=_Header)
    except msgspec.DecodeError as error:
        raise TransferError("this is no file of exported keys") from error
    if header.format != FORMAT or not 1 < header.cost <= _MAX_COST or header.cost.bit_count() != 1:
        raise TransferError(f"the keys' file has format {header.format}, which this Tidings does not read")
    if header.server_key != fingerprint:
        raise TransferError("the keys were exported from a log of another SERVER_KEY")
    frames = _frames(secret, line, header.salt, header.cost)
    number, current = 0, file.readline(_MAX_LINE)
    while True:
        following = file.readline(_MAX_LINE)
        yield frames.open(number, current, last=not following)
        if not following:
            return
        number, current = number + 1, following


async def import_keys(archive: Archive, master: MasterKeys, path: Path, secret: bytes, progress: Progress) -> int:
    """Adds all keys of the file, wrapped under this log's MASTER_KEY; read through once before anything is changed. May be repeated."""
    fingerprint = archive.server_key_fingerprint
    with path.open("rb") as file:
        total = sum(len(page) for page in _pages(file, fingerprint, secret))
        file.seek(0)
        for page in _pages(file, fingerprint, secret):
            for start in range(0, len(page), _AT_ONCE):
                part = page[start : start + _AT_ONCE]
                await archive.restore_keys([_wrapped(master, key) for key in part])
                progress(len(part))
    return total


def _wrapped(master: MasterKeys, key: _Key) -> StoredKey:
    return StoredKey(key.subject, master.wrap(key.subject, key.key) if key.key is not None else None)

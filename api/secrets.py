"""The three secrets: given by the environment, or made once beside an embedded store."""

import base64
import binascii
import os
import secrets
import string
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from api.settings import Settings, SettingsError

KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """Every key has at least 32 bytes. ``retired_master_keys`` only unwrap; of ``token_keys`` the first signs and all verify."""

    master_key: bytes
    server_key: bytes
    token_keys: tuple[bytes, ...]
    retired_master_keys: tuple[bytes, ...] = ()


def load_secrets(settings: Settings) -> Secrets:
    """Secrets as set; embedded, those not set are made in DATA_DIR/secrets. SettingsError when one is missing or malformed."""
    master_key, *retired = _keys("MASTER_KEY", settings.master_key, settings)
    if any(len(key) != KEY_BYTES for key in (master_key, *retired)):
        raise SettingsError(f"MASTER_KEY: must be {KEY_BYTES} bytes, each")
    server_key, *others = _keys("SERVER_KEY", settings.server_key, settings)
    if others:
        raise SettingsError("SERVER_KEY: there is one, for as long as its log lives")
    return Secrets(master_key, server_key, _keys("TOKEN_KEYS", settings.token_keys, settings), tuple(retired))


def _keys(variable: str, value: SecretStr | None, settings: Settings) -> tuple[bytes, ...]:
    if value is not None:
        text = value.get_secret_value()
    elif settings.embedded:
        text = _file(variable, settings.data_dir / "secrets" / variable.lower())
    else:
        raise SettingsError(
            f"{variable}: must be set where the log or the documents are not files of this machine; see `tidings secrets`"
        )
    return tuple(decode_key(variable, part.strip()) for part in text.split(","))


def decode_key(variable: str, text: str) -> bytes:
    """A key of 32 bytes or more from hex or base64 (either alphabet, padded or not); SettingsError names the variable, never the value."""
    try:
        # What can be read as hex is hex: as base64 it would be another, longer key.
        key = bytes.fromhex(text) if set(text) <= set(string.hexdigits) else _from_base64(text)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) < KEY_BYTES:
        raise SettingsError(f"{variable}: must be {KEY_BYTES} bytes or more in base64 or hex")
    return key


def _from_base64(text: str) -> bytes:
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def new_key() -> str:
    """A fresh key in the form that the environment takes."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def _file(variable: str, path: Path) -> str:
    try:
        return _kept(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds no text"
        raise SettingsError(f"{variable}: is not set, and cannot be kept in {path} of DATA_DIR: {reason}") from error


def _kept(path: Path) -> str:
    """The secret in ``path``, made there if it is not. Two processes that start at once agree: the link is atomic and the first one stays."""
    # One after the other: the mode is the last directory's alone, and the data beside the secrets is nobody else's either.
    path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(new_key() + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()

"""``tidings events export`` and ``import``: the whole log as CloudEvents, with progress, to be gone on with where it was interrupted."""

import asyncio
import hashlib
import hmac
import os
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from api.cli.running import begin, begin_on_log, run, stopping
from api.secrets import Secrets, load_secrets
from api.settings import Settings, SettingsError
from api.stores import open_archive
from api.transfer.exporting import Begun, begun_in, export_log, fresh, lines, truncate
from api.transfer.importing import import_log
from api.transfer.keys import export_keys, import_keys
from domain.envelope import split_sequence
from domain.log.archive import Archive
from domain.log.sealing import MasterKeys

PIPE: Final = "-"
_SECRET_BYTES: Final = 16

File = Annotated[str, typer.Argument(help="The file, or - for standard output or input.")]
Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys", help="The encrypted file of the subject keys, without which what people typed stays sealed."
    ),
]
Passphrase = Annotated[
    str | None,
    typer.Option(
        envvar="KEYS_PASSPHRASE", help="What the keys' file is encrypted under; asked for where it is not given."
    ),
]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", help="A file whose content is used in place of a passphrase.")
]

errors = Console(stderr=True, highlight=False, soft_wrap=True)


def export(file: File, keys: Keys = None, passphrase: Passphrase = None, key_file: KeyFile = None) -> None:
    """Write all events to FILE as CloudEvents 1.0, one a line. Interrupted, the same command goes on where it ended.

    What people typed stays sealed in it; the keys travel in a file of their own, with --keys.
    """
    secret = _secret(passphrase, key_file, confirm=True) if keys is not None else b""
    run(_export(begin_on_log(), file, keys, secret))


def import_(file: File, keys: Keys = None, passphrase: Passphrase = None, key_file: KeyFile = None) -> None:
    """Read an export into an empty log, or go on with an import that was interrupted. Nothing may serve the log meanwhile.

    SERVER_KEY must be the exporting log's; store, number of shards and MASTER_KEY may be others.
    """
    secret = _secret(passphrase, key_file, confirm=False) if keys is not None else b""
    run(_import(begin(), file, keys, secret))


def _secret(passphrase: str | None, key_file: Path | None, *, confirm: bool) -> bytes:
    if key_file is not None:
        secret = key_file.read_bytes()
        if len(secret) < _SECRET_BYTES:
            raise SettingsError(f"--key-file: {key_file} must hold {_SECRET_BYTES} bytes or more")
        return secret
    given = passphrase or typer.prompt(
        "Passphrase of the keys' file", hide_input=True, confirmation_prompt=confirm, err=True
    )
    if not given:
        raise SettingsError("KEYS_PASSPHRASE: must not be empty")
    return str(given).encode()


def proof_key(secrets: Secrets) -> bytes:
    """Under which exports are proven: known to every log of the same SERVER_KEY, and to nobody else."""
    return hmac.digest(secrets.server_key, b"tidings export", hashlib.sha256)


def master_keys(secrets: Secrets) -> MasterKeys:
    return MasterKeys(secrets.master_key, secrets.retired_master_keys)


@asynccontextmanager
async def opened(settings: Settings, *, alone: bool = False) -> AsyncIterator[tuple[Archive, Secrets]]:
    """The log as a whole, and the secrets."""
    secrets = load_secrets(settings)
    archive = await open_archive(settings, secrets, alone=alone)
    try:
        yield archive, secrets
    finally:
        await archive.close()


async def until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Runs ``work`` until it ends or ``stop`` is set; whether it ended by itself."""
    task = asyncio.create_task(work)
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    if task.cancelled():
        return False
    task.result()
    return True


@dataclass(slots=True)
class Bar:
    """A progress bar with the rate; on no terminal it is silent."""

    progress: Progress
    task: TaskID
    began: float
    unit: str
    count: int = 0

    def advance(self, count: int, by: int) -> None:
        self.count += count
        rate = self.count / max(time.monotonic() - self.began, 0.001)
        self.progress.update(self.task, advance=by, rate=f"{self.count:,} {self.unit}, {rate:,.0f}/s")


@contextmanager
def bar(what: str, total: int | None, *, unit: str = "events") -> Iterator[Bar]:
    columns = (
        TextColumn(what),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        yield Bar(progress, progress.add_task(what, total=total, rate=""), time.monotonic(), unit)


async def _export(settings: Settings, name: str, keys: Path | None, secret: bytes) -> None:
    async with opened(settings) as (archive, secrets):
        with stopping() as stop:
            if not await until(stop, _export_all(archive, secrets, name, keys, secret)):
                errors.print("Interrupted: the same command goes on where this one ended.")
                raise typer.Exit(130)


async def _export_all(archive: Archive, secrets: Secrets, name: str, keys: Path | None, secret: bytes) -> None:
    key = proof_key(secrets)
    extent = await archive.extent()
    with _output(name, archive, key) as (file, begun):
        if begun.events:
            errors.print(f"Going on after {begun.events:,} events.")
        with bar("Exporting", extent.rows - _rows(begun.positions)) as shown:
            events = await export_log(archive, file, begun, extent, lambda rows: shown.advance(rows, rows))
        if file is not sys.stdout.buffer:
            os.fsync(file.fileno())
    errors.print(f"{events:,} events are in the export.")
    if keys is not None:
        with bar("Exporting keys", None, unit="keys") as shown:
            count = await export_keys(archive, master_keys(secrets), keys, secret, lambda n: shown.advance(n, n))
        errors.print(f"{count:,} keys are in {keys}, encrypted. Keep it as you keep MASTER_KEY.")


def _rows(positions: Mapping[int, int]) -> int:
    return sum(split_sequence(at)[1] for at in positions.values())


@contextmanager
def _output(name: str, archive: Archive, key: bytes) -> Iterator[tuple[BinaryIO, Begun]]:
    fingerprint = archive.server_key_fingerprint
    if name == PIPE:
        yield sys.stdout.buffer, fresh(sys.stdout.buffer, fingerprint, key, os.urandom)
        return
    path = Path(name)
    begun = begun_in(path, fingerprint, key)
    with truncate(path, begun.size if begun is not None else 0) as file:
        yield file, begun if begun is not None else fresh(file, fingerprint, key, os.urandom)


async def _import(settings: Settings, name: str, keys: Path | None, secret: bytes) -> None:
    async with opened(settings, alone=True) as (archive, secrets):
        with stopping() as stop:
            if not await until(stop, _import_all(archive, secrets, name, keys, secret)):
                errors.print("Interrupted: repeat the command with the same export to go on.")
                raise typer.Exit(130)


async def _import_all(archive: Archive, secrets: Secrets, name: str, keys: Path | None, secret: bytes) -> None:
    if keys is not None:
        with bar("Importing keys", None, unit="keys") as shown:
            count = await import_keys(archive, master_keys(secrets), keys, secret, lambda n: shown.advance(n, n))
        errors.print(f"{count:,} keys are there.")
    with _input(name) as (file, size), bar("Importing", size) as shown:
        before = 0, 0

        def told(events: int, read: int) -> None:
            nonlocal before
            shown.advance(events - before[0], read - before[1])
            before = events, read

        imported = await import_log(archive, lines(file), proof_key(secrets), told)
    errors.print(
        f"{imported.events:,} events are in the log, {imported.appended:,} of them imported now. "
        "Documents of another log do not fit it: fold them anew into an empty store."
    )


@contextmanager
def _input(name: str) -> Iterator[tuple[BinaryIO, int | None]]:
    if name == PIPE:
        yield sys.stdin.buffer, None
        return
    with Path(name).open("rb") as file:
        yield file, Path(name).stat().st_size

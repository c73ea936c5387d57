"""Which adapter a store's address names, and what to say when nothing usable answers there.

Adapters are imported where they are chosen: an embedded server loads no driver, and a cluster's machine needs no file.
"""

# ruff: noqa: PLC0415 (see above)

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict
from urllib.parse import urlsplit

from api.secrets import Secrets
from api.settings import Settings, SettingsError, sqlite_path, without_password
from domain import deciders
from domain.errors import LogError, UnavailableError
from domain.ids import Namer
from domain.log.affinity import Appointments
from domain.log.archive import Archive
from domain.log.port import EventLog, LogIdentity
from domain.log.verifying import Verifier
from projections.documents.port import Collection, Documents
from projections.families import ALL
from projections.runtime import COLLECTIONS

if TYPE_CHECKING:
    from domain.log.cassandra import CassandraLog

CASSANDRA_PORT: Final = 9042
_PORTS: Final = range(1, 65_536)
_KEYSPACE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,42}")
"""Cassandra takes 48 characters, and the subject keys' keyspace has _keys behind its name."""
COLLECTIONS_OF_ALL: Final[tuple[Collection, ...]] = (*COLLECTIONS, *(c for family in ALL for c in family.collections))


class _Keys(TypedDict):
    master_key: bytes
    retired_master_keys: tuple[bytes, ...]
    server_key_fingerprint: str


class StoreError(Exception):
    """A store is not there at start, or is not the one that it should be: names its address and the variable that sets it."""

    def __init__(self, variable: str, address: str, reason: object) -> None:
        super().__init__(f"cannot use {without_password(address)}: {reason}\n{variable} says where it is.")
        self.variable = variable


async def open_log(settings: Settings, secrets: Secrets) -> EventLog:
    """The event log at LOG_URL; an embedded one is made where there is none. Raises StoreError."""
    address = settings.log_address
    try:
        if address.startswith("sqlite:"):
            return await _open_sqlite_log(settings, secrets)
        return await _open_cassandra_log(settings, secrets)
    except (UnavailableError, LogError, OSError) as error:
        raise _no_log(settings, error) from error


async def open_appointments(settings: Settings, log: EventLog) -> "tuple[Appointments, CassandraLog] | None":
    """The leases on the log's shards; None on SQLite, where one process writes at a time."""
    if settings.log_address.startswith("sqlite:"):
        return None
    from domain.log.cassandra import CassandraLog

    return (await log.appointments(), log) if isinstance(log, CassandraLog) else None


async def open_archive(settings: Settings, secrets: Secrets, *, alone: bool = False) -> Archive:
    """The log at LOG_URL as a whole, for exports, imports and keys; an embedded one is made where there is none. Raises StoreError.

    ``alone``: a file that another process has open is refused, and kept from others; on Cassandra an import itself notices who else is at work."""
    address = settings.log_address
    fingerprint = Namer(secrets.server_key).fingerprint()
    try:
        if address.startswith("sqlite:"):
            from domain.log.sqlite.archive import open_sqlite_archive

            path = sqlite_path(address)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return await open_sqlite_archive(
                path, server_key_fingerprint=fingerprint, shards=settings.shards, alone=alone
            )
        from domain.log.cassandra.archive import open_cassandra_archive

        return await open_cassandra_archive(*cassandra_address(address), server_key_fingerprint=fingerprint)
    except (UnavailableError, LogError, OSError) as error:
        raise _no_log(settings, error) from error


async def open_verifier(settings: Settings, secrets: Secrets) -> Verifier:
    """What verifies the log at LOG_URL, which must be there. Raises StoreError."""
    address = settings.log_address
    keys: _Keys = {
        "master_key": secrets.master_key,
        "retired_master_keys": secrets.retired_master_keys,
        "server_key_fingerprint": Namer(secrets.server_key).fingerprint(),
    }
    try:
        if address.startswith("sqlite:"):
            from domain.log.sqlite.verifying import open_sqlite_verifier

            return await open_sqlite_verifier(sqlite_path(address), **keys)
        from domain.log.cassandra.verifying import open_cassandra_verifier

        return await open_cassandra_verifier(*cassandra_address(address), **keys)
    except (UnavailableError, LogError, OSError) as error:
        raise _no_log(settings, error) from error


async def open_generation(settings: Settings, secrets: Secrets, *, restored: bool) -> LogIdentity:
    """Begins the next generation of the log at LOG_URL, whose last one must have ended. Raises StoreError, LogError where it has not."""
    address = settings.log_address
    fingerprint = Namer(secrets.server_key).fingerprint()
    try:
        if address.startswith("sqlite:"):
            from domain.log.sqlite.generation import open_sqlite_generation

            path = sqlite_path(address)
            return await open_sqlite_generation(path, server_key_fingerprint=fingerprint, restored=restored)
        from domain.log.cassandra.generation import open_cassandra_generation

        return await open_cassandra_generation(
            *cassandra_address(address), server_key_fingerprint=fingerprint, restored=restored
        )
    except (UnavailableError, OSError) as error:
        raise _no_log(settings, error) from error


async def open_documents(settings: Settings) -> Documents:
    """The documents at DOCUMENTS_URL; embedded ones are made where there are none. Raises StoreError, also where `tidings migrate` is yet to run."""
    address = settings.documents_address
    try:
        if address.startswith("sqlite:"):
            return await _open_sqlite_documents(settings)
        return await _open_mongo_documents(address)
    except (UnavailableError, OSError) as error:
        raise _no_documents(settings, error) from error


@asynccontextmanager
async def open_scratch_documents(path: Path) -> AsyncIterator[Documents]:
    """An empty store in a new file, prepared: for documents that are compared and thrown away."""
    from projections.documents.sqlite import open_sqlite_documents

    documents = await open_sqlite_documents(path)
    try:
        await documents.prepare(COLLECTIONS_OF_ALL)
        yield documents
    finally:
        await documents.close()


async def migrate(settings: Settings, secrets: Secrets) -> None:
    """Makes what both stores need: keyspaces, tables, collections, indexes. May be repeated; to be run by one process at a time. Raises StoreError."""
    if settings.log_address.startswith("sqlite:"):
        await (await open_log(settings, secrets)).close()
    else:
        await _migrate_cassandra(settings, secrets)
    try:
        await _prepare_documents(settings)
    except (UnavailableError, OSError) as error:
        raise _no_documents(settings, error) from error


async def _open_sqlite_log(settings: Settings, secrets: Secrets) -> EventLog:
    from domain.log.sqlite import open_sqlite_log

    path = sqlite_path(settings.log_address)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return await open_sqlite_log(
        path,
        master_key=secrets.master_key,
        retired_master_keys=secrets.retired_master_keys,
        server_key_fingerprint=Namer(secrets.server_key).fingerprint(),
        aggregates=deciders,
        shards=settings.shards,
    )


async def _open_cassandra_log(settings: Settings, secrets: Secrets) -> EventLog:
    from domain.log.cassandra.log import open_cassandra_log

    hosts, port, keyspace = cassandra_address(settings.log_address)
    return await open_cassandra_log(
        hosts,
        port,
        keyspace,
        master_key=secrets.master_key,
        retired_master_keys=secrets.retired_master_keys,
        server_key_fingerprint=Namer(secrets.server_key).fingerprint(),
        aggregates=deciders,
        patience=settings.command_patience,
    )


async def _open_mongo_documents(address: str) -> Documents:
    from projections.documents.mongo import open_mongo_documents

    documents = await open_mongo_documents(address)
    ready = False
    try:
        ready = await documents.prepared(COLLECTIONS_OF_ALL)
    finally:
        if not ready:
            await documents.close()
    if not ready:
        raise UnavailableError("it does not have all collections and indexes; make them with `tidings migrate`")
    return documents


async def _prepare_documents(settings: Settings) -> None:
    if settings.documents_address.startswith("sqlite:"):
        documents = await _open_sqlite_documents(settings)
    else:
        from projections.documents.mongo import open_mongo_documents

        documents = await open_mongo_documents(settings.documents_address)
    try:
        await documents.prepare(COLLECTIONS_OF_ALL)
    finally:
        await documents.close()


async def _migrate_cassandra(settings: Settings, secrets: Secrets) -> None:
    from domain.log.cassandra.schema import migrate_cassandra

    hosts, port, keyspace = cassandra_address(settings.log_address)
    try:
        await migrate_cassandra(
            hosts,
            keyspace,
            port=port,
            server_key_fingerprint=Namer(secrets.server_key).fingerprint(),
            shards=settings.shards,
            replication_factor=settings.replication_factor,
        )
    except (UnavailableError, LogError, OSError) as error:
        raise _no_log(settings, error) from error


async def _open_sqlite_documents(settings: Settings) -> Documents:
    from projections.documents.sqlite import open_sqlite_documents

    path = sqlite_path(settings.documents_address)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    documents = await open_sqlite_documents(path)
    try:
        await documents.prepare(COLLECTIONS_OF_ALL)
    except BaseException:
        await documents.close()
        raise
    return documents


def _no_log(settings: Settings, reason: Exception) -> StoreError:
    return StoreError("LOG_URL" if settings.log_url else "DATA_DIR", settings.log_address, reason)


def _no_documents(settings: Settings, reason: Exception) -> StoreError:
    return StoreError("DOCUMENTS_URL" if settings.documents_url else "DATA_DIR", settings.documents_address, reason)


def cassandra_address(address: str) -> tuple[list[str], int, str]:
    """(hosts, port, keyspace) of ``cassandra://host[:port][,host…]/keyspace``; one port for all hosts."""
    parts = urlsplit(address)
    names = [host.partition(":") for host in parts.netloc.rpartition("@")[2].split(",")]
    hosts = [host for host, _, _ in names if host]
    ports = {port for _, _, port in names if port}
    keyspace = parts.path.strip("/")
    if not hosts or len(ports) > 1 or not all(port.isdecimal() and int(port) in _PORTS for port in ports):
        raise SettingsError(
            "LOG_URL: must look like cassandra://host:port[,host…]/keyspace, with one port for all hosts"
        )
    if not _KEYSPACE.fullmatch(keyspace):
        raise SettingsError("LOG_URL: a keyspace is named by a letter and at most 42 more letters, digits and _")
    return hosts, int(ports.pop()) if ports else CASSANDRA_PORT, keyspace

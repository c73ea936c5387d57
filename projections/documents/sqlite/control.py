"""Checkpoints, leases and small facts. Each function runs in one transaction, so that a check and the write after it are one."""

import sqlite3
from collections.abc import Mapping
from typing import Final

from projections.documents.port import Document, FencedError, Lease
from projections.documents.sqlite.reading import fields_of, to_json

_NOW: Final = "((julianday('now') - 2440587.5) * 86400.0)"
"""The store's clock: seconds since the epoch."""


def load_checkpoints(connection: sqlite3.Connection, family: str) -> Mapping[int, int]:
    """``family`` is the family's name with its version."""
    return dict(connection.execute("SELECT shard, sequence FROM _checkpoints WHERE family = ?", (family,)).fetchall())


def drop_checkpoints(connection: sqlite3.Connection, family: str) -> None:
    connection.execute("DELETE FROM _checkpoints WHERE family = ?", (family,))


def save_checkpoint(
    connection: sqlite3.Connection, family: str, shard: int, sequence: int, lease: Lease | None
) -> None:
    if lease is not None:
        claimed = (lease.name, lease.holder, lease.fence)
        held = connection.execute("SELECT 1 FROM _leases WHERE name = ? AND holder = ? AND fence = ?", claimed)
        if held.fetchone() is None:
            raise FencedError(f"{lease.holder} has lost the lease {lease.name} (fence {lease.fence})")
    connection.execute(
        "INSERT INTO _checkpoints VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET sequence = max(sequence, excluded.sequence)",
        (family, shard, sequence),
    )


def claim_lease(connection: sqlite3.Connection, name: str, holder: str, ttl: float) -> Lease | None:
    connection.execute(
        f"INSERT INTO _leases VALUES (?, ?, 1, {_NOW} + ?) ON CONFLICT DO UPDATE SET "
        "fence = CASE WHEN holder IS excluded.holder THEN fence ELSE fence + 1 END, holder = excluded.holder, until = excluded.until "
        f"WHERE holder IS excluded.holder OR until IS NULL OR until <= {_NOW}",
        (name, holder, ttl),
    )
    held, fence = connection.execute("SELECT holder, fence FROM _leases WHERE name = ?", (name,)).fetchone()
    return Lease(name, holder, fence) if held == holder else None


def release_lease(connection: sqlite3.Connection, lease: Lease) -> None:
    """The line stays, so that the fence goes on growing."""
    connection.execute(
        "UPDATE _leases SET holder = NULL, until = NULL WHERE name = ? AND holder = ? AND fence = ?",
        (lease.name, lease.holder, lease.fence),
    )


def get_meta(connection: sqlite3.Connection, key: str) -> Document | None:
    found = connection.execute("SELECT value FROM _meta WHERE key = ?", (key,)).fetchone()
    return fields_of(found[0]) if found is not None else None


def set_meta(connection: sqlite3.Connection, key: str, value: Document) -> None:
    connection.execute(
        "INSERT INTO _meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, to_json(value))
    )


def swap_meta(connection: sqlite3.Connection, key: str, expected: Document | None, value: Document) -> bool:
    same = get_meta(connection, key) == expected
    if same:
        set_meta(connection, key, value)
    return same

"""Subject keys in the log's own file, wrapped by the master key. Everything here takes a connection and blocks."""

import json
import sqlite3
from collections.abc import Iterable

from domain.log.sealing import KeyCache, MasterKeys, new_key


class Keys:
    """Reads keys through the cache; makes and destroys them inside the transaction that its caller has begun.

    What a transaction made is remembered by ``KeyCache.remember`` only after it was committed: a key that was rolled back must seal nothing.
    """

    def __init__(self, master: MasterKeys, cache: KeyCache) -> None:
        self._master = master
        self.cache = cache

    def read(self, connection: sqlite3.Connection, subjects: Iterable[str]) -> dict[str, bytes | None]:
        """Keys by subject: None where destroyed, absent where never made."""
        wanted = set(subjects)
        if not wanted:
            return {}
        found = self.cache.known(wanted)
        missing = wanted - found.keys()
        if missing:
            epoch, read_at = self.cache.epoch, self.cache.now()
            stored = self._stored(connection, missing)
            self.cache.remember(stored, epoch, read_at)
            found.update(stored)
        return found

    def _stored(self, connection: sqlite3.Connection, subjects: Iterable[str]) -> dict[str, bytes | None]:
        # One row of JSON, for the reason that domain.log.sqlite.queries gives.
        row = connection.execute(
            "SELECT json_group_array(json_array(subject, CASE WHEN wrapped IS NOT NULL THEN hex(wrapped) END)) "
            "FROM json_each(?) AS wanted CROSS JOIN subject_keys ON subject = wanted.value",
            (json.dumps(list(subjects)),),
        ).fetchone()
        return {
            subject: self._master.unwrap(subject, bytes.fromhex(wrapped)) if wrapped is not None else None
            for subject, wrapped in json.loads(row[0])
        }

    def check(self, connection: sqlite3.Connection) -> None:
        """Raises LogError where the keys of this file were wrapped by another master key."""
        for subject, wrapped in connection.execute(
            "SELECT subject, wrapped FROM subject_keys WHERE wrapped IS NOT NULL LIMIT 1"
        ):
            self._master.unwrap(subject, wrapped)

    def make(self, connection: sqlite3.Connection, subjects: Iterable[str]) -> dict[str, bytes | None]:
        """The subjects' keys, made where they have none; None where destroyed, for those never get another."""
        wanted = list(subjects)
        if not wanted:
            return {}
        connection.executemany(
            "INSERT OR IGNORE INTO subject_keys (subject, wrapped) VALUES (?, ?)",
            [(subject, self._master.wrap(subject, new_key())) for subject in wanted],
        )
        return self._stored(connection, wanted)

    def destroy(self, connection: sqlite3.Connection, subject: str) -> None:
        connection.execute(
            "INSERT INTO subject_keys (subject, destroyed) VALUES (?, 1) "
            "ON CONFLICT (subject) DO UPDATE SET wrapped = NULL, destroyed = 1",
            (subject,),
        )
        connection.execute("UPDATE log_meta SET forgotten = forgotten + 1")

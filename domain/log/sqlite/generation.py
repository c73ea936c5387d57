"""Begins the next generation of a log in a file, whose last one has ended in every shard."""

import asyncio
import os
import uuid
from contextlib import closing
from pathlib import Path

from domain.errors import LogError, UnavailableError
from domain.log.port import LogIdentity
from domain.log.sqlite import queries
from domain.log.sqlite.tables import connect, stored_identity, translated


async def open_sqlite_generation(
    path: str | os.PathLike[str], *, server_key_fingerprint: str, restored: bool = False
) -> LogIdentity:
    """Records the next generation. ``restored``: under a new log id, so that whatever was derived from the history that was lost is refused.

    Raises LogError where a shard's generation has not ended, UnavailableError where there is no file.
    """
    return await asyncio.to_thread(_open, Path(path), server_key_fingerprint, restored)


def _open(path: Path, fingerprint: str, restored: bool) -> LogIdentity:
    if not path.is_file():
        raise UnavailableError(f"there is no log in {path}")
    with translated(path), closing(connect(path, writer=True)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            identity, made_under = stored_identity(connection)
            if made_under != fingerprint:
                raise LogError(f"the log in {path} was made under another SERVER_KEY")
            for shard, tip in enumerate(queries.tips(connection, identity).shards):
                if not tip.closed:
                    raise LogError(
                        f"generation {identity.generation} has not ended in shard {shard}: end it with `tidings log close`"
                    )
            log_id = str(uuid.uuid4()) if restored else identity.log_id
            connection.execute("UPDATE log_meta SET generation = generation + 1, log_id = ?", (log_id,))
            return stored_identity(connection)[0]

"""Subject keys in a keyspace of their own. Conditional writes alone touch the table, so that a key is made once and destroyed for good."""

from collections.abc import Mapping, Sequence
from typing import Final

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from domain.errors import UnavailableError
from domain.log.cassandra.driver import Bridge, Query, bind
from domain.log.cassandra.schema import keys_keyspace
from domain.log.sealing import MasterKeys, forgotten, new_key

_PAGE: Final = 50
_PATIENCE: Final = 5.0

KeyRow = tuple[str, bytes | None, bool | None]


class CassandraKeyStore:
    """See domain.log.sealing.KeyStore."""

    def __init__(
        self,
        bridge: Bridge,
        master: MasterKeys,
        select: Query[KeyRow],
        sample: Query[KeyRow],
        insert: Query[tuple[bool]],
        null: Query[tuple[bool]],
    ) -> None:
        self._bridge = bridge
        self._master = master
        self._select = select
        self._sample = sample
        self._insert = insert
        self._null = null

    async def check(self) -> None:
        """Raises LogError where another MASTER_KEY has wrapped what is there."""
        for subject, wrapped, _ in await self._bridge.execute(self._sample, ()):
            if wrapped is not None:
                self._master.unwrap(subject, wrapped)

    async def create(self, subject: str) -> bytes:
        await self._bridge.apply(bind(self._insert, (subject, self._master.wrap(subject, new_key()))))
        # Whether the insert applied says nothing after a resend, and the key that counts is the one that is there.
        rows = await self._bridge.execute(self._select, ([subject],), serial=True)
        if not rows:
            raise UnavailableError(f"the store has not kept the key of {subject}")
        [(_, wrapped, destroyed)] = rows
        if destroyed or wrapped is None:
            raise forgotten(subject)
        return self._master.unwrap(subject, wrapped)

    async def fetch(self, subjects: Sequence[str]) -> Mapping[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        for start in range(0, len(subjects), _PAGE):
            page = list(subjects[start : start + _PAGE])
            for subject, wrapped, destroyed in await self._bridge.execute(self._select, (page,)):
                found[subject] = None if destroyed or wrapped is None else self._master.unwrap(subject, wrapped)
        return found

    async def destroy(self, subject: str) -> None:
        # Idempotent, so it may be sent until one answer is certain.
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(UnavailableError),
            wait=wait_random_exponential(multiplier=0.05, max=1),
            stop=stop_after_delay(_PATIENCE),
            reraise=True,
        ):
            with attempt:
                await self._bridge.apply(bind(self._null, (subject,)))


async def open_key_store(bridge: Bridge, keyspace: str, master: MasterKeys) -> CassandraKeyStore:
    table = f"{keys_keyspace(keyspace)}.subject_keys"
    columns = "subject, key, destroyed"
    # Names come from the code and the migrated schema, values are always bound.
    return CassandraKeyStore(
        bridge,
        master,
        select=await bridge.prepare(f"SELECT {columns} FROM {table} WHERE subject IN ?"),
        sample=await bridge.prepare(f"SELECT {columns} FROM {table} LIMIT 10"),
        insert=await bridge.prepare(f"INSERT INTO {table} (subject, key) VALUES (?, ?) IF NOT EXISTS"),
        null=await bridge.prepare(
            f"UPDATE {table} SET destroyed = true, key = null WHERE subject = ? IF destroyed = null"
        ),
    )

"""Passwords by argon2id, off the event loop and only a few at a time."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError


class Passwords:
    """Hashes and verifies. ``workers`` bounds the memory: each hash in work holds ``memory_kib``."""

    def __init__(self, *, time_cost: int, memory_kib: int, workers: int) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="argon2")
        # Verified where there is no hash, so that an unknown name takes as long as a wrong password.
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._hasher.hash, _bytes(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password fits; with None or an empty hash (no such account, none can sign in) False after the same work."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._fits, password_hash, _bytes(password))

    def _fits(self, password_hash: str | None, password: bytes) -> bool:
        try:
            self._hasher.verify(password_hash or self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
        return bool(password_hash)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _bytes(password: str) -> bytes:
    return password.encode(errors="surrogatepass")

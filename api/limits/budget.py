"""Points by client in fixed windows, in memory: a limit of this process, which a restart forgets."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

MAX_KEYS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Standing:
    """What a client has left. ``limit`` 0 means that nothing is counted; ``resets_at``: microseconds since the epoch."""

    limit: int
    used: int
    resets_at: int

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)


class Budget:
    """At most ``limit`` points in a window of ``window`` seconds by key. The keys are bounded: past MAX_KEYS the one unused longest starts anew."""

    def __init__(self, *, limit: int, window: int, now: Callable[[], int]) -> None:
        self._limit = limit
        self._window = window * 1_000_000
        self._now = now
        self._used: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def take(self, key: str, points: int) -> bool:
        """Spends ``points``; False, and nothing spent, where they exceed what is left."""
        start, used = self._current(key)
        if self._limit and used + points > self._limit:
            return False
        self._used[key] = (start, used + points)
        self._used.move_to_end(key)
        if len(self._used) > MAX_KEYS:
            self._used.popitem(last=False)
        return True

    def standing(self, key: str) -> Standing:
        start, used = self._current(key)
        return Standing(self._limit, used, start + self._window)

    def _current(self, key: str) -> tuple[int, int]:
        start, used = self._used.get(key, (0, 0))
        now = self._now()
        return (start, used) if now - start < self._window else (now, 0)


@lru_cache(maxsize=10_000)
def network(address: str | None) -> str:
    """What stands for a guest: the IPv4 address, or the /64 of an IPv6 one, for whoever has one of these has all of them."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((parsed, 64), strict=False).network_address) + "/64"
    return str(parsed)

"""Shard affinity: which process a shard's commands are best run in. Speed only: whoever believes otherwise appends itself, and the log stays right.

Of several processes that append to one shard each folds what the others appended and decides again what they overtook; one process alone
groups all commands into full batches. A soft lease names it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Peer:
    """A process that takes commands of others: its name, new at each start, and its internal address (host:port)."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Appointed:
    """What stands in the store: ``holders`` by shard, and the names of all processes that are there to hold one."""

    holders: Mapping[int, Peer]
    present: frozenset[str]


class Appointments(Protocol):
    """The store's leases. All methods raise UnavailableError; what is not renewed is gone after ``seconds``."""

    @property
    def seconds(self) -> float: ...

    async def sign(self, peer: Peer) -> None:
        """Says that ``peer`` is there to hold leases."""
        ...

    async def leave(self, peer: Peer) -> None:
        """Takes that back; its leases are released apart."""
        ...

    async def read(self) -> Appointed: ...

    async def claim(self, shard: int, peer: Peer, *, renew: bool) -> bool:
        """Whether ``peer`` holds the lease now; one that is free is taken, its own renewed."""
        ...

    async def release(self, shard: int, peer: Peer) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """Shards by what a process does about them."""

    renew: tuple[int, ...]
    claim: tuple[int, ...]
    release: tuple[int, ...]


def plan(me: str, shards: int, appointed: Appointed) -> Plan:
    """What ``me`` does so that all come to hold equally many, give or take one: it takes free ones up to its share and lets go of what is above."""
    names = sorted(appointed.present | {me})
    rank, each = names.index(me), shards // len(names)
    share = each + (rank < shards % len(names))
    held = sorted(shard for shard, peer in appointed.holders.items() if peer.name == me)
    # Processes that start together look at different shards first.
    first = rank * shards // len(names)
    free = [n for n in (*range(first, shards), *range(first)) if n not in appointed.holders]
    return Plan(renew=tuple(held[:share]), claim=tuple(free[: max(0, share - len(held))]), release=tuple(held[share:]))

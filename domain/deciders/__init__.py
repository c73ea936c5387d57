"""Deciders: per stream category an initial state, ``evolve`` (state, recorded) → state, and ``decide`` functions; all pure."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from domain.deciders import account, block, bookmark, claim, follow, marker, mute, pins, post, reaction, repost, session
from domain.envelope import Recorded
from domain.ids import category_of


@dataclass(frozen=True, slots=True)
class Aggregate:
    """How the streams of one category fold: states are immutable, ``evolve`` returns the next."""

    initial: object
    evolve: Callable[[Any, Recorded], object]


def _ignore(state: None, _: Recorded) -> None:
    """The log's own stream (padding, closed generations) has no state."""


REGISTRY: Final[Mapping[str, Aggregate]] = {
    "account": Aggregate(account.Account(), account.evolve),
    "session": Aggregate(session.Session(), session.evolve),
    "claim": Aggregate(claim.Claim(), claim.evolve),
    "post": Aggregate(post.Post(), post.evolve),
    "reaction": Aggregate(reaction.Reaction(), reaction.evolve),
    "repost": Aggregate(repost.Repost(), repost.evolve),
    "bookmark": Aggregate(bookmark.Bookmark(), bookmark.evolve),
    "marker": Aggregate(marker.Marker(), marker.evolve),
    "pins": Aggregate(pins.Pins(), pins.evolve),
    "follow": Aggregate(follow.Follow(), follow.evolve),
    "block": Aggregate(block.Block(), block.evolve),
    "mute": Aggregate(mute.Mute(), mute.evolve),
    "shard": Aggregate(None, _ignore),
}


def initial(stream: str) -> object:
    return REGISTRY[category_of(stream)].initial


def evolve(stream: str, state: object, recorded: Recorded) -> object:
    return REGISTRY[category_of(stream)].evolve(state, recorded)


@cache
def edition() -> str:
    """A hash of all the domain's code, whatever of it a fold may rest on: no version number has to be remembered. Empty where the code cannot be read."""
    domain = Path(__file__).parents[1]
    paths = sorted((*domain.glob("*.py"), *domain.glob("deciders/*.py")))
    digest = hashlib.blake2b(digest_size=16)
    try:
        for path in paths:
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    except OSError:
        return ""
    return digest.hexdigest() if paths else ""


__all__ = [
    "REGISTRY",
    "Aggregate",
    "account",
    "block",
    "bookmark",
    "claim",
    "edition",
    "evolve",
    "follow",
    "initial",
    "marker",
    "mute",
    "pins",
    "post",
    "reaction",
    "repost",
    "session",
]

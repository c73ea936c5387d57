"""Vectors of positions, {shard: sequence}: how far something has come in every shard."""

from collections.abc import Mapping


def merged(*vectors: Mapping[int, int]) -> dict[int, int]:
    """The least vector that is at or past every one of these in every shard."""
    positions: dict[int, int] = {}
    for vector in vectors:
        for shard, position in vector.items():
            positions[shard] = max(position, positions.get(shard, 0))
    return positions

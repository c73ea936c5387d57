"""The envelope: an event as it was recorded, with where, when and why."""

import msgspec

from domain.events import Event

GENERATION_BITS = 44


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Who did it and why. ``causation_id`` is the event or command that led to this command; ``input_hmac`` tells a repeat of an idempotent
    create from another input under the same key."""

    command_id: str
    actor: str | None = None
    correlation_id: str = ""
    causation_id: str | None = None
    traceparent: str | None = None
    input_hmac: str | None = None


class Recorded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event of the log. ``version`` counts 1, 2, … in its stream, ``position`` 1, 2, … in its shard and generation. Times are microseconds
    since the epoch: ``occurred_at`` when it took effect (imports set it), ``recorded_at`` when it was appended, non-decreasing in its shard. ``redacted``:
    something was sealed, and its key is gone."""

    event_id: str
    stream: str
    version: int
    event: Event
    metadata: Metadata
    occurred_at: int
    recorded_at: int
    attempt_id: str
    generation: int
    shard: int
    position: int
    redacted: bool = False

    @property
    def sequence(self) -> int:
        """What checkpoints and tokens hold and compare: generation << 44 | position."""
        return sequence(self.generation, self.position)

    @property
    def sort_at(self) -> int:
        """min(recorded, claimed) microseconds: what lists sort by, so that nothing is dated into the future (Bluesky, bsky post.ts)."""
        return min(self.recorded_at, self.occurred_at)


def sequence(generation: int, position: int) -> int:
    return generation << GENERATION_BITS | position


def split_sequence(value: int) -> tuple[int, int]:
    """(generation, position) of a sequence."""
    return value >> GENERATION_BITS, value & ((1 << GENERATION_BITS) - 1)

"""What the runtime shows to Prometheus."""

from typing import Final

from prometheus_client import Counter, Gauge

CHECKPOINT: Final = Gauge(
    "tidings_projection_checkpoint", "Position up to which a family is folded.", ["family", "shard"]
)
LAG_EVENTS: Final = Gauge(
    "tidings_projection_lag_events", "Events of the shard that a family has not folded yet.", ["family", "shard"]
)
LAG_SECONDS: Final = Gauge(
    "tidings_projection_lag_seconds", "Age of the oldest event that a family has not folded yet.", ["family", "shard"]
)
HALTED: Final = Gauge(
    "tidings_projection_halted", "1 where a family cannot go on without an operator.", ["family", "shard"]
)
DEGRADED: Final = Gauge("tidings_projection_degraded", "Streams that a family has parked.", ["family", "shard"])
GAUGES: Final = (CHECKPOINT, LAG_EVENTS, LAG_SECONDS, HALTED, DEGRADED)
"""Those that tell of a shard held here; they go when the shard does."""

EVENTS: Final = Counter("tidings_projection_events", "Events that a family has folded.", ["family"])
DEAD_LETTERS: Final = Counter(
    "tidings_projection_dead_letters", "Events that were parked instead of folded.", ["family", "shard"]
)
HALTS: Final = Counter("tidings_projection_halts", "Times that a family halted in a shard.", ["family", "shard"])
"""A shard that is halted is tried again every minute: this grows for as long as it is."""
RETRIES: Final = Counter("tidings_runtime_retries", "Tries that failed and were repeated.", ["what"])
SWEEPS: Final = Counter("tidings_runtime_sweeps", "Runs of a housekeeping job.", ["sweeper", "outcome"])
"""``outcome`` is done or failed."""
LEASES: Final = Gauge("tidings_runtime_leases", "Shards that this process holds.")

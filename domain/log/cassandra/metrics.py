"""What the log on Cassandra counts. The only label is the shard."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

APPENDED: Final = Counter("tidings_log_appended_events", "Events that this process appended", ["shard"])
APPEND_SECONDS: Final = Histogram(
    "tidings_log_append_seconds",
    "From the first send of a batch until its outcome is certain",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
BATCH_EVENTS: Final = Histogram("tidings_log_batch_events", "Events of a batch", buckets=(1, 2, 4, 8, 16, 32, 64, 128))
UNKNOWN: Final = Counter("tidings_log_unknown_outcomes", "Sends of a batch of which no answer told the outcome")
CONFLICTS: Final = Counter("tidings_log_conflicts", "Batches that another process was faster than, decided again")
CONFIRMATIONS: Final = Counter("tidings_log_confirmation_reads", "Head reads for outcomes without events")
HOLES: Final = Counter("tidings_log_holes", "Reads that met a hole and were made again")
REBASES: Final = Counter(
    "tidings_log_rebases", "Times that a shard's view was dropped because it had fallen far behind", ["shard"]
)
INDEX_LAG: Final = Gauge(
    "tidings_log_index_lag_events", "Events between the index's watermark and what this process has seen", ["shard"]
)
INDEX_MENDED: Final = Counter("tidings_log_index_mended_events", "Index rows written for a process that did not")
TAIL: Final = Gauge("tidings_log_tail_events", "Events held in memory", ["shard"])

"""What /metrics tells of the edge. Labels are few and closed: no label carries anything that a client chose."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS = Counter("tidings_http_requests_total", "HTTP requests answered.", ["method", "path", "status"])
OPERATIONS = Counter("tidings_operations_total", "GraphQL operations, by how they ended.", ["type", "outcome"])
OPERATION_SECONDS = Histogram(
    "tidings_operation_seconds", "Time to the answer of queries and mutations.", ["type"], buckets=BUCKETS
)
REQUESTS_IN_WORK = Gauge("tidings_http_requests_in_work", "HTTP requests being answered.")
SOCKETS = Gauge("tidings_sockets", "Open WebSocket connections.")
SUBSCRIPTIONS = Gauge("tidings_subscriptions", "Subscriptions being served.")
DELIVERIES = Counter("tidings_deliveries_total", "Results sent to subscriptions.")
FORWARDED = Counter(
    "tidings_forwarded_commands_total", "Commands sent to the process that holds their shard.", ["outcome"]
)
FORWARDED_IN = Counter("tidings_commands_of_others_total", "Commands run for other processes.")
HELD_SHARDS = Gauge("tidings_held_shards", "Shards whose commands other processes send to this one.")

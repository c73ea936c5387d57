"""The event log on Apache Cassandra: one conditional batch on one partition makes an append durable, ordered and discoverable at once."""

from domain.log.cassandra.log import CassandraLog, open_cassandra_log
from domain.log.cassandra.schema import migrate_cassandra

__all__ = ["CassandraLog", "migrate_cassandra", "open_cassandra_log"]

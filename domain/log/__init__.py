"""The event log: its port, and the adapters for Cassandra and SQLite."""

"""The event log on SQLite: all shards in one file, for one machine and any number of processes on it."""

from domain.log.sqlite.log import SqliteLog, open_sqlite_log

__all__ = ["SqliteLog", "open_sqlite_log"]

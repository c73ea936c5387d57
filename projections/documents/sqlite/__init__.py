"""Documents in one SQLite file, for one machine and any number of processes on it."""

from projections.documents.sqlite.adapter import SqliteDocuments, open_sqlite_documents

__all__ = ["SqliteDocuments", "open_sqlite_documents"]

"""The document store: its port, and the adapters for MongoDB and SQLite."""

"""The read side: how events become documents, and the queries that read them back."""

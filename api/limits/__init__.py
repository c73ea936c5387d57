"""What one client may ask for: the size of a document, the cost of an operation, how much in an hour."""

"""What holds Tidings to its word."""

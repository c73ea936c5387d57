"""What an operator does to a log as a whole: exports, imports, keys that travel, the rotation of the master key."""

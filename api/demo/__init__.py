"""The demo world: a real social graph with generated texts, loaded through the same commands that clients send."""
